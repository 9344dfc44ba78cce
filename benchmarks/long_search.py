"""What a query of a long random search costs in time and memory, and how long its journal takes to load and to resume.

The space is DARTS; the evaluator answers at once, so that what is measured is the search itself. Times are processor time;
memory is the growth of the process's largest resident size.

    python benchmarks/long_search.py --queries 30000 --journal 10000
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

import frugalnas as fn


class Length(fn.Evaluator):
    """A number and a metric that cost nothing to know."""

    def evaluate(self, trials: fn.Trials, workdir: Path) -> fn.Evaluations:
        """The sum of each row's genes."""
        total = trials.codes.sum(axis=1).astype(np.float64)
        return fn.Evaluations(total, {"half": total / 2})


def resident() -> int:
    """The largest memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--queries", type=int, default=100_000, help="of the search without a folder")
    parser.add_argument("--journal", type=int, default=20_000, help="of the search with one")
    parsed = parser.parse_args()
    space = fn.DARTS()
    fn.search(fn.RandomSearch(space), Length(), 1_000)  # what is loaded once
    gc.collect()
    before, started = resident(), time.process_time()
    result = fn.search(fn.RandomSearch(space), Length(), parsed.queries)
    seconds, grown = time.process_time() - started, resident() - before
    assert len(result.queries) == parsed.queries
    print(f"search      {1e3 * seconds / parsed.queries:8.3f} ms a query, {grown / parsed.queries / 1e3:.2f} kB")
    with tempfile.TemporaryDirectory() as folder:
        run, started = Path(folder) / "run", time.process_time()
        fn.search(fn.RandomSearch(space), Length(), parsed.journal, run_dir=run)
        print(f"with folder {1e3 * (time.process_time() - started) / parsed.journal:8.3f} ms a query")
        started = time.process_time()
        fn.load_search(run)
        print(f"load        {1e3 * (time.process_time() - started) / parsed.journal:8.3f} ms a row")
        started = time.process_time()
        fn.resume(run, evaluator=Length())
        print(f"resume      {1e3 * (time.process_time() - started) / parsed.journal:8.3f} ms a row")
        (run / "state" / "strategy.json").unlink()
        started = time.process_time()
        fn.resume(run, evaluator=Length())
        print(f"resume, no state {1e3 * (time.process_time() - started) / parsed.journal:.3f} ms a row")


if __name__ == "__main__":
    main()
