"""Scores of operators: how long they take, how near they are to a million samples, and what they leave of NAS-Bench-201.

Times are those of one core. What is left of NAS-Bench-201 is judged on five columns of the benchmark: `left` trains no supernet,
`supernets` ten small ones, in half a minute of processor time each, and keeps them in a temporary folder.

python benchmarks/operator_scores.py times
python benchmarks/operator_scores.py million
python benchmarks/operator_scores.py left ../shared/data/nasbench201.parquet
python benchmarks/operator_scores.py supernets ../shared/data/nasbench201.parquet ../shared/data/cifar10
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import angle as angles_of
import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import t as student

import frugalnas as fn
from frugalnas.data import SplitSpec
from frugalnas.predictors import GaussianProcess
from frugalnas.scores import Angle, Counted, OperatorScores, drawn_scores, operator_scores, scores_of, tensor_names
from frugalnas.scores.expected_angle import left_out
from frugalnas.scores.moments import moments
from frugalnas.scores.operators import STATISTICS
from frugalnas.searches.supernet_scores import open_score
from frugalnas.shrinking import Shrinker, Shrinking
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench201, Population, SearchSpace
from frugalnas.spaces.arrays import ranks
from frugalnas.trainings.supernet import train_supernet

REPEATS = 5
SAMPLES = 1_000_000
SIZES = (2000, 500, 100)
BEST_CELLS = 156
IMAGES = 9600
"""That a small supernet is trained on: 150 batches an epoch."""

LABELLED = ("random", "true")

COLUMNS = ("cifar10_val200", "cifar10_test200", "cifar100_val200", "cifar100_test200", "imagenet16-120 validation")
LABELS = {column: column.replace("test", "val") for column in COLUMNS}
"""A search knows validation accuracies of the same data set alone."""

Take = Callable[[SearchSpace], OperatorScores]


def seconds(work: Callable[[], object]) -> str:
    """Median and range over repeats, in time of the one core that is used."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return f"{statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})"


# -- times -------------------------------------------------------------------------------------------------------------


def times() -> None:
    for space, limits in ((MobileNet(), "macs<=475e6"), (MobileNet(), "macs<=600e6"), (FairNAS(), "macs<=330e6")):
        score = angles_of.angles(*angles_of.made_up_weights(space))
        limited = space.where(limits)
        limited.sample(1, np.random.default_rng(0))  # blocks are counted
        found = operator_scores(score, limited)
        number = int((found.shares > 0).sum())
        print(f"{space.name}, {limits}: {number} operators in {seconds(partial(operator_scores, score, limited))}")
        print(f"    {found.said}; operators differ by {np.nanstd(found.scores):.1e} rad")
        print(f"    parameters of the same, exact: {seconds(partial(operator_scores, Counted(space), limited))}")

    space = DARTS(macro="imagenet")
    supernet, *weights = angles_of.made_up_weights(space)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{place}.safetensors" for place in range(2)]
        for path, state in zip(paths, weights, strict=True):
            save_file({name: state[name].detach().contiguous() for name in tensor_names(supernet)}, path)
        for rule in (None, "abs-darts"):
            everything = partial(from_disk, supernet, paths, rule)
            print(f"darts, C = 48, 14 cells, rule {rule or 'default'}, two state dicts on disk: {seconds(everything)}")
            score = angles_of.angles(supernet, *weights, rule)
            print(f"    of that the scores: {seconds(partial(operator_scores, score))}; {operator_scores(score).said}")

    space = NASBench201()
    score = angles_of.angles(*angles_of.made_up_weights(space))
    print(f"nasbench201: 30 operators from the angles of all cells in {seconds(partial(operator_scores, score))}")


def from_disk(supernet: torch.nn.Module, paths: list[Path], rule: str | None) -> OperatorScores:
    """Both state dicts, their triples, the table, the scores; the supernet is there, as in a run, without its weights."""
    before, after = (load_file(path) for path in paths)
    return operator_scores(angles_of.angles(supernet, before, after, rule))


# -- a million samples -------------------------------------------------------------------------------------------------


def million() -> None:
    space = MobileNet()
    weights = angles_of.made_up_weights(space)
    for limits in ("macs<=475e6", "macs<=600e6"):
        for rule in (None, "abs-mobilenet", "rlnas-mobilenet"):
            score = angles_of.angles(*weights, rule)
            limited = space.where(limits)
            found = operator_scores(score, limited)
            codes = limited.sample(SAMPLES, np.random.default_rng(1))
            against(found, codes, score)
            off = left_out(score.table, moments(limited, score.table.table), codes)
            print(
                f"    {limits}, {rule or 'default'}: bias {off:.1e} rad, operators differ by {np.nanstd(found.scores):.1e}"
            )


def against(found: OperatorScores, codes: np.ndarray, score: Angle) -> None:
    values, z, errors = score(codes), [], []
    for gene, value in np.argwhere(found.shares > 0):
        own = values[codes[:, gene] == value]
        errors.append(own.std() / np.sqrt(len(own)))
        z.append((found.scores[gene, value] - own.mean()) / errors[-1])
    z = np.abs(z)
    print(
        f"{len(z)} operators against {SAMPLES:,} samples: {(z > 3).sum()} beyond 3 standard errors, {(z > 5).sum()} beyond 5, "
        f"largest {z.max():.2f}, root mean square {np.sqrt((z**2).mean()):.2f}; a standard error is {np.median(errors):.1e} rad"
    )


# -- what is left of NAS-Bench-201 -------------------------------------------------------------------------------------


def accuracies(parquet: Path) -> dict[str, np.ndarray]:
    """Five columns in the order of `enumerate`."""
    space = NASBench201()
    rows = pq.read_table(parquet)
    places = space.keys(np.stack([space.parse(text) for text in rows["arch_str"].to_pylist()])).astype(int)
    columns = {}
    for name in COLUMNS[:4]:
        columns[name] = np.empty(space.size)
        columns[name][places] = rows[name].to_numpy()
    table = fn.open_table("nasbench201/imagenet16-120")
    columns[COLUMNS[4]] = table.labels()[table.rows(space.enumerate())]
    return columns


def of_values(values: np.ndarray, statistic: str, ties: int | None = None) -> Take:
    """Scores by one number for each cell; `ties` draws the order of equal operators, of which parameters have many."""
    space = NASBench201()
    order = np.zeros((6, 5)) if ties is None else np.random.default_rng(ties).random((6, 5))

    def take(left: SearchSpace) -> OperatorScores:
        codes = left.enumerate()
        found = scores_of(codes, values[space.keys(codes).astype(int)], left, name="values", statistic=statistic)
        return replace(found, scores=found.scores * (1 + 1e-7 * order))

    return take


def shrunk(take: Take, at_once: bool) -> list[SearchSpace]:
    """The sub-spaces after each drop, down to one cell."""
    space = NASBench201()
    if not at_once:
        found, shrinking = [space], Shrinking(space, Shrinker(rescored=True))
        while not shrinking.done:
            shrinking = shrinking.step(take(shrinking.space))
            found.append(shrinking.space)
        return found
    shrinking = Shrinking(space, Shrinker(drop=24)).step(take(space))
    left, found = shrinking.operators.left(space.allowed), [space]
    for drop in shrinking.drops:
        left[drop.number] = False
        found.append(space.restrict(shrinking.operators.allowed(left)))
    return found


def judged(spaces: list[SearchSpace], values: np.ndarray) -> np.ndarray:
    """Best accuracy left, and per cent of the best 156 cells, at the first sub-space of each size, [sizes, 2]."""
    best = set(np.argsort(-values)[:BEST_CELLS].tolist())
    rows = []
    for size in SIZES:
        left = next(space for space in spaces if space.size <= size)
        places = left.keys(left.enumerate()).astype(int).tolist()
        rows.append((values[places].max(), 100 * len(best.intersection(places)) / BEST_CELLS))
    return np.array(rows)


def learned(values: np.ndarray, seed: int) -> np.ndarray:
    """All cells by a Gaussian process that has seen 100 labels."""
    space = NASBench201()
    codes = space.enumerate()
    known = np.random.default_rng(seed).choice(len(codes), 100, replace=False)
    model = GaussianProcess(ranks=True)
    model.prepare(space)
    model.fit(Population(space, codes[known]), values[known])
    return model.predict(Population(space, codes)).mean


def left(parquet: Path, seeds: int) -> None:
    columns = accuracies(parquet)
    space = NASBench201()
    params = space.count("params", space.enumerate())
    for at_once in (False, True):
        print("at once" if at_once else "one after the other")
        rows: dict[str, list[np.ndarray]] = {}
        for column, values in columns.items():
            labels = columns[LABELS[column]]
            ways: dict[str, list[Take]] = {
                "random": [partial(drawn_scores, seed=seed) for seed in range(4 * seeds)],
                "parameters": [of_values(params, "mean", seed) for seed in range(4 * seeds)],
            }
            for statistic in ("mean", "best-tenth", "maximum"):
                ways[f"labels, {statistic}"] = [of_values(labels, statistic)]
                ways[f"100 labels, {statistic}"] = [
                    of_values(learned(labels, seed), statistic) for seed in range(seeds)
                ]
            for name, takes in ways.items():
                all_seeds = np.array([judged(shrunk(take, at_once), values) for take in takes])
                rows.setdefault(name, []).append(all_seeds)
        print(f"| | {' | '.join(columns)} |")
        for name, found in rows.items():
            words = ["; ".join(shown(seeds[:, size]) for size in range(len(SIZES))) for seeds in found]
            print(f"| {name} | {' | '.join(words)} |", flush=True)


def shown(values: np.ndarray) -> str:
    """Mean over seeds of accuracy / per cent, and the range of the latter where there are several."""
    best, share = values.mean(axis=0)
    spread = f" ({values[:, 1].min():.0f} to {values[:, 1].max():.0f})" if len(values) > 1 else ""
    return f"{best:.2f}/{share:.0f}{spread}"


# -- what small supernets leave of it ----------------------------------------------------------------------------------


def supernet(images: Path, cache: Path, labels: str, seed: int) -> Path:
    """The run of a small supernet that has seen some images twice; one that is in the cache is not trained again."""
    folder = cache / f"{labels}-seed{seed}"
    if folder.exists():
        fn.resume_run(folder)  # does nothing where it is finished
        return folder
    started = time.process_time()
    some, first = cache / "images", "train-00000-of-00002.parquet"
    if not some.exists():
        some.mkdir()
        pq.write_table(pq.read_table(images / first).slice(0, IMAGES), some / first)
    train_supernet(
        NASBench201(width=8, cells=1),
        fn.Images(some, split=SplitSpec("whole", val=0.0, test=0.0)),
        "rlnas-nasbench201",
        run_dir=folder,
        settings={"labels": labels, "epochs": 2, "schedule_epochs": 250},
        seed=seed,
        compute=fn.Compute("cpu"),
    )
    print(f"trained {folder.name} in {time.process_time() - started:.0f} processor seconds", flush=True)
    return folder


def synflow(run: Path, cache: Path) -> np.ndarray:
    """Of all cells as small untrained networks, of one initialisation; what is in the cache is not computed again."""
    file = cache / "synflow.npy"
    if not file.exists():
        started = time.process_time()
        score = open_score(run, "synflow")
        np.save(file, score(score.space.enumerate()))
        print(f"SynFlow of all cells in {time.process_time() - started:.0f} processor seconds", flush=True)
    return np.load(file)


def joined(*scores: np.ndarray) -> np.ndarray:
    """The mean of their ranks among all cells, as `+` joins scores."""
    return np.mean([ranks(values) for values in scores], axis=0)


def known_by(runs: dict[tuple[str, int], Path], flow: np.ndarray) -> dict[str, list[np.ndarray]]:
    """What each way knows of all cells: one array where no supernet has a part in it, else one for each seed."""
    space = NASBench201()
    codes = space.enumerate()
    params = space.count("params", codes)
    found = {"synflow": [flow], "params+synflow": [joined(params, flow)]}
    for labels in LABELLED:
        folders = [folder for (name, _), folder in runs.items() if name == labels]
        angles = {
            (rule, base): [open_score(folder, rule=rule, base=base)(codes) for folder in folders]
            for rule in ("default", "abs-nasbench201")
            for base in (0, 1)
        }
        found |= {f"{labels} labels, angle by {rule} from epoch {base}": each for (rule, base), each in angles.items()}
        of_each = angles["default", 1]
        found[f"{labels} labels, angle+params"] = [joined(angle, params) for angle in of_each]
        found[f"{labels} labels, angle+synflow"] = [joined(angle, flow) for angle in of_each]
        found[f"{labels} labels, angle+params+synflow"] = [joined(angle, params, flow) for angle in of_each]
    return found


def supernets(parquet: Path, images: Path, cache: Path, seeds: int) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    runs = {(labels, seed): supernet(images, cache, labels, seed) for seed in range(seeds) for labels in LABELLED}
    columns = accuracies(parquet)
    space = NASBench201()
    params = space.count("params", space.enumerate())
    ways: dict[str, list[Take]] = {
        "random": [partial(drawn_scores, seed=seed) for seed in range(4 * seeds)],
        "parameters": [of_values(params, "mean", seed) for seed in range(4 * seeds)],
    }
    for name, known in known_by(runs, synflow(runs["random", 0], cache)).items():
        for statistic in STATISTICS:
            ways[f"{name}, {statistic}"] = [of_values(values, statistic) for values in known]
    for at_once in (False, True):
        found = {}  # [seeds, columns, sizes, 2]
        for name, takes in ways.items():
            spaces = [shrunk(take, at_once) for take in takes]
            found[name] = np.array([[judged(each, values) for values in columns.values()] for each in spaces])
        how = "at once" if at_once else "one after the other"
        print(f"\n{how}: mean and 95 % interval over seeds\n| | {' | '.join(columns)} |")
        for name, of_seeds in found.items():
            words = ["; ".join(estimated(each) for each in column) for column in of_seeds.transpose(1, 2, 0, 3)]
            print(f"| {name} | {' | '.join(words)} |", flush=True)
        for place, size in enumerate(SIZES):
            print(f"\n{how}, at most {size} cells: each seed\n| | {' | '.join(columns)} |")
            for name, of_seeds in found.items():
                if len(of_seeds) == seeds:
                    each = [
                        " ".join(f"{best:.2f}/{share:.0f}" for best, share in of_seeds[:, c, place]) for c in range(5)
                    ]
                    print(f"| {name} | {' | '.join(each)} |", flush=True)


def estimated(values: np.ndarray) -> str:
    """Mean of accuracy / per cent, each with Student's 95 % interval where there are several seeds, shape [seeds, 2]."""
    best, share = values.mean(axis=0)
    if len(values) == 1:
        return f"{best:.2f}/{share:.0f}"
    margins = student.ppf(0.975, len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return f"{best:.2f} ± {margins[0]:.2f}/{share:.0f} ± {margins[1]:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["times", "million", "left", "supernets"])
    parser.add_argument("parquet", nargs="?", type=Path, help="nasbench201.parquet")
    parser.add_argument("images", nargs="?", type=Path, help="folder with CIFAR-10's Parquet files")
    parser.add_argument("--seeds", type=int, default=5)
    cache = Path(tempfile.gettempdir()) / "frugalnas-operator-scores"
    parser.add_argument("--cache", type=Path, default=cache, help=f"folder that keeps trained supernets [{cache}]")
    given = parser.parse_args()
    if given.part == "left":
        left(given.parquet, given.seeds)
    elif given.part == "supernets":
        torch.set_num_threads(1)
        supernets(given.parquet, given.images, given.cache, given.seeds)
    else:
        {"times": times, "million": million}[given.part]()


if __name__ == "__main__":
    main()
