"""How long `frugalnas --help` takes as a whole process, against `python -c "import numpy"`: paired runs, the order changing.

    python benchmarks/startup.py [PAIRS]

Command lines are judged by how soon they answer; what is compared with is the least that any numerical program takes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ENTRY = "import sys; from frugalnas.cli import main; sys.exit(main(sys.argv[1:]))"
COMMANDS = {
    "numpy": ["-c", "import numpy"],
    "frugalnas --help": ["-c", ENTRY, "--help"],
    "frugalnas --version": ["-c", ENTRY, "--version"],
    "frugalnas search --help": ["-c", ENTRY, "search", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of a Python process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(pairs + 1):
        for name in list(COMMANDS)[:: 1 if turn % 2 else -1]:
            spent = seconds(COMMANDS[name])
            if turn:  # the first turn reads the files from disk
                took[name].append(spent)
    for name, times in took.items():
        ratios = [spent / base for spent, base in zip(times, took["numpy"], strict=True)]
        print(f"{name:26}{1000 * statistics.median(times):7.1f} ms  {statistics.median(ratios):5.2f} of numpy's")


if __name__ == "__main__":
    main()
