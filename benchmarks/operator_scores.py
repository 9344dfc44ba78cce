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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import angle as angles_of
import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file
from scipy.stats import t as student

import frugalnas as fn
from frugalnas.data import SplitSpec
from frugalnas.scores import Angle, Counted, OperatorScores, Score, drawn_scores, operator_scores, tensor_names
from frugalnas.scores.expected_angle import left_out
from frugalnas.scores.moments import moments
from frugalnas.scores.operators import STATISTICS
from frugalnas.searches.supernet_scores import open_score
from frugalnas.shrinking import SHRINKERS, Shrinking
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench201
from frugalnas.spaces.arrays import ranks
from frugalnas.studies.remainders import SIZES, Judge, Remainder, Take, compare_shrinking, drawn_ties, shrunk
from frugalnas.tables import Column, Contents, write_table
from frugalnas.tables.catalogue import table_folder
from frugalnas.tensors import read_tensors
from frugalnas.trainings.supernet import train_supernet

REPEATS = 5
SAMPLES = 1_000_000
IMAGES = 9600
"""That a small supernet is trained on: 150 batches an epoch."""

LABELLED = ("random", "true")
RULES = ("one-by-one", "abs-nasbench201")
JUDGED = (
    ("nasbench201/cifar10-official", "validation"),
    ("nasbench201/cifar10-official", "test"),
    ("nasbench201/cifar100-official", "validation"),
    ("nasbench201/cifar100-official", "test"),
    ("nasbench201/imagenet16-120", "validation"),
)
"""What is left is judged by these; a search knows validation accuracies of the same data set alone."""


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
    before, after = (read_tensors(path)[0] for path in paths)
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


def judges(parquet: Path) -> dict[str, Judge]:
    """Of the five columns. The script's cache has the tables that the file becomes."""
    space = NASBench201()
    rows = pq.read_table(parquet)
    codes = np.stack([space.parse(text) for text in rows["arch_str"].to_pylist()])
    order = np.argsort(space.keys(codes))
    for name in ("cifar10", "cifar100"):
        columns = [
            Column(role, rows[f"{name}_{short}200"].to_numpy()[order, None])
            for role, short in (("validation", "val"), ("test", "test"))
        ]
        table = f"nasbench201/{name}-official"
        source = {"file": parquet.name}
        contents = Contents(name=table, space=space, codes=codes[order], columns=columns, source=source, licence="MIT")
        if not table_folder(table).exists():
            write_table(table_folder(table), contents)
    return {
        f"{table.partition('/')[2]} {column}": Judge(space, fn.open_table(table), column) for table, column in JUDGED
    }


def left(parquet: Path, seeds: int) -> None:
    judges(parquet)  # which writes the tables
    for rule in RULES:
        rows: dict[str, dict[str, list[Remainder]]] = {}
        for table, column in JUDGED:
            compared = partial(compare_shrinking, [], [table], shrinker=rule, against=column)
            found = [("", compared(["random", "params"], trials=4 * seeds))]
            for statistic in STATISTICS:
                found.append((f", {statistic}", compared(["labels", "labels:100"], statistic=statistic, trials=seeds)))
            for words, each in ((words, each) for words, remainders in found for each in remainders.found):
                rows.setdefault(each.score + words, {}).setdefault(f"{table} {column}", []).append(each)
        print(f"\n{rule}\n| | {' | '.join(' '.join(judged) for judged in JUDGED)} |")
        for name, columns in rows.items():
            words = ["; ".join(map(shown, numbers(each).transpose(1, 0, 2))) for each in columns.values()]
            print(f"| {name} | {' | '.join(words)} |", flush=True)


def numbers(found: Sequence[Remainder]) -> np.ndarray:
    """Best accuracy and per cent of the best cells, shape [seeds, sizes, 2]."""
    return np.array([np.stack([each.best, 100 * np.array(each.share)], axis=1) for each in found])


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


def untrained(name: str, run: Path, cache: Path) -> np.ndarray:
    """A score of all cells as small untrained networks, of one initialisation; what is in the cache is not computed again."""
    file = cache / f"{name}.npy"
    if not file.exists():
        started = time.process_time()
        score = open_score(run, name)
        np.save(file, score(score.space.enumerate()))
        print(f"{name} of all cells in {time.process_time() - started:.0f} processor seconds", flush=True)
    return np.load(file)


def joined(*scores: np.ndarray) -> np.ndarray:
    """The mean of their ranks among all cells, as `+` joins scores."""
    return np.mean([ranks(values) for values in scores], axis=0)


def known_by(runs: dict[tuple[str, int], Path], flow: np.ndarray, kernel: np.ndarray) -> dict[str, list[np.ndarray]]:
    """What each way knows of all cells: one array where no supernet has a part in it, else one for each seed."""
    space = NASBench201()
    codes = space.enumerate()
    params = space.count("params", codes)
    found = {"synflow": [flow], "params+synflow": [joined(params, flow)]}
    found |= {"naswot": [kernel], "naswot+synflow": [joined(kernel, flow)]}
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
        found[f"{labels} labels, angle+naswot"] = [joined(angle, kernel) for angle in of_each]
        found[f"{labels} labels, angle+naswot+synflow"] = [joined(angle, kernel, flow) for angle in of_each]
    return found


def supernets(parquet: Path, images: Path, cache: Path, seeds: int) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    runs = {(labels, seed): supernet(images, cache, labels, seed) for seed in range(seeds) for labels in LABELLED}
    columns = judges(parquet)
    size = partial(operator_scores, Counted(NASBench201()))
    ways: dict[str, list[Take]] = {
        "random": [partial(drawn_scores, seed=seed) for seed in range(4 * seeds)],
        "params": [partial(drawn_ties, size, seed) for seed in range(4 * seeds)],
    }
    flow, kernel = (untrained(name, runs["random", 0], cache) for name in ("synflow", "naswot"))
    for name, known in known_by(runs, flow, kernel).items():
        for statistic in STATISTICS:
            takes = [partial(operator_scores, Known(values), statistic=statistic) for values in known]
            ways[f"{name}, {statistic}"] = takes
    for rule in RULES:
        found = {}  # [columns, seeds, sizes, 2]
        for name, takes in ways.items():
            ends = [shrunk(Shrinking(NASBench201(), SHRINKERS[rule]), take) for take in takes]
            found[name] = np.array(
                [
                    numbers([judge.judged(name, seed, end) for seed, end in enumerate(ends)])
                    for judge in columns.values()
                ]
            )
        print(f"\n{rule}: mean and 95 % interval over seeds\n| | {' | '.join(columns)} |")
        for name, of_columns in found.items():
            words = ["; ".join(map(estimated, column.transpose(1, 0, 2))) for column in of_columns]
            print(f"| {name} | {' | '.join(words)} |", flush=True)
        for place, most in enumerate(SIZES):
            print(f"\n{rule}, at most {most} cells: each seed\n| | {' | '.join(columns)} |")
            for name, of_columns in found.items():
                if of_columns.shape[1] == seeds:
                    each = [
                        " ".join(f"{best:.2f}/{share:.0f}" for best, share in column[:, place]) for column in of_columns
                    ]
                    print(f"| {name} | {' | '.join(each)} |", flush=True)


class Known(Score):
    """A number for each cell of NAS-Bench-201, in the order of `enumerate`."""

    def __init__(self, values: np.ndarray) -> None:
        self.name, self.space, self.values = "known", NASBench201(), values

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        return self.values[self.space.keys(codes).astype(int)]


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
    os.environ["FRUGALNAS_CACHE"] = str(given.cache / "tables")
    if given.part == "left":
        left(given.parquet, given.seeds)
    elif given.part == "supernets":
        torch.set_num_threads(1)
        supernets(given.parquet, given.images, given.cache, given.seeds)
    else:
        {"times": times, "million": million}[given.part]()


if __name__ == "__main__":
    main()
