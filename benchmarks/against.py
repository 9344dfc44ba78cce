"""How long a WeakNAS search of 200 queries (in Python and as a whole process), a supernet's step, all angles of NAS-Bench-201 and
a million counts take, against another source tree.

    python benchmarks/against.py --against ../before [PAIRS] [--only search,process,step,angles,counts]

Pairs of runs, the order changing; what is compared is processor time, which other programs on the machine disturb least.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

SEARCH = """
import time
import frugalnas as fn
table = fn.open_table("nasbench201/cifar10")
def search():
    return fn.search(fn.WeakNAS(table.space, seed=0), fn.TableEvaluator(table=table), 200)
search()
began = time.process_time()
for _ in range(3):
    found = search()
print((time.process_time() - began) / 3, found.codes.tolist())
"""
STEP = """
import time, torch
import frugalnas as fn
from frugalnas.supernets import SupernetRecipe, SupernetStep, path_sampler, supernet_of
from frugalnas.training import Objective, Position, optimizer_for, schedule_for
torch.set_num_threads(1)
torch.manual_seed(0)
recipe = SupernetRecipe(epochs=100, optimizer="sgd", lr=0.025, momentum=0.9, weight_decay=5e-4)
try:
    fabric = fn.Compute("cpu").fabric()
except AttributeError:  # before Compute was a record
    from frugalnas.training import fabric_for
    fabric = fabric_for("cpu")
fabric.launch()
space = fn.NASBench201(width=16, cells=5, input_size=32)
supernet = supernet_of(space).to(memory_format=torch.channels_last)
optimizer = optimizer_for(recipe, supernet)
wrapped = fabric.setup(supernet, optimizer)
schedule, paths = schedule_for(recipe, optimizer, steps_per_epoch=10**6), path_sampler("cell", space, supernet.draws, 0)
step = SupernetStep(fabric, *wrapped, schedule, recipe, Objective(recipe, 10), paths, memory_format=torch.channels_last)
batch = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
losses = []
for number in range(23):
    if number == 3:
        began = time.process_time()
    losses.append(float(step(batch, Position(0, number, 100, 10**6))["loss"]))
print((time.process_time() - began) / 20, [format(loss, ".3g") for loss in losses])
"""
ANGLES = """
import time, torch
import frugalnas as fn
from frugalnas.scores import Angle, angle_table, rule_for, tensor_names, triples
from frugalnas.supernets import supernet_of
torch.manual_seed(0)
space = fn.NASBench201()
first, last = supernet_of(space), supernet_of(space)
turned = triples(tensor_names(first), first.state_dict(), last.state_dict())
score, codes = Angle(space, angle_table(first, turned, rule_for(space, "default"))), space.enumerate()
score(codes)
began = time.process_time()
for _ in range(20):
    angles = score(codes)
print((time.process_time() - began) / 20, format(angles.sum(), ".9g"))
"""
COUNTS = """
import time
import numpy as np
import frugalnas as fn
space = fn.MobileNet()
codes = space.sample(1_000_000, np.random.default_rng(0))
space.count("macs", codes)
began = time.process_time()
for _ in range(5):
    macs = space.count("macs", codes)
print((time.process_time() - began) / 5, macs.sum())
"""
COMMAND = "import sys; from frugalnas.cli import main; sys.exit(main(sys.argv[1:]))"


def in_python(code: str, tree: Path) -> tuple[float, str]:
    """Seconds of processor time of what the code does once its imports are done, and what came out."""
    seconds, _, way = _run(tree, code).partition(" ")
    return float(seconds), way


def as_process(tree: Path) -> tuple[float, str]:
    """Seconds of `frugalnas search`, from the start of Python to its pictures, and where it went."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _run(tree, COMMAND, "search", "weaknas", "--queries", "200", "--quiet", "--run-dir", str(run))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, (run / "journal.jsonl").read_text()


def _run(tree: Path, code: str, *arguments: str) -> str:
    variables = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is compiled once, not at each start
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=variables, check=True, capture_output=True, text=True
    )
    return done.stdout


MEASURES: dict[str, Callable[[Path], tuple[float, str]]] = {
    "search": partial(in_python, SEARCH),
    "process": as_process,
    "step": partial(in_python, STEP),
    "angles": partial(in_python, ANGLES),
    "counts": partial(in_python, COUNTS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="?", type=int, default=7)
    parser.add_argument("--against", type=Path, required=True, help="root of another source tree")
    parser.add_argument("--only", default=",".join(MEASURES))
    parsed = parser.parse_args()
    trees = [Path(__file__).parent.parent, parsed.against]
    for name in parsed.only.split(","):
        measure = MEASURES[name]
        for tree in trees:
            measure(tree)  # reads the files from disk
        pairs = []
        for turn in range(parsed.pairs):
            measured = {tree: measure(tree) for tree in (trees if turn % 2 else trees[::-1])}
            (ours, way), (theirs, other) = (measured[tree] for tree in trees)
            assert way == other, "the two trees do not come to the same"
            pairs.append((ours, theirs))
        ratios = [ours / theirs for ours, theirs in pairs]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        print(
            f"{name:8}  {1e3 * medians[0]:.4g} ms against {1e3 * medians[1]:.4g} ms: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
