"""`frugalnas runs list`, `runs rank`, `show`, `resume` and `report`: what there is, what one found, how it goes on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli.method import stage_settings
from frugalnas.cli.options import add_budget, add_limit
from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json, show_result, watched
from frugalnas.documents import read_yaml
from frugalnas.errors import FrugalnasError, RunFolderError, one_of, surroundings, word_by, worded
from frugalnas.trust import Untrusted, looking, reading

if TYPE_CHECKING:
    from frugalnas.runs import RunFolder
    from frugalnas.runs.kinds import RunKind
    from frugalnas.searches import SearchResult

COLUMNS = ("run", "kind", "on", "done", "best", "limits")
SHOWN = 10
"""Architectures of a search, where nobody says how many."""
CHANGES = ("queries", "seconds", "failures", "settings", "where", "epochs", "lr", "stage", "jobs", "device")
"""What somebody may want to change of a run that goes on; the kind of run says what of it can."""


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
    rows += [[str(path), kind or "unreadable", "", "", "", ""] for path, kind in own.items()]
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
    one_of("--by", by, known, " (metrics of this search)")
    sign = -1.0 if by in {cost.metric for cost in COSTS.values()} else 1.0
    scored = []
    for number, query in queries:
        worth = sign * (query.value if by == "value" else query.metrics.get(by, float("nan")))
        thorough = float("inf") if query.fidelity is None else query.fidelity
        if worth == worth:
            scored.append(((-thorough, -worth, number), query))
    return [
        {
            "rank": rank,
            "id": number,
            "value": query.value,
            "metrics": dict(query.metrics),
            "seconds": _seconds(run_dir / "evaluations" / result.queries.folder_of(number - 1)),
            "architecture": result.space.format(query.code),
        }
        for rank, ((*_, number), query) in enumerate(sorted(scored, key=lambda entry: entry[0]), 1)
    ]


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


# -- show, resume, report -----------------------------------------------------------------------------------------------


def add_show(parser: argparse.ArgumentParser) -> None:
    """Add what `show` takes."""
    parser.description = "What a run or comparison found, read from its folder."
    option(parser, "run_dir RUN", kind=Path)
    option(parser, "--json", "as JSON", bool)
    parser.set_defaults(run=_show)


def _show(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import RunFolder

    folder = RunFolder(parsed.run_dir)
    try:
        with looking(), reading(parsed.run_dir):
            kind = folder.kind
            show_result(kind, kind.load(folder), parsed.run_dir, as_json=parsed.json)
    except Untrusted as why:
        _shown_unopened(folder, str(why), as_json=parsed.json)


def _shown_unopened(folder: RunFolder, why: str, *, as_json: bool) -> None:
    """Print what a run of somebody's own parts says by itself, without importing these."""
    rows = list(zip(COLUMNS[:-1], row_of(folder), strict=False))
    queries = [line for line in folder.lines() if line.get("value") is not None and "architecture" in line]
    if queries:
        from frugalnas.searches.ledger import rank

        rows.append(("architecture", str(max(queries, key=rank)["architecture"])))
    if as_json:
        print_json(dict(rows))
        return
    rows.append(("not opened", why))
    if folder.report.is_dir():
        rows.append(("pictures", ", ".join(sorted(f"report/{path.name}" for path in folder.report.iterdir()))))
    print_columns(rows)


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Add what `resume` takes."""
    parser.description = "Continue a run: its journal ends as if it had never been interrupted."
    option(parser, "run_dir RUN", kind=Path)
    add_budget(parser, None)
    option(
        parser,
        "--set STAGE.NAME=VALUE",
        "for a method: another setting of a stage that has not begun, such as search.generations=5; for a kind of run of "
        "your own, NAME=VALUE: what it can change",
        list,
        dest="settings",
    )
    add_limit(parser, "for a method whose search has not begun: another limit")
    option(parser, "--epochs N", "for a training: go on to so many in all, also when finished", int)
    option(parser, "--lr X", "for a training: the rate at which its schedule starts anew", float)
    option(parser, "--stage NAME", "for a method: this one alone; those before it must be finished")
    option(parser, "--jobs N", "processes, for comparisons [1]", int)
    option(parser, "--device", "for a training: go on there [where it began]", ("auto", "cpu", "cuda", "mps"))
    edited = parser.add_mutually_exclusive_group()
    option(edited, "--accept-config", "go on with config.yaml as it was edited, where the run can", bool)
    option(edited, "--restore-config", "undo what was edited in config.yaml first", bool)
    option(parser, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=_resume)


def _resume(parsed: argparse.Namespace) -> None:
    from frugalnas.runs import RunFolder, accept_config, restore_config

    run_dir: Path = parsed.run_dir
    if parsed.restore_config:
        restore_config(run_dir)
    elif parsed.accept_config:
        accept_config(run_dir)
    folder = RunFolder(run_dir)
    kind = folder.kind
    changes = {name: getattr(parsed, name) for name in CHANGES}
    word_by(lambda text: parsed.wording(_as_set(kind, text)))
    of_stages = []
    for setting in parsed.settings:
        name, equals, value = setting.partition("=")
        if not equals or "." in name or name in CHANGES:
            of_stages.append(setting)
        else:
            changes[name] = read_yaml(value, setting)
    changes["settings"] = stage_settings(of_stages) if of_stages else None
    with watched(run_dir, parsed.quiet, kind.doing) as callbacks, reading(run_dir):
        result = kind.resume(run_dir, callbacks=callbacks, **changes)
    show_result(kind, result, run_dir)


def _as_set(kind: RunKind, text: str) -> str:
    """A message in which changes of a kind of one's own are called as they are typed."""
    for name in set(kind.changes).difference(CHANGES):
        text = text.replace(f"`{name}`", f"--set {name}")
    return text


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    parser.description = "Figures of a run beyond those of `frugalnas show`."
    kinds = parser.add_subparsers(metavar="COMMAND")
    dynamics = kinds.add_parser(
        "dynamics",
        help="where WeakNAS or NPENAS looked and how its predictors improved",
        description="Replay a run of WeakNAS or NPENAS on a table from its journal, evaluating nothing, and write into its report "
        "folder: tsne, the regions that were sampled, iteration by iteration, on a plane; dynamics, predicted against true "
        "values, errors, and the chance to sample the best; and the numbers behind them (Parquet).",
    )
    option(dynamics, "run_dir RUN", kind=Path)
    dynamics.set_defaults(run=_dynamics)
    operators = kinds.add_parser(
        "operators",
        help="which operators ABS or frugalnas shrink dropped in which round, and by which scores",
        description="Draw what a run of ABS dropped, into its report folder, or what frugalnas shrink did, beside its file: "
        "operators by places, each with its last score, a 95 % interval where that is not exact, and the round that dropped it.",
    )
    option(operators, "run_dir RUN|FILE", kind=Path)
    operators.set_defaults(run=_operators)


def _dynamics(parsed: argparse.Namespace) -> None:
    from frugalnas.report.dynamics_figures import dynamics_report

    print(f"replaying {parsed.run_dir}: every predictor is fitted again", file=sys.stderr)
    print(*dynamics_report(parsed.run_dir, lambda text: print(text, file=sys.stderr)), sep="\n")


def _operators(parsed: argparse.Namespace) -> None:
    from frugalnas.report.operators import operators_report

    print(*operators_report(parsed.run_dir), sep="\n")
