"""A kind of run of your own: frugalnas resumes, shows and lists it as its own.

python examples/own_kind.py runs/census; PYTHONPATH=examples frugalnas resume runs/census; pytest examples/test_own_kind.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from frugalnas.registry import SPACES
from frugalnas.runs import RunFolder
from frugalnas.runs.kinds import Page, Row, RunKind
from frugalnas.runs.progress import Callback


class Census(RunKind):
    """Parameters of random architectures, a line of the journal for each."""

    name = "own_kind:Census"
    config = {"space": str, "draws": int, "seed": int}  # noqa: RUF012
    line = {"params": float}  # noqa: RUF012

    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> None:
        space, draws = SPACES.create(folder.config["space"]), folder.config["draws"]
        with folder.held():
            done = sum(1 for _ in folder.lines())
            for callback in callbacks:
                callback.on_start(done, draws)
            for number in range(done, draws):
                code = space.sample(1, np.random.default_rng([folder.config["seed"], number]))
                folder.append({"architecture": space.format(code[0]), "params": float(space.count("params", code)[0])})
                for callback in callbacks:
                    callback.on_progress(number + 1)
            folder.close()

    def load(self, folder: RunFolder) -> list[float]:
        return [line["params"] for line in folder.lines()]

    def finished(self, folder: RunFolder) -> bool:
        return len(self.load(folder)) == folder.config["draws"]

    def row(self, folder: RunFolder) -> Row:
        return Row(folder.config["space"], f"{len(self.load(folder))} of {folder.config['draws']} architectures")

    def page(self, result: list[float]) -> Page:
        return Page([("mean", f"{np.mean(result) / 1e6:.3f} M parameters"), ("drawn", str(len(result)))])

    def numbers(self, result: list[float]) -> dict[str, Any]:
        return {"params": result}


if __name__ == "__main__":
    from own_kind import Census as Kind  # by the name that finds it again

    Kind().start(sys.argv[1], {"space": "nasbench201", "draws": 100, "seed": 0})
