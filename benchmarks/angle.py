"""Angles from tables: how near they are to concatenated weights, how long they take, and the largest of layer-wise spaces.

Times are those of one core.

python benchmarks/angle.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from frugalnas.evaluation import Evaluations
from frugalnas.scores import Angle, angle_table, largest_angle, rule_for, tensor_names, triples
from frugalnas.spaces import DARTS, FairNAS, MobileNet, NASBench201, OnceForAll, SearchSpace
from frugalnas.strategies.genetic import GENERATIONS, genetic_paper
from frugalnas.supernets import supernet_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "scores"))
import test_angle as reference

REPEATS = 9
CODES = 1_000_000
LARGEST = [
    (MobileNet(), "macs<=475e6"),
    (MobileNet(), "macs<=330e6"),
    (FairNAS(), "macs>=315e6,macs<=327e6"),
    (OnceForAll(), "macs<=600e6"),
]

SEEDS = range(10)

Weights = dict[str, torch.Tensor]


def milliseconds(work: Callable[[], object]) -> str:
    """Median and range over repeats, in time of the one core that is used: a shared machine interrupts."""
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        taken.append(1e3 * (time.process_time() - started))
    return f"{statistics.median(taken):.1f} ms ({min(taken):.1f} to {max(taken):.1f})"


def made_up_weights(space: SearchSpace) -> tuple[torch.nn.Module, Weights, Weights]:
    """A supernet without weights, and what stands for its weights before and after a training."""
    torch.manual_seed(0)
    supernet = supernet_of(space)
    before = supernet.state_dict()
    after = {
        name: each * 0.1 + each.std(correction=0) * torch.rand(1) * torch.randn_like(each)
        for name, each in before.items()
        if each.is_floating_point()
    }
    with torch.device("meta"):
        return supernet_of(space), before, after


def angles(supernet: torch.nn.Module, before: Weights, after: Weights, rule: str | None = None) -> Angle:
    """The score, made of two state dicts."""
    sums = triples(tensor_names(supernet), before, after)
    return Angle(supernet.space, angle_table(supernet, sums, rule_for(supernet.space, rule)))


def genetic(space: SearchSpace, score: Angle, seed: int) -> float:
    """The largest angle that genetic search finds with the papers' settings and budget."""
    strategy = genetic_paper(space, seed=seed, preset="mobilenet")
    for _ in range(GENERATIONS):
        trials = strategy.ask()
        strategy.tell(trials, Evaluations(score(trials.codes)))
    return float(strategy.values.max())


def main() -> None:
    for rule, space in reference.CASES:
        codes = reference.some_codes(reference.SPACES[space])
        naive = np.array([reference.naive_angle(rule, space, code) for code in codes])
        turned = naive > 1e-3  # of a smaller one the arc cosine of concatenated weights has fewer digits
        off = np.abs(reference.table_of(rule, space).angles(codes) - naive)[turned].max()
        print(f"{rule}, {space}: {turned.sum()} angles up to {naive.max():.2f}, off by {off:.1e} at most")

    space = NASBench201(classes=10)
    weights = made_up_weights(space)
    codes = space.enumerate()
    score = angles(*weights, "rlnas-nasbench201")
    print(f"NAS-Bench-201: {len(codes):,} codes scored in {milliseconds(partial(score, codes))}")
    everything = lambda: angles(*weights, "rlnas-nasbench201")(codes)  # noqa: E731
    print(f"NAS-Bench-201: the same from two state dicts in {milliseconds(everything)}")

    rng = np.random.default_rng(0)
    for space in (MobileNet(), DARTS(width=16, layers=8)):
        weights = made_up_weights(space)
        score = angles(*weights)
        codes = space.sample(CODES, rng)
        print(f"{space.name}: {CODES:,} codes scored in {milliseconds(partial(score, codes))}")
        print(f"{space.name}: table made from two state dicts in {milliseconds(partial(angles, *weights))}")

    for space, limits in LARGEST:
        score = angles(*made_up_weights(space))
        limited = space.where(limits)
        limited.sample(1, rng)  # blocks are counted
        started = time.process_time()
        largest = largest_angle(score.table, limited)
        taken = time.process_time() - started
        bred = [genetic(limited, score, seed) for seed in SEEDS]
        print(
            f"{space.name}, {limits}: largest angle {largest.angle:.6f}, "
            f"{'certified' if largest.certified else f'at most {largest.at_most:.6f}'}, in {taken:.1f} s; genetic search with "
            f"the papers' settings, {len(SEEDS)} seeds: {min(bred):.6f} to {max(bred):.6f}"
        )


if __name__ == "__main__":
    main()
