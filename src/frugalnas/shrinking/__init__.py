"""What can a search do without? Smaller spaces, by what each operator is worth.

- `Shrinker`: a rule that says how many operators go, of which places, and when it is enough; `SHRINKERS` has those of ABS's
  programs (Hu et al., ECCV 2020) and ours by name, `shrinker_for` finds one.
- `Shrinking`: a space on its way: the rounds so far, each with the scores that it went by and what it dropped.
- `write_operators`, `read_operators`: what is left, as JSON with names that a person reads; the pickled lists of ABS's programs are
  read too. `read_shrinking`: how they came about.
- `TableScore`: what a table measured, as a score: a perfect one.

Scores of operators are `scores.operator_scores`.
"""

from frugalnas.shrinking.operator_files import read_operators, read_shrinking, write_operators
from frugalnas.shrinking.shrinker import SHRINKERS, Shrinker, shrinker_for
from frugalnas.shrinking.shrinking import Drop, Shrinking, Step
from frugalnas.shrinking.table_score import TableScore

__all__ = [
    "SHRINKERS",
    "Drop",
    "Shrinker",
    "Shrinking",
    "Step",
    "TableScore",
    "read_operators",
    "read_shrinking",
    "shrinker_for",
    "write_operators",
]
