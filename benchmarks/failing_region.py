"""Queries that a search spends in a fifth of NAS-Bench-201 that always fails, and the best it finds in 100 queries.

python benchmarks/failing_region.py                              # WeakNAS and NPENAS, seeds 0 to 19, three regions
python benchmarks/failing_region.py --strategies evolution,genetic,local-search
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import frugalnas as fn
from frugalnas.registry import STRATEGIES
from frugalnas.spaces import BoolArray
from frugalnas.strategies import weaknas
from frugalnas.studies.statistics import bootstrap_mean


def regions(space: fn.SearchSpace) -> dict[str, BoolArray]:
    """Which cells of the whole space fail, by what their networks have in common; about a fifth of the networks each."""
    codes = space.canonical(space.enumerate())
    edges = np.array([space.format(code).replace("|+|", "|").strip("|").split("|") for code in codes])
    convolutions = np.char.startswith(edges, "nor_conv_3x3").sum(axis=1)
    params = space.count("params", codes)
    return {
        "conv 3x3 from input to output": edges[:, 3] == "nor_conv_3x3~0",
        "the most parameters": params
        > np.quantile(params[np.unique(space.network_ids(codes), return_index=True)[1]], 0.8),
        "most conv 3x3": convolutions >= 3,
        "shortcut from input to output": edges[:, 3] == "skip_connect~0",
    }


class Failing(fn.Evaluator):
    """A table, some of whose networks fail."""

    vectorised = True

    def __init__(self, table: fn.TableEvaluator, failing: BoolArray) -> None:
        self.inner = table
        space = table.space
        self.failing = set(space.network_ids(space.enumerate()[failing]).tolist())

    def evaluate(self, trials: fn.Trials, workdir: Path) -> fn.Evaluations:
        values = self.inner.evaluate(trials, workdir).values.copy()
        values[[network in self.failing for network in self.inner.space.network_ids(trials.codes).tolist()]] = np.nan
        return fn.Evaluations(values)


def share(space: fn.SearchSpace, failing: BoolArray) -> float:
    """How many of the distinct networks fail."""
    first = np.unique(space.network_ids(space.enumerate()), return_index=True)[1]
    return float(failing[first].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategies", default="weaknas,npenas")
    parser.add_argument("--table", default="nasbench201/cifar10")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--alone", choices=("worst", "chance"), help="WeakNAS with one of its two means alone")
    parsed = parser.parse_args()
    if parsed.alone == "worst":
        weaknas.chance_of_success = lambda *_: None
    elif parsed.alone == "chance":
        both = fn.WeakNAS._training_set
        fn.WeakNAS._training_set = lambda self: (kept := both(self))[np.isfinite(self.values[kept])]
    table = fn.TableEvaluator(table=parsed.table)
    for name in parsed.strategies.split(","):
        for region, failing in regions(table.space).items():
            evaluator = Failing(table, failing)
            spent, best = [], []
            for seed in range(parsed.seeds):
                result = fn.search(
                    STRATEGIES.create(
                        name,
                        table.space,
                    )
                    if False
                    else STRATEGIES.create({"name": name, "options": {"seed": seed}}, table.space),
                    evaluator,
                    parsed.queries,
                )
                values = np.array([query.value for query in result.queries], np.float64)
                spent.append(np.isnan(values).sum())
                best.append(np.nanmax(values))
            shown = [
                f"{mean:.2f} [{low:.2f}, {high:.2f}]"
                for mean, low, high in (bootstrap_mean(np.array(v, np.float64)) for v in (spent, best))
            ]
            print(
                f"{name:12} {region:32} {share(table.space, failing):.0%} fail: {shown[0]} of {parsed.queries} there, "
                f"best {shown[1]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
