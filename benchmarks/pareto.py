"""Fronts of accuracy and one cost on NAS-Bench-201, CIFAR-10: WeakNAS's rules for a batch against random search.

Hypervolume as a share of the table's front's, 200 queries, reference point the worst of the table; mean over seeds, then
each seed's. Seconds are CPU time of a whole search.

    python benchmarks/pareto.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import time

import numpy as np

import frugalnas as fn
from frugalnas.report.pareto import read_fronts

SEEDS = range(5)
QUERIES = 200
COSTS = (("latency_ms",), ("params",), ("training_seconds",), ("latency_ms", "params"))
RULES = ("random", "mean", "ucb", "percentile", "ts", "confidence")


def shares(table: fn.Table, costs: tuple[str, ...], rule: str, seed: int) -> tuple[np.ndarray, float]:
    """The share after each query, and the CPU seconds of the search."""
    strategy: fn.Strategy
    if rule == "random":
        strategy = fn.RandomSearch(table.space, seed=seed, costs=costs)
    else:
        strategy = fn.WeakNAS(table.space, seed=seed, acquisition=rule, costs=costs)  # type: ignore[arg-type]
    evaluator = fn.TableEvaluator(table=table)
    started = time.process_time()
    result = fn.search(strategy, evaluator, QUERIES)
    spent = time.process_time() - started
    return read_fronts(result, costs, value="accuracy", evaluator=evaluator).volumes, spent


def main() -> None:
    table = fn.open_table("nasbench201/cifar10")
    for costs in COSTS:
        print(f"accuracy, {', '.join(costs)}: hypervolume after 50, 100, 200 queries, % of the table's front")
        for rule in RULES:
            runs = [shares(table, costs, rule, seed) for seed in SEEDS]
            curves = 100 * np.array([curve for curve, _ in runs])
            at = "  ".join(f"{curves[:, queries - 1].mean():6.2f}" for queries in (50, 100, 200))
            each = " ".join(f"{last:.2f}" for last in curves[:, -1])
            print(f"  {rule:10} {at}   seeds: {each}   {np.median([spent for _, spent in runs]):.1f} s", flush=True)


if __name__ == "__main__":
    main()
