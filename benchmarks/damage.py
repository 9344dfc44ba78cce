"""Runs that are killed at random moments, and runs of which one byte is damaged: rows lost, changed or believed.

A damaged run counts as refused (an error in one line), as rebuilt (it ends with the journal and the weights that it would have
had), or as believed. Each damage is of one byte of one file: state, checkpoint, initial weights, configuration, journal, split or
seal, of a run that is finished or half done. A kill is SIGKILL to a process that searches or trains; the run is resumed until it
ends, and must end as the one that nobody killed.

python benchmarks/damage.py --damages 100 --kills 60
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import frugalnas as fn
from frugalnas.errors import FrugalnasError
from frugalnas.runs.progress import Callback
from frugalnas.searches import loop, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RegularizedEvolution
from frugalnas.tables import TableEvaluator

VULNERABLE = (
    "state/strategy.json",
    "checkpoints/*.safetensors",
    "weights/epoch-000000.safetensors",
    "config.yaml",
    "journal.jsonl",
    "split.json",
    "seal.json",
)


@dataclass(frozen=True)
class Kind:
    """A kind of run that is harmed.

    Attributes:
        begin: carries a new run in a folder to its end, or to the step at which it is interrupted; 0 for never.
        go_on: resumes the run in a folder.
        ends: a file or more of a finished run that must be the same, byte for byte.
        half: at which step a run is half done.
        seconds: the longest that a process lives before it is killed.
    """

    begin: Callable[[Path, int], Any]
    go_on: Callable[[Path], Any]
    ends: Sequence[str]
    half: int
    seconds: float


class Stop(Callback):
    """Ctrl-C at a query, and time for a kill to come."""

    def __init__(self, at: int, pause: float) -> None:
        self.at, self.pause = at, pause

    def on_query(self, query: Any, ledger: Any) -> None:
        """Of a search."""
        time.sleep(self.pause)
        if len(ledger) == self.at:
            raise KeyboardInterrupt


def kinds(pause: float = 0.0) -> dict[str, Kind]:
    """The kinds of runs, those of torch only where it is installed."""

    def begin_search(folder: Path, at: int) -> None:
        strategy = RegularizedEvolution(NASBench201(), seed=1, population=12)
        search(strategy, TableEvaluator(), 60, run_dir=folder, callbacks=[Stop(at, pause)])

    found = {
        "search": Kind(
            begin_search, lambda folder: resume(folder, callbacks=[Stop(0, pause)]), ["journal.jsonl"], 30, 0.4
        )
    }
    try:
        import torch

        from frugalnas.runs.kinds import resume_run
        from frugalnas.runs.progress import Callback
        from frugalnas.trainings.network import train
        from frugalnas.trainings.supernet import train_supernet
    except ImportError:
        return found

    class StopTraining(Callback):
        """Ctrl-C at a step."""

        def __init__(self, at: int) -> None:
            self.at = at

        def on_progress(self, done: int, said: str = "", **how: Any) -> None:
            if done == self.at:
                raise KeyboardInterrupt

    torch.set_num_threads(1)
    space = NASBench201(width=2, cells=1)
    code = space.sample(1, np.random.default_rng(0))[0]
    settings = {"epochs": 3, "batch_size": 512, "lr": 0.02}
    how = {"compute": fn.Compute("cpu"), "seed": 3}

    def begin_training(folder: Path, at: int) -> None:
        train(fn.Architecture(space, code), run_dir=folder, settings=settings, callbacks=[StopTraining(at)], **how)

    def begin_supernet(folder: Path, at: int) -> None:
        train_supernet(space, "digits", run_dir=folder, settings=settings, callbacks=[StopTraining(at)], **how)

    weights = "model/model.safetensors"
    found["training"] = Kind(begin_training, resume_run, ["journal.jsonl", "test.json", weights], 5, 2.0)
    last = "weights/epoch-000003.safetensors"
    found["supernet"] = Kind(begin_supernet, resume_run, ["journal.jsonl", last], 5, 2.0)
    return found


def ends_of(kind: Kind, folder: Path) -> list[Any]:
    """What a finished run comes to: of weights the tensors, as a card names the run's folder."""
    found: list[Any] = []
    for name in kind.ends:
        if name.endswith(".safetensors"):
            from frugalnas.tensors import digest, read_tensors

            found.append(digest(read_tensors(folder / name)[0]))
        else:
            found.append((folder / name).read_bytes())
    return found


def harmed(folder: Path, pattern: str, rng: random.Random) -> str:
    """Change one byte of one file, a digit to another one where it is one; what was done."""
    file = rng.choice(sorted(folder.glob(pattern)))
    content = bytearray(file.read_bytes())
    place = rng.randrange(len(content))
    before = content[place]
    digits = [value for value in b"0123456789" if value != before]
    content[place] = rng.choice(digits) if chr(before).isdigit() else before ^ (1 << rng.randrange(8))
    file.write_bytes(content)
    return f"{file.relative_to(folder)}, byte {place}: {before} -> {content[place]}"


def damages(kind: Kind, count: int, work: Path, rng: random.Random) -> Counter[str]:
    """What became of so many damaged copies, by outcome, and "believed" with what was done."""
    whole, half = work / "whole", work / "half"
    interval, loop.STATE_INTERVAL_S = loop.STATE_INTERVAL_S, 0.0
    kind.begin(whole, 0)
    with suppress(KeyboardInterrupt):
        kind.begin(half, kind.half)
    loop.STATE_INTERVAL_S = interval
    expected, outcomes = ends_of(kind, whole), Counter[str]()
    places = [(source, pattern) for source in (whole, half) for pattern in VULNERABLE if any(source.glob(pattern))]
    for number in range(count):
        source, pattern = places[number % len(places)]
        copy = Path(shutil.copytree(source, work / "copy"))
        done = harmed(copy, pattern, rng)
        try:
            kind.go_on(copy)
            same = ends_of(kind, copy) == expected
            outcomes["rebuilt" if same else f"BELIEVED: {source.name}, {done}"] += 1
        except FrugalnasError as error:
            outcomes["refused" if "\n" not in str(error) else f"refused in several lines: {error!r}"] += 1
        shutil.rmtree(copy)
    return outcomes


def kills(kind: Kind, count: int, work: Path, rng: random.Random) -> Counter[str]:
    """What became of runs that were killed so often in all."""
    kind.begin(work / "whole", 0)
    expected, outcomes, run = ends_of(kind, work / "whole"), Counter[str](), 0
    while outcomes["kills"] < count:
        folder, lines, run = work / f"run{run}", b"", run + 1
        patience = kind.seconds
        while True:
            child = os.fork()
            if child == 0:
                try:
                    if (folder / "config.yaml").exists():
                        kind.go_on(folder)
                    else:
                        kind.begin(folder, 0)
                except BaseException as error:
                    print(f"{type(error).__name__}: {error}")
                    os._exit(1)
                os._exit(0)
            deadline = time.monotonic() + rng.uniform(0.01, patience)
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.002)
            if ended[0]:
                outcomes["failed"] += ended[1] != 0
                break
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            outcomes["kills"] += 1
            journal = folder / "journal.jsonl"
            content = journal.read_bytes() if journal.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            outcomes["rows lost"] += max(0, lines.count(b"\n") - whole.count(b"\n"))
            patience = patience if len(whole) > len(lines) else 1.3 * patience
            lines = whole
        outcomes["runs"] += 1
        outcomes["runs that ended otherwise"] += ends_of(kind, folder) != expected
        outcomes["drafts left"] += sum(1 for _ in work.rglob("*.draft"))
        shutil.rmtree(folder)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=100, help="of each kind of run")
    parser.add_argument("--kills", type=int, default=60, help="of each kind of run")
    parser.add_argument("--kinds", default="search,training,supernet")
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    for harm, count in ((damages, parsed.damages), (kills, parsed.kills)):
        for name, kind in kinds(0.01 if harm is kills else 0.0).items():
            if name in parsed.kinds.split(",") and count:
                with tempfile.TemporaryDirectory() as work:
                    started = time.perf_counter()
                    outcomes = harm(kind, count, Path(work), random.Random(parsed.seed))
                    print(
                        f"{harm.__name__} of a {name} ({time.perf_counter() - started:.0f} s): {dict(outcomes)}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
