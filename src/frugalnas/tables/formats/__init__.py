"""How official benchmark files are read: each reader turns a file into `Contents`, tables that are not yet written.

Files are streamed, nothing in them is ever executed, and what is damaged is refused by file, place and reason.

- `nasbench101`: NAS-Bench-101's TFRecord files (`tfrecord` has the framing), and the same cells as Parquet columns.
- `nats`: NATS-Bench and NAS-Bench-201: folders, archives and single files of pickles (`nats_records` has what is kept of them).
- `weaknas`: the dictionaries that WeakNAS's authors preprocessed.
- `parquet`: columns that unpack within limits; `watched`: a file that is counted and hashed while it is read.
"""

__all__ = ["nasbench101", "nats", "parquet", "tfrecord", "watched", "weaknas"]
