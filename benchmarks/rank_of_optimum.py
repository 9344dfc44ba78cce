"""How far down NAS-Bench-101's best cell stands in what predictors learn from 500 queries of a search (an oracle study).

frugalnas table import nasbench101.parquet
python benchmarks/rank_of_optimum.py
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

import frugalnas as fn

QUERIES = 500


def main() -> None:
    table = fn.open_table("nasbench101-test")
    space = fn.NASBench101()
    evaluator = fn.TableEvaluator(space, table=table, objective="oracle-test")
    result = fn.search(fn.WeakNAS(space, seed=0), evaluator, QUERIES)
    labels = {
        "rank": ndtri((rankdata(result.values) - 0.5) / QUERIES),
        "standard": (result.values - result.values.mean()) / result.values.std(),
    }
    asked, whole = fn.Population(space, result.codes), fn.Population(space, table.codes)
    open_rows = ~np.isin(whole.network_ids, asked.network_ids)
    best = int(np.argmax(evaluator.labels))
    for encoding in ("function", "adjacency", "sequence-onehot", "path", "onehot"):
        for smoothness in (0.5, 1.5, 2.5):
            for name, values in labels.items():
                mean = fn.GaussianProcess(smoothness=smoothness, encoding=encoding).fit(asked, values).mean(whole)
                rank = 1 + int((mean[open_rows] > mean[best]).sum())
                print(f"{encoding:16} Matern {smoothness}  labels {name:9} rank {rank:7,}", flush=True)


if __name__ == "__main__":
    main()
