"""How long a WeakNAS search of 200 queries takes, in Python and as a whole process, against another source tree.

    python benchmarks/search_speed.py --against ../before [PAIRS]

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
from pathlib import Path

IN_PYTHON = """
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
COMMAND = "import sys; from frugalnas.cli import main; sys.exit(main(sys.argv[1:]))"


def in_python(tree: Path) -> tuple[float, str]:
    """Seconds of a search whose imports are done and whose table is open, and where it went."""
    seconds, _, way = _run(tree, IN_PYTHON).partition(" ")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="?", type=int, default=7)
    parser.add_argument("--against", type=Path, required=True, help="root of another source tree")
    parsed = parser.parse_args()
    trees = [Path(__file__).parent.parent, parsed.against]
    for measure in (in_python, as_process):
        for tree in trees:
            measure(tree)  # reads the files from disk
        pairs = []
        for turn in range(parsed.pairs):
            measured = {tree: measure(tree) for tree in (trees if turn % 2 else trees[::-1])}
            (ours, way), (theirs, other) = (measured[tree] for tree in trees)
            assert way == other, "the two trees search differently"
            pairs.append((ours, theirs))
        ratios = [ours / theirs for ours, theirs in pairs]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        print(
            f"{measure.__name__:10}  {medians[0]:.2f} s against {medians[1]:.2f} s: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
