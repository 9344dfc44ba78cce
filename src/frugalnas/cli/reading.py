"""`frugalnas compare --read`: result files of other programs, with the statistics of our own comparisons."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.errors import FrugalnasError

if TYPE_CHECKING:
    from frugalnas.studies.assessment import Assessment

__all__ = ["show_read"]


def show_read(parsed: argparse.Namespace, budgets: list[int] | None) -> int:
    """Print what the files say and write table, Parquet file and figures."""
    from frugalnas.report.comparisons import comparison_report
    from frugalnas.runs.folder import unused_name
    from frugalnas.studies.comparison import Comparison
    from frugalnas.studies.references import read_references

    read: Comparison | Assessment = read_references(parsed.read)
    folder = parsed.run_dir or unused_name(Path("runs"), "compare-read")
    if folder.exists():
        raise FrugalnasError(f"{folder} is already there; choose another --run-dir")
    if isinstance(read, Comparison):
        most = read.queries
        if budgets and not all(1 <= budget <= most for budget in budgets):
            raise FrugalnasError(f"--budgets {parsed.budgets} lie between 1 and the {most} queries of these searches")
        written = comparison_report(read, folder / "report", budgets)
    else:
        from frugalnas.report.assessments import assessment_report

        if budgets:
            raise FrugalnasError("--budgets are of searches, but these files are about fitted predictors; leave it out")
        written = assessment_report(read, folder / "report")
    print(written[0].read_text(encoding="utf-8"))
    for path in written:
        print(path)
    return 0
