"""One WeakNAS run on NAS-Bench-201, 200 queries, one core, inside the process: ours against the reference's way.

The reference refits scikit-learn's MLPRegressor, 4 layers of 1,000, in float64 to all samples and applies it to the whole
table, 20 times (rounds of 10). Three of its rounds are timed here, with 30, 100 and 200 samples; the whole run is
extrapolated from them by linear interpolation in the number of samples, and labelled so.

    python benchmarks/weaknas_run.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import statistics
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import frugalnas as fn

REPEATS = 5


def ours(table: fn.Table, seed: int) -> float:
    strategy, evaluator = fn.WeakNAS(table.space, seed=seed), fn.TableEvaluator(table=table)
    started = time.process_time()
    fn.search(strategy, evaluator, 200)
    return time.process_time() - started


def one_at_a_time(table: fn.Table, seeds: range) -> float:
    """Processor time a query until the optimum, in milliseconds."""
    evaluator, spent, queries = fn.TableEvaluator(table=table), 0.0, 0
    for seed in seeds:
        strategy = fn.WeakNAS(table.space, seed=seed, round_size=1)
        started = time.process_time()
        queries += len(fn.search(strategy, evaluator, fn.Budget(queries=2000, until_optimum=True)).queries)
        spent += time.process_time() - started
    return 1000 * spent / queries


def reference_round(features: np.ndarray, labels: np.ndarray, samples: int) -> float:
    rows = np.random.default_rng(0).permutation(len(labels))[:samples]
    targets = (labels - labels.mean()) / labels.std()
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MLPRegressor(hidden_layer_sizes=(1000,) * 4, max_iter=100, random_state=0)
        model.fit(features[rows], targets[rows])
        np.argsort(-model.predict(features))
    return time.process_time() - started


def main() -> None:
    table = fn.open_table("nasbench201/cifar10")
    ours(table, 0)
    seconds = [ours(table, seed) for seed in range(REPEATS)]
    mine = statistics.median(seconds)
    print(
        f"frugalnas, default settings: median {mine:.2f} CPU s of {REPEATS} runs ({min(seconds):.2f} to {max(seconds):.2f})"
    )
    for name in ("nasbench201/cifar10", "nasbench201/imagenet16-120"):
        milliseconds = one_at_a_time(fn.open_table(name), range(100, 108))
        print(f"one at a time, {name}: {milliseconds:.1f} CPU ms a query to the optimum, 8 searches")
    features = table.space.encode(table.codes, "onehot").astype(np.float64)
    labels = table.labels()
    sizes = (30, 100, 200)
    rounds = [reference_round(features, labels, samples) for samples in sizes]
    for samples, spent in zip(sizes, rounds, strict=True):
        print(f"reference's round with {samples} samples: {spent:.1f} CPU s")
    whole = float(np.interp(np.arange(10, 201, 10), sizes, rounds).sum())
    print(f"reference's whole run of 20 rounds, EXTRAPOLATED from these three: {whole:.0f} CPU s")
    print(f"ratio: {whole / mine:.0f}")


if __name__ == "__main__":
    main()
