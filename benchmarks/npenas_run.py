"""One run of NPENAS and its relatives on NAS-Bench-201 CIFAR-100, 100 queries, one thread, inside the process: CPU seconds.

Encoders that were not pre-trained yet are first, which is not counted.

    python benchmarks/npenas_run.py                          # every preset, 3 seeds
    python benchmarks/npenas_run.py npenas ssnenas --seeds 10
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import statistics
import time

import torch

import frugalnas as fn
from frugalnas.registry import STRATEGIES

PRESETS = (
    "npenas",
    "ssnenas",
    "npenas-paper",
    "npenas-fixed",
    "npenas-bo",
    "npenas-ssrl",
    "npenas-ssrl-fixed",
    "npenas-ssccl",
    "npenas-ssccl-fixed",
    "weaknas-ssccl",
    "bananas",
    "bananas-adjacency",
    "bananas-position",
    "weaknas",
    "regularized-evolution",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--table", default="nasbench201/cifar100")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    table = fn.open_table(parsed.table)
    evaluator = fn.TableEvaluator(table=table)
    print(f"{parsed.table}, {parsed.queries} queries, one thread, {parsed.seeds} seeds from 0")
    for name in parsed.presets:
        STRATEGIES.create(name, table.space).ask()  # imports, and encoders that are made once
        seconds, best = [], []
        for seed in range(parsed.seeds):
            strategy = STRATEGIES.create({"name": name, "options": {"seed": seed}}, table.space)
            started = time.process_time()
            found = fn.search(strategy, evaluator, parsed.queries)
            seconds.append(time.process_time() - started)
            best.append(max(query.value for query in found.queries))
        print(
            f"{name:22} median {statistics.median(seconds):6.2f} CPU s ({min(seconds):.2f} to {max(seconds):.2f}), "
            f"mean best {statistics.mean(best):.3f} of {evaluator.optimum:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
