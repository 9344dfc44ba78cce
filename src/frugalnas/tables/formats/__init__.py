"""How official benchmark files are read: each reader turns a file into `Contents`, tables that are not yet written.

Files are streamed, nothing in them is ever executed, and what is damaged is refused by file, place and reason.

- `Contents`: one table that a file holds.
- `nasbench101`: NAS-Bench-101's TFRecord files (`tfrecord` has the framing), and the same cells as Parquet columns.
- `nats`: NATS-Bench and NAS-Bench-201: folders, archives and single files of pickles (`nats_records` has what is kept of them).
- `weaknas`: the dictionaries that WeakNAS's authors preprocessed.
- `watched`: a file that is counted and hashed while it is read.
"""

from frugalnas.tables.formats.contents import Contents

__all__ = ["Contents"]
