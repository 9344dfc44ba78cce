"""How WeakNAS's defaults were chosen: queries to the optimum on CIFAR-10, seeds 0 to 19 only, cap 400.

python benchmarks/tune_weaknas.py
"""

from __future__ import annotations

import argparse

import numpy as np

from frugalnas.studies import compare
from frugalnas.studies.statistics import bootstrap_mean

SEEDS = range(20)
CAP = 400


def variant(
    label: str, predictor: str = "gaussian-process", encoding: str | None = None, **options: object
) -> dict[str, object]:
    made = {"name": predictor, "options": {"encoding": encoding}}
    return {"name": "weaknas", "label": label, "options": {"predictor": made, **options}}


def smoothness(value: float) -> dict[str, object]:
    made = {"name": "gaussian-process", "options": {"smoothness": value}}
    return {"name": "weaknas", "label": f"GP, Matern {value}", "options": {"predictor": made}}


STUDIES = {
    "encoding (GP, EI, rounds of 10)": [
        variant(f"GP, {name}", encoding=name) for name in ("function", "live", "onehot", "path")
    ],
    "kernel": [smoothness(value) for value in (0.5, 1.5, 2.5)],
    "labels": [variant(f"GP, labels {name}", labels=name) for name in ("rank", "standard")],
    "acquisition (GP)": [
        variant(f"GP, {name}", acquisition=name)
        for name in ("ei", "ucb", "pi", "mean", "percentile", "confidence", "ts", "its", "uniform")
    ],
    "predictor (EI, function encoding)": [
        variant(name, predictor=name) for name in ("gaussian-process", "ridge", "forest", "boosting", "mlp")
    ],
    "round size (GP, EI)": [variant(f"rounds of {size}", round_size=size) for size in (1, 2, 5, 10, 20)],
    "initial sample (GP, EI)": [variant(f"initial {size}", initial=size) for size in (5, 10, 20)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--study", help="only the studies whose name contains this")
    parsed = parser.parse_args()
    for title, strategies in STUDIES.items():
        if parsed.study and parsed.study not in title:
            continue
        print(f"\n{title}", flush=True)
        comparison = compare(
            strategies,
            evaluator={"name": "table", "options": {"table": "nasbench201/cifar10"}},
            queries=CAP,
            seeds=list(SEEDS),
            jobs=parsed.jobs,
            until_optimum=True,
        )
        for name, found in comparison.to_optimum().items():
            mean, low, high = bootstrap_mean(np.where(np.isnan(found), CAP, found))
            censored = int(np.isnan(found).sum())
            print(f"  {name:24} {mean:6.1f} [{low:.1f}, {high:.1f}]  censored {censored} of {len(found)}", flush=True)


if __name__ == "__main__":
    main()
