"""How far the latencies of the same networks agree between runtimes: Kendall's tau over random cells of NAS-Bench-201.

    python -m pip install -e '.[openvino]'
    python benchmarks/latency_runtimes.py [--networks 20] [--repeats 40]

Networks and runtimes take turns, the median over the turns counts. The diagonal is the tau between the medians of even and of
odd turns: no more can be reached. Batch 1, one thread, single precision.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import kendalltau

import frugalnas as fn
from frugalnas.networks import build
from frugalnas.networks.runtimes import RUNTIMES, runner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(parsed.seed)
    space = fn.NASBench201()
    codes = space.sample(parsed.networks, np.random.default_rng(parsed.seed))
    images = torch.randn(1, 3, space.input_size, space.input_size)
    networks = [build(space, code).eval() for code in codes]
    with torch.inference_mode():
        runs = {runtime: [runner(network, images, runtime) for network in networks] for runtime in RUNTIMES}
        taken = np.zeros((len(RUNTIMES), len(networks), parsed.repeats))
        for turn in range(-2, parsed.repeats):
            for row in range(len(networks)):
                for column, runtime in enumerate(RUNTIMES):
                    start = time.perf_counter()
                    runs[runtime][row]()
                    if turn >= 0:
                        taken[column, row, turn] = time.perf_counter() - start
    medians = np.median(taken, axis=2)
    print(
        "median of the networks, ms:",
        *(f"{name} {1e3 * np.median(row):.2f}" for name, row in zip(RUNTIMES, medians, strict=True)),
    )
    print(f"{'tau':14}", *(f"{name:>12}" for name in (*RUNTIMES, "macs", "params")))
    counted = [np.asarray(space.count(name, codes), float) for name in ("macs", "params")]
    for row, name in enumerate(RUNTIMES):
        halves = [np.median(taken[row][:, half::2], axis=1) for half in (0, 1)]
        taus = [
            kendalltau(*halves)[0] if row == column else kendalltau(medians[row], medians[column])[0]
            for column in range(len(RUNTIMES))
        ]
        taus += [kendalltau(medians[row], counts)[0] for counts in counted]
        print(f"{name:14}", *(f"{tau:12.2f}" for tau in taus))


if __name__ == "__main__":
    main()
