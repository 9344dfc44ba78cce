"""How long it takes to measure a space's blocks, to count a million codes, and to draw codes within a narrow budget.

python benchmarks/counting.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from frugalnas.networks import build, cost_table, count_network
from frugalnas.spaces import DARTS, FairNAS, MobileNet, OnceForAll, SearchSpace, ShuffleNet

REPEATS = 5
CODES = 1_000_000
DRAWS = 10_000
BAND = "macs>=470e6,macs<=475e6"
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "DARTS, CIFAR": DARTS,
    "DARTS, ImageNet": partial(DARTS, macro="imagenet"),
    "MobileNet": MobileNet,
    "FairNAS": FairNAS,
    "Once-for-All": OnceForAll,
    "ShuffleNet": ShuffleNet,
}


def seconds(work: Callable[[], object]) -> str:
    """Median and range over repeats, in seconds."""
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return f"{statistics.median(taken):.3f} s ({min(taken):.3f} to {max(taken):.3f})"


def measure(make: Callable[[], SearchSpace]) -> None:
    cost_table(make(), "macs")


def main() -> None:
    rng = np.random.default_rng(0)
    for name, make in SPACES.items():
        print(f"{name}: all blocks measured in {seconds(partial(measure, make))}")
    for name in ("DARTS, ImageNet", "MobileNet"):
        space = SPACES[name]()
        network = build(space, space.sample(1, rng)[0])
        print(f"{name}: one built network counted in {seconds(partial(count_network, network, space.input_size))}")
        codes = space.sample(CODES, rng)
        space.count("macs", codes[:1])  # the table is there
        print(f"{name}: MACs of {CODES:,} codes counted in {seconds(partial(space.count, 'macs', codes))}")
    space = SPACES["MobileNet"]()
    macs = space.count("macs", space.sample(CODES, rng))
    print(
        f"MobileNet: {100 * ((macs >= 470e6) & (macs <= 475e6)).mean():.3f} % of all codes have 470 to 475 million MACs"
    )
    started = time.perf_counter()
    band = space.where(BAND)
    band.sample(1, rng)
    print(f"MobileNet: first code within {BAND} after {time.perf_counter() - started:.3f} s")
    print(f"MobileNet: {DRAWS:,} codes within it drawn in {seconds(partial(band.sample, DRAWS, rng))}")
    drawn = band.count("macs", band.sample(DRAWS, rng))
    assert drawn.min() >= 470e6
    assert drawn.max() <= 475e6


if __name__ == "__main__":
    main()
