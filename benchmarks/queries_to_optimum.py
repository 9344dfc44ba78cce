"""Mean queries to the best architecture of a table, with intervals and censoring: seeds 100 to 199, cap 2,000.

python benchmarks/queries_to_optimum.py                        # the default, in rounds of 10, of 5, and one by one
python benchmarks/queries_to_optimum.py --paper --seeds 100:120   # the paper's settings (a 4x1000 MLP: slow)
python benchmarks/queries_to_optimum.py --tables nasbench101-test --objective oracle-test --round-sizes 10 --within 1,2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from frugalnas.runs.kinds import resume_run
from frugalnas.studies import compare
from frugalnas.studies.statistics import bootstrap_mean
from frugalnas.tables import TableEvaluator, open_table

TABLES = ("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/imagenet16-120")

BASELINES = [{"name": "local-search"}, {"name": "regularized-evolution"}, {"name": "evolution"}]
PAPER = [
    {"name": "weaknas-paper", "label": "paper: MLP 4x1000, uniform top 100, one-hot"},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--baselines", action="store_true")
    parser.add_argument("--seeds", default="100:200")
    parser.add_argument("--cap", type=int, default=2000)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--run-dir", help="keep the searches here, FOLDER/<table>")
    parser.add_argument("--objective", default="accuracy", choices=("accuracy", "oracle-test"))
    parser.add_argument("--within", default="1", help="queries until one of the best K, for each K of a list")
    parser.add_argument("--round-sizes", default="10,5,1")
    parsed = parser.parse_args()
    seeds = list(range(*map(int, parsed.seeds.split(":"))))
    default = [
        {"name": "weaknas", "label": f"rounds of {size}", "options": {"round_size": int(size)}}
        for size in parsed.round_sizes.split(",")
    ]
    strategies = PAPER if parsed.paper else BASELINES if parsed.baselines else default
    print(f"seeds {parsed.seeds}, cap {parsed.cap}; mean [95 % bootstrap interval], median, censored, s per search")
    for table in parsed.tables.split(","):
        started = time.perf_counter()
        folder = None if parsed.run_dir is None else Path(parsed.run_dir) / table.replace("/", "-")
        if folder is not None and folder.exists():
            comparison = resume_run(folder, jobs=parsed.jobs)
        else:
            comparison = compare(
                strategies,
                evaluator={"name": "table", "options": {"table": table, "objective": parsed.objective}},
                space=open_table(table).space.name,
                queries=parsed.cap,
                seeds=seeds,
                jobs=parsed.jobs,
                until_optimum=True,
                run_dir=folder,
            )
        seconds = (time.perf_counter() - started) * parsed.jobs / (len(seeds) * len(strategies))
        for budget in [budget for budget in (50, 100, 200, 500, 1_000, 2_000, 5_000) if budget <= parsed.cap]:
            for name, best in comparison.at(budget).items():
                mean, low, high = bootstrap_mean(best)
                print(f"{table:28} {name:45} best after {budget:5}: {mean:.3f} [{low:.3f}, {high:.3f}]")
        labels = np.sort(TableEvaluator(table=table, objective=parsed.objective).labels)
        for rank in map(int, parsed.within.split(",")):
            for name, values in comparison.values.items():
                hit = values >= labels[-rank]
                counted = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, parsed.cap)  # else a lower bound
                mean, low, high = bootstrap_mean(counted.astype(np.float64))
                print(
                    f"{table:28} {name:45} one of the best {rank}: {mean:6.1f} [{low:.1f}, {high:.1f}]  median "
                    f"{np.median(counted):5.1f}  most {counted.max()}  censored {int((~hit.any(axis=1)).sum())} of "
                    f"{len(hit)}  {seconds:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
