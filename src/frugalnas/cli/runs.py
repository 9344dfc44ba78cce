"""`frugalnas runs list` and `runs rank`: the runs of a folder, and what a search found in order."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, RunFolderError, surroundings, unknown_name, worded

if TYPE_CHECKING:
    from frugalnas.runs import RunFolder
    from frugalnas.searches import Query, SearchResult

COLUMNS = ("run", "kind", "on", "done", "best", "limits")
SHOWN = 10
"""Architectures of a search, where nobody says how many."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "List the runs in a folder, or rank what a search found."
    kinds = parser.add_subparsers(metavar="COMMAND")
    listed = kinds.add_parser("list", help="one line each")
    option(listed, "--root FOLDER", "where the runs are [runs]", Path, default=Path("runs"))
    listed.set_defaults(run=_list)
    ranked = kinds.add_parser(
        "rank",
        help="the architectures of a search in order",
        description="The architectures that a search evaluated, the best first: by their value, or by another "
        "measurement, of trained ones `best` or `last5`. `frugalnas train RUN --id N` retrains one of them.",
    )
    option(ranked, "run_dir RUN", "folder of a search", Path)
    option(
        ranked,
        "--by NAME",
        "value, or a metric: best (best validation accuracy), last5 (mean of the last five epochs), ... [value]",
        default="value",
    )
    option(ranked, "--top N", f"how many [{SHOWN}]", int, default=SHOWN)
    option(ranked, "--json", "as JSON, all of them", bool)
    ranked.set_defaults(run=_rank)


def _list(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import list_runs

    unreadable: dict[Path, Exception] = {}
    rows = []
    for folder in list_runs(parsed.root, unreadable):
        try:
            rows.append(row_of(folder))
        except (FrugalnasError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:  # was edited
            unreadable[folder.path] = error
    if not rows and not unreadable:
        print(f"no runs in {parsed.root}; `frugalnas search` and `frugalnas train` make one")
        return
    own = {path: _own_kind(path, why) for path, why in unreadable.items()}
    rows += [[str(path), kind or "unreadable", *[""] * 4] for path, kind in own.items()]
    print_columns(rows, COLUMNS)
    for path, why in unreadable.items():
        said = str(why) if isinstance(why, FrugalnasError) else f"{path}: {surroundings(why) or repr(why)}"
        print(f"\nnot opened: {path}: {worded(said)}" if own[path] else f"\nunreadable: {worded(said)}")


def _own_kind(path: Path, why: Exception) -> str:
    """The kind that a run's folder names, where that is somebody's own class, which cannot be imported here; else ""."""
    from frugalnas.runs.seal import read_config

    if isinstance(why, RunFolderError) or not isinstance(why, FrugalnasError):
        return ""
    kind = read_config(path)["kind"]
    return kind if ":" in kind else ""


def row_of(folder: RunFolder) -> list[str]:
    """A run's line in the list, the last of it what it may not exceed: networks by their costs, a search by its time."""
    row, space = folder.kind.row(folder), folder.config.get("space")
    limits = (space.get("limits") if isinstance(space, dict) else None) or {}
    said = [limits.get("where"), "fewer choices" if "allowed" in limits else None, row.limits]
    limited = "; ".join(filter(None, said))
    return [str(folder.path), row.called or folder.kind.name, row.on, row.done, row.best, limited]


# -- rank ----------------------------------------------------------------------------------------------------------------


def _rank(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import RunFolder
    from frugalnas.searches import load_search

    if parsed.top < 1:
        raise FrugalnasError(f"--top {parsed.top}: show at least one architecture")
    ranked = _ranked(load_search(parsed.run_dir), parsed.by, parsed.run_dir)
    if parsed.json:
        print_json(ranked)
        return
    metrics = sorted({name for row in ranked for name in row["metrics"]})
    headings = ["rank", "id", "value", *metrics, *(["minutes"] if any(row["seconds"] for row in ranked) else [])]
    rows = [_ranked_row(row, metrics, "minutes" in headings) for row in ranked[: parsed.top]]
    print_columns(rows, [*headings, "architecture"])
    if len(ranked) > parsed.top:
        print(f"and {len(ranked) - parsed.top} more; --top {len(ranked)} shows all")
    for line in _agreement(ranked):
        print(line)
    config = RunFolder(parsed.run_dir).config
    if config["evaluator"]["name"] == "training":
        from frugalnas.runs.descriptions import renewed

        data = renewed(config["evaluator"])["options"]["images"]["spec"]
        recipe = " --recipe ssnenas-retrain" * (config["space"]["name"] == "darts" and data != "digits")
        print(
            f"Retrain one, here the first: frugalnas train {parsed.run_dir} --id {ranked[0]['id']} --data {data}{recipe}"
        )


def _ranked(result: SearchResult, by: str, run_dir: Path) -> list[dict[str, Any]]:
    """The evaluated architectures as plain data, the best first: the most thoroughly evaluated, then the highest values.

    Equals stand in the order in which they were asked for.
    """
    from frugalnas.strategies.objectives import COSTS

    queries = [(number, query) for number, query in enumerate(result.queries, 1) if query.error is None]
    if not queries:
        raise FrugalnasError(f"no evaluation of {run_dir} succeeded, so there is nothing to rank")
    known = ["value", *sorted({name for _, query in queries for name in query.metrics})]
    if by not in known:
        raise unknown_name("--by", by, known, " (metrics of this search)")
    sign = -1.0 if by in {cost.metric for cost in COSTS.values()} else 1.0
    scored = [
        (sign * (query.value if by == "value" else query.metrics.get(by, float("nan"))), -number, query)
        for number, query in queries
    ]
    scored = [entry for entry in scored if entry[0] == entry[0]]
    rows = []
    for rank, (_, number, query) in enumerate(
        sorted(scored, key=lambda entry: (_level(entry[2]), *entry[:2]), reverse=True), 1
    ):
        rows.append(
            {
                "rank": rank,
                "id": -number,
                "value": query.value,
                "metrics": dict(query.metrics),
                "seconds": _seconds(run_dir / "evaluations" / result.told.folder_of(-number - 1)),
                "architecture": result.space.format(query.code),
            }
        )
    return rows


def _level(query: Query) -> float:
    return float("inf") if query.fidelity is None else query.fidelity


def _seconds(evaluation: Path) -> float | None:
    """How long a query's own training took, None where it was no training."""
    from frugalnas.runs import RunFolder

    path = evaluation / "training"
    return round(RunFolder(path).seconds(), 1) if (path / "config.yaml").is_file() else None


def _ranked_row(row: dict[str, Any], metrics: list[str], timed: bool) -> list[str]:
    columns = [str(row["rank"]), str(row["id"]), f"{row['value']:.3f}"]
    for name in metrics:
        amount = row["metrics"].get(name, float("nan"))
        columns.append(f"{amount / 1e6:,.3f} M" if name in ("params", "macs") else f"{amount:,.3f}")
    if timed:
        columns.append("" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}")
    return [*columns, row["architecture"]]


def _agreement(ranked: list[dict[str, Any]]) -> list[str]:
    """How far the two orders of trained architectures agree; nothing where there is one, or nothing to order."""
    import numpy as np

    from frugalnas.scores.correlation import kendall_tau

    pairs = [(row["metrics"].get("best"), row["metrics"].get("last5")) for row in ranked]
    if len(pairs) < 3 or any(None in pair for pair in pairs):
        return []
    best, last = np.array(pairs, np.float64).T
    if not np.ptp(best) or not np.ptp(last):
        return []
    return [f"Kendall's tau between the orders by best and by last5: {kendall_tau(best, last):.3f}"]
