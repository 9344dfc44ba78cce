#!/usr/bin/env bash
# lmdb 3.0.0 tells open environments apart by inode, not by path: a data set that was copied by hard links (cp -l, a deduplicating
# cache) cannot be opened beside its original in one process, and the error names a path that nobody has opened.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet lmdb==3.0.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import os

import lmdb

print("lmdb", lmdb.__version__)
options = {"subdir": False, "readonly": True, "lock": False}
written = lmdb.open("train.lmdb", subdir=False, map_size=1 << 20)
with written.begin(write=True) as transaction:
    transaction.put(b"0", b"an image")
written.close()
with open("train.lmdb", "rb") as source, open("copied.lmdb", "wb") as target:
    target.write(source.read())
os.link("train.lmdb", "linked.lmdb")

original = lmdb.open("train.lmdb", **options)
lmdb.open("copied.lmdb", **options).close()
print("a copy beside the original: opens")
try:
    lmdb.open("linked.lmdb", **options)
except lmdb.Error as error:
    print(f"a hard link beside the original: {type(error).__name__}: {os.path.basename(str(error))}")
    assert "linked.lmdb" in str(error) and "already open" in str(error)
else:
    raise SystemExit("a hard link opens beside the original now")
PYTHON
