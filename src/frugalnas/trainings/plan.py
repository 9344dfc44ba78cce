"""What a training would do, and about how long it would take, by beginning it in a folder that is thrown away."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from frugalnas.progress import duration
from frugalnas.runs.kinds import Plan, Proposal
from frugalnas.training import Compute, Position, isolated, watching_memory
from frugalnas.trainings.session import Session

TIMED_STEPS = 4
"""Of which the median is taken, after one that sets things up; fewer where they take long."""
TIMED_SECONDS = 10.0
"""After which no further step is timed."""


def planned(proposal: Proposal, kind: type[Session], unused: bool) -> Plan:
    """What a training would do, from a few of its steps on one of its devices.

    Args:
        proposal: of its run.
        kind: of session that would carry it out.
        unused: whether some weights have no gradient in a step.
    """
    compute = Compute(**proposal.config["device"])
    fabric = replace(compute, devices=1).fabric(unused=unused)
    fabric.launch()
    with TemporaryDirectory(prefix="frugalnas-") as drafts:
        folder = proposal.draft(Path(drafts) / "run")
        with watching_memory(kind.to_lower(folder)):
            session = kind(fabric, folder, (), **proposal.handed)
            step = seconds_a_step(session)
        about = session.about()
        session.close()
    seconds = session.epochs * (session.steps_per_epoch + session.pause) * step
    seconds /= 1 if session.shared else compute.devices
    steps = session.epochs * session.steps_per_epoch
    rows = [
        *about,
        ("steps", f"{steps:,}: {session.steps_per_epoch:,} an epoch"),
        ("time", f"about {duration(seconds)}, from a few steps on this device"),
        *(("data", note) for note in proposal.notes),
    ]
    return Plan(rows, seconds, steps)


def seconds_a_step(session: Session) -> float:
    """Median time of a few steps, the first of which is passed over."""
    times: list[float] = []
    with isolated(0):
        for number, batch in enumerate(session.batches(0, 0)):
            started = time.perf_counter()
            float(session.step(batch, Position(0, number, session.epochs, session.steps_per_epoch))["loss"])
            times.append(time.perf_counter() - started)
            if len(times) == TIMED_STEPS + 1 or sum(times) > TIMED_SECONDS:
                break
    times = sorted(times[1:] or times)
    return times[len(times) // 2]
