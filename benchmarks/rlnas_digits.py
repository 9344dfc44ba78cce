"""RLNAS on digits against chance: the cell that it finds, and 20 random cells of similar cost, trained in the same way.

For every seed `frugalnas rlnas` runs with its defaults (or under a budget); then 20 distinct cells are drawn among those whose
multiply-adds lie within 25 % of the found cell's (the nearest ones where fewer do), and trained with the recipe, data, split
and seed of the retraining. Two processes of one thread each train them. A run that was interrupted goes on.

    python benchmarks/rlnas_digits.py --seeds 0
    python benchmarks/rlnas_digits.py --seeds 0 --budget 'macs<=3e6' --folder runs/rlnas-digits-3M
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

from frugalnas.methods.kind import MethodResult, load_method
from frugalnas.methods.rlnas import rlnas
from frugalnas.methods.spaces import alive
from frugalnas.runs import RunFolder
from frugalnas.runs.kinds import resume_run
from frugalnas.spaces import Architecture, Codes, SearchSpace
from frugalnas.training import Compute
from frugalnas.trainings.network import load_training, train

RANDOM = 20
SIMILAR = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budget", default=None, metavar="LIMIT")
    parser.add_argument("--folder", type=Path, default=Path("runs/rlnas-digits"))
    options = parser.parse_args()
    for seed in options.seeds:
        found = search(options.folder / f"seed{seed}", seed, options.budget)
        codes = similar(found, seed)
        layout = bool(RunFolder(found.network).config["device"]["channels_last"])
        jobs = [
            (found.space, code, options.folder / f"seed{seed}-random{place:02d}", seed, layout)
            for place, code in enumerate(codes)
        ]
        with ProcessPoolExecutor(2) as pool:
            others = np.array(list(pool.map(accuracies, jobs)))
        report(found, found.space.count("macs", codes), others, seed)


def search(run_dir: Path, seed: int, budget: str | None) -> MethodResult:
    """What RLNAS finds, from the folder where it has been there before."""
    if (run_dir / "result.json").exists():
        return load_method(run_dir)
    if run_dir.exists():
        found: MethodResult = resume_run(run_dir)
        return found
    return rlnas(data="digits", run_dir=run_dir, where=budget, seed=seed, compute=Compute("cpu"))


def similar(found: MethodResult, seed: int) -> Codes:
    """Random cells of about the found one's cost, distinct from it and from one another."""
    space = found.space
    codes = alive(space, space.enumerate())
    networks = space.network_ids(codes)
    first = np.sort(np.unique(networks, return_index=True)[1])
    codes = codes[first[networks[first] != space.network_ids(found.code[None])[0]]]
    apart = np.abs(space.count("macs", codes) / found.macs - 1)
    near = codes[apart <= max(SIMILAR, np.sort(apart)[RANDOM - 1])]
    return near[np.random.default_rng(seed).permutation(len(near))[:RANDOM]]


def accuracies(job: tuple[SearchSpace, Codes, Path, int, bool]) -> tuple[float, float]:
    """(validation, test) accuracy in % of a cell that is trained as RLNAS retrains the one it found."""
    space, code, run_dir, seed, layout = job
    if not run_dir.exists():
        compute = Compute("cpu", channels_last=layout)
        train(Architecture(space, code), run_dir=run_dir, seed=seed, compute=compute)
    result = load_training(run_dir)
    if not result.finished:
        result = resume_run(run_dir)
    assert result.test is not None
    return result.epochs[result.selected - 1]["val_accuracy"], result.test.top1


def report(found: MethodResult, macs: np.ndarray, others: np.ndarray, seed: int) -> None:
    print(f"seed {seed}: {found.architecture}, {found.macs / 1e6:.2f} M multiply-adds, angle {found.score:.4f} rad")
    print(f"  {len(others)} random cells of {macs.min() / 1e6:.2f} to {macs.max() / 1e6:.2f} M")
    for column, (part, own) in enumerate((("validation", found.val), ("test", found.test))):
        values = others[:, column]
        print(
            f"  {part:10}  found {own:.2f} %; random mean {values.mean():.2f}, median {np.median(values):.2f}, "
            f"worst {values.min():.2f}, best {values.max():.2f}; {(values < own).sum()} are worse, "
            f"{(values == own).sum()} equal, {(values > own).sum()} better"
        )


if __name__ == "__main__":
    main()
