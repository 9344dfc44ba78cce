"""What a user brings along: functions of an architecture string, and evaluators, reached as `user_code:name`.

The environment says what is special about a process: USER_CODE_SECONDS how long an evaluation takes, USER_CODE_HANGS and
USER_CODE_EXITS which architectures hang or end the process: the first, second and third by exit codes 0 and 3, and SIGKILL.
"""

from __future__ import annotations

import errno
import os
import signal
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import Page, Row, RunKind
from frugalnas.runs.progress import Callback
from frugalnas.searches import Executor, SerialExecutor
from frugalnas.searches.executors import evaluate_safely
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies import Strategy

NOT_CALLABLE = 3

WORTH = {"none": 0.0, "skip_connect": 4.0, "nor_conv_1x1": 7.0, "nor_conv_3x3": 9.0, "avg_pool_3x3": 3.0}


def worth(architecture: str) -> float:
    """A made-up accuracy: convolutions are good, and every cell has a little luck of its own."""
    operations = [edge.partition("~")[0] for edge in architecture.replace("+", "").strip("|").split("|") if edge]
    return sum(WORTH[operation] for operation in operations) + zlib.crc32(architecture.encode()) / 2**32


def slow(architecture: str) -> dict[str, float]:
    """The same after a while, with a second measurement."""
    time.sleep(float(os.environ.get("USER_CODE_SECONDS", "0")))
    return {"value": worth(architecture), "length": float(len(architecture))}


def worded(architecture: str) -> dict[str, object]:
    """The same, with a measurement that is no number."""
    return {"value": worth(architecture), "device": "phone"}


def treacherous(architecture: str) -> float:
    """The same, except for one architecture that never ends and some that take their process with them."""
    if architecture == os.environ.get("USER_CODE_HANGS"):
        time.sleep(600)
    exits = os.environ.get("USER_CODE_EXITS", "").split(";")
    if architecture in exits:
        os.kill(os.getpid(), signal.SIGKILL) if exits.index(architecture) == 2 else os._exit(
            3 * exits.index(architecture)
        )
    return worth(architecture)


def hopeless(architecture: str) -> float:
    """Nothing works."""
    raise RuntimeError("no GPU is free")


def on_a_full_disk(architecture: str) -> float:
    """Works for most, then there is no room."""
    if "nor_conv_3x3~0" in architecture:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/model")
    return worth(architecture)


class Digits(SearchSpace):
    """Two numbers written with leading zeros: `007012`.

    Args:
        choices: of each number, at most 1,000.
    """

    name = "digits"

    def __init__(self, *, choices: int = 1_000) -> None:
        self.choices = choices
        self.allowed = np.ones((2, choices), np.bool_)

    def format(self, code: Codes) -> str:
        return "".join(f"{value:03d}" for value in code)

    def parse(self, text: str) -> Codes:
        if len(text) != 6 or not text.isascii() or not text.isdecimal() or max(map(int, digits(text))) >= self.choices:
            raise FrugalnasError(f"{text!r} is not twice three digits below {self.choices}")
        return self.as_codes([int(part) for part in digits(text)])


def digits(architecture: str) -> tuple[str, str]:
    return architecture[:3], architecture[3:]


def total(architecture: str) -> float:
    """The sum of both numbers."""
    return float(sum(map(int, digits(architecture))))


class Shifted(Evaluator):
    """The made-up accuracy plus a constant.

    Args:
        space: whose notation is used.
        shift: the constant.
        names: to be remembered.
    """

    def __init__(self, space: SearchSpace, *, shift: float = 0.0, names: tuple[str, ...] = ()) -> None:
        self.space = space
        self.shift = shift
        self.names = tuple(names)

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        return Evaluations(np.array([worth(self.space.format(code)) + self.shift for code in trials.codes]))


class Summed(Evaluator):
    """What a test puts into its `answer`.

    Args:
        vectorised: whether rounds are answered in one call.
    """

    def __init__(self, *, vectorised: bool = False) -> None:
        self.vectorised = vectorised

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        return self.answer(trials)


class Counting(Evaluator):
    """An evaluator whose answers depend on how often it was asked."""

    stateful = True

    def __init__(self) -> None:
        self.asked = 0

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        self.asked += len(trials)
        return Evaluations(np.arange(self.asked - len(trials), self.asked, dtype=np.float64))

    def state_dict(self) -> dict[str, int]:
        return {"asked": self.asked}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.asked = state["asked"]


class Weighing(Evaluator):
    """An evaluator with a tensor that grows with every answer."""

    stateful = True

    def __init__(self) -> None:
        import torch

        self.weights = torch.zeros(3)

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        self.weights += 1.0
        return Evaluations(np.full(len(trials), float(self.weights.sum())))

    def state_dict(self) -> dict[str, object]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.weights = state["weights"]


class Halfway(Evaluator):
    """A network is worth as much as it was evaluated thoroughly, and a little for its first gene."""

    takes_fidelity = True

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        level = np.full(len(trials), np.nan) if trials.fidelity is None else trials.fidelity
        return Evaluations(np.where(np.isnan(level), 0.0, level) + trials.codes[:, 0] / 10)


class Thorough(Evaluator):
    """A network is worth as much as it was evaluated thoroughly."""

    stateful = True
    takes_fidelity = True

    def evaluate(self, trials: Trials, workdir: Path) -> Evaluations:
        return Evaluations(np.zeros(len(trials)) if trials.fidelity is None else trials.fidelity)

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        pass


class Paired(Strategy):
    """Slow learns from fast: of each pair that is evaluated, the slower takes over a gene of the faster.

    Args:
        thorough: whether each pair is evaluated more thoroughly than those before.
    """

    round_size = 2

    def __init__(self, space: SearchSpace, *, seed: int = 0, initial: int = 4, thorough: bool = False) -> None:
        super().__init__(space, seed=seed, initial=initial)
        self.thorough = thorough
        self.learners: list[list[int]] = []

    def ask(self, n: int | None = None) -> Trials:
        trials = super().ask(n)
        if not self.learners:
            return trials
        fidelity = np.full(len(trials), float(len(self.values))) if self.thorough else None
        return replace(trials, group=np.zeros(len(trials), np.int64), fidelity=fidelity)

    def propose(self, n: int) -> Codes:
        pair = self.rng.choice(len(self.learners), 2, replace=False)
        return self.space.mutate(self.space.as_codes([self.learners[learner] for learner in pair]), self.rng)

    def learn(self, trials: Trials, evaluations: Evaluations) -> None:
        if trials.group is None:
            self.learners.extend(trials.codes.tolist())
            return
        for number in np.unique(trials.group):
            slow, fast = sorted(np.flatnonzero(trials.group == number), key=lambda row: evaluations.values[row])
            moved, gene = trials.codes[slow].copy(), self.rng.integers(self.space.genes)
            moved[gene] = trials.codes[fast, gene]
            self.learners = [*self.learners[1:], moved.tolist()]

    def memory(self) -> dict[str, object]:
        return {"learners": self.learners}

    def remember(self, memory: dict[str, object]) -> None:
        self.learners = memory["learners"]


class Rungs(Strategy):
    """Random networks, of which every second is asked for again at each higher fidelity.

    Args:
        levels: the fidelities, 0 for none.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int = 0, initial: int = 4, levels: tuple[float, ...] = (1, 3, 0)
    ) -> None:
        super().__init__(space, seed=seed, initial=initial)
        self.levels = levels
        self._good: list[list[Any]] = []

    def ask(self, n: int | None = None) -> Trials:
        if not self._good or self._first:
            trials, level = super().ask(n), 0
        else:
            code, level = self._good.pop(0)
            trials = self._issued(self.space.as_codes([code]))
        return replace(trials, fidelity=np.full(len(trials), self.levels[level] or np.nan, np.float64))

    def propose(self, n: int) -> Codes:
        return self.draw_new(n, self.rng)

    def learn(self, trials: Trials, evaluations: Evaluations) -> None:
        for code, level, trial in zip(trials.codes, np.nan_to_num(trials.fidelity), trials.ids, strict=True):
            place = self.levels.index(level) + 1
            if trial % 2 and place < len(self.levels):
                self._good.append([code.tolist(), place])

    def memory(self) -> dict[str, object]:
        return {"good": [list(one) for one in self._good]}

    def remember(self, memory: dict[str, object]) -> None:
        self._good = [list(one) for one in memory["good"]]


class Arriving(Executor):
    """Answers as they come: of what is under way, a fixed one is done first, whoever began it when.

    Args:
        workers: evaluations under way at once.
        luck: says which is done first.
        slow: the trial that is done last.
    """

    ordered = False

    def __init__(self, *, workers: int = 3, luck: int = 0, slow: int | None = None) -> None:
        self.workers, self.luck, self.slow = workers, luck, slow
        self.under_way: dict[int, tuple[Evaluator, Trials, Path]] = {}
        self.most = 0

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        for row, trial in enumerate(trials.ids.tolist()):
            self.under_way[trial] = (evaluator, trials.take([row]), workdirs[row])
        self.most = max(self.most, len(self.under_way))

    def completed(self) -> tuple[np.ndarray, Evaluations]:
        first = min(self.under_way, key=lambda trial: (trial == self.slow, zlib.crc32(b"%d %d" % (self.luck, trial))))
        return np.array([first]), evaluate_safely(*self.under_way.pop(first))


class InFours(SerialExecutor):
    """Has room for four at once, as an executor of four processes has, and takes one after the other."""

    workers = 4


class NotAnEvaluator:
    """Has nothing to do with architectures."""


class Drawing(RunKind):
    """A kind of run that can be told to draw more."""

    name = "user_code:Drawing"
    config = {"draws": int}  # noqa: RUF012
    changes = ("draws",)

    def change(self, folder: RunFolder, draws: int | None = None, **others: Any) -> None:
        if draws is not None:
            folder.write_config({**folder.config, "draws": draws})

    def carry(self, folder: RunFolder, callbacks: Sequence[Callback], **handed: Any) -> None:
        with folder.held():
            for number in range(len(self.load(folder)), folder.config["draws"]):
                folder.append({"drawn": number})
            folder.close()

    def load(self, folder: RunFolder) -> list[int]:
        return [line["drawn"] for line in folder.lines()]

    def finished(self, folder: RunFolder) -> bool:
        return len(self.load(folder)) == folder.config["draws"]

    def row(self, folder: RunFolder) -> Row:
        return Row("numbers", str(len(self.load(folder))))

    def page(self, result: list[int]) -> Page:
        return Page([("drawn", str(len(result)))])
