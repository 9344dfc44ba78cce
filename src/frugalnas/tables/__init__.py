"""What is known without training: tabular benchmarks, one row per architecture.

A table is a folder of memory-mapped columns with a manifest that says where they come from and in which units they are.
Validation and test results are separate columns; a strategy is only ever told the former.

- `open_table`: a table by name, converted into the cache on first use; `table_names` lists them.
- `Table`: columns, rows by code, labels; `write_table` makes one of its `Contents`.
- `TableEvaluator`: answers a strategy from a table.
- `import_benchmark`: an official benchmark file becomes tables; `import_table`: a Parquet or CSV file of your own does.
- `read_labels`: a user's own file of architectures and what they are worth.
- `known_quantities`: columns of costs as further features of a predictor.
- `examine`: what is installed, cached or damaged, and the next step.
"""

from frugalnas.tables.catalogue import open_table, table_names
from frugalnas.tables.doctor import Finding, examine
from frugalnas.tables.evaluator import TableEvaluator
from frugalnas.tables.features import known_quantities
from frugalnas.tables.importing import import_table
from frugalnas.tables.labels import Labels, read_labels
from frugalnas.tables.official import import_benchmark, is_benchmark
from frugalnas.tables.store import Column, Contents, Table, write_table

__all__ = [
    "Column",
    "Contents",
    "Finding",
    "Labels",
    "Table",
    "TableEvaluator",
    "examine",
    "import_benchmark",
    "import_table",
    "is_benchmark",
    "known_quantities",
    "open_table",
    "read_labels",
    "table_names",
    "write_table",
]
