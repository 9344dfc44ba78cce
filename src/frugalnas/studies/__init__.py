"""What is learnt from many runs, and from tables: comparisons with their statistics.

- `compare`: strategies over seeds in parallel processes; `Comparison` has its statistics.
- `assess`: predictors that learn from the same few labels of `Labelled` architectures, judged on what they have not seen;
  `Assessment` has the statistics.
- `correlation.correlate`: the scores of trained supernets held against tables.
- `landscape`: a table and its space looked at without searching them.
- `remainders.compare_shrinking`: what several scores leave of a space, judged by tables.
- `references`: results that other programs wrote, as comparisons and assessments.
- `published`: what ABS published of its rankings and drops, and its `.tau` files.
- `grid`: what comparisons and assessments have in common, many jobs that do not depend on each other.
"""

from frugalnas.studies.assessment import Assessment, assess
from frugalnas.studies.comparison import Comparison, compare
from frugalnas.studies.labelled import Labelled

__all__ = ["Assessment", "Comparison", "Labelled", "assess", "compare"]
