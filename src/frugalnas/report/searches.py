"""What one run found, in numbers and pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas.amounts import plural, shown_amount
from frugalnas.errors import FrugalnasError
from frugalnas.report.architectures import draw_architecture
from frugalnas.report.curves import search_progress
from frugalnas.report.markdown import aligned
from frugalnas.report.pareto import front_figure, hypervolume_figure, read_fronts
from frugalnas.report.style import save_figure
from frugalnas.runs import RunFolder
from frugalnas.runs.descriptions import build_evaluator, renewed
from frugalnas.runs.kinds import Page
from frugalnas.searches import SearchResult
from frugalnas.searches.scoring import score_title
from frugalnas.strategies.objectives import VALUES, cost_named
from frugalnas.tables import TableEvaluator

MOST_ROWS = 20
"""Of a front in a page."""


@dataclass(frozen=True)
class Standing:
    """Where an architecture stands in a table.

    Attributes:
        table: its name.
        rank: 1 for the best by the label that was searched, among the architectures that the search was allowed; equals
            share the better place.
        rows: how many those are.
        optimum: the best label that was there to be found.
        regret: optimum minus the label found.
        test: mean test accuracy in %, None where the table has no test results; looked at now, never during the search,
            unless that was an oracle study.
    """

    table: str
    rank: int
    rows: int
    optimum: float
    regret: float
    test: float | None


class Summary:
    """What a search that was kept in a folder found.

    Attributes:
        run: its folder.
        strategy: name of the strategy.
        space: name of the space, with its limits where it has any.
        evaluator: what answered.
        objective: what its value is: accuracy or oracle-test of a table, "score NAME" of a supernet, "validation accuracy,
            best" or "..., last5" of networks that were trained, else value.
        seed: of the strategy.
        queries: distinct networks evaluated, at each fidelity.
        failed: how many of them failed.
        stop: why it ended.
        seconds: wall time.
        best_query: which query found the best architecture, from 1.
        value: what it is worth.
        code: its genes.
        architecture: in the space's notation.
        counts: what the space can count of it, such as parameters and multiply-adds.
        uncounted: why something could not be counted, such as a table of latency that is gone; empty where all was.
        counted_network: of which network, empty where there is only one.
        metric_totals: sum over all queries of each metric, such as seconds of training that a table stands for.
        standing: its place in the table, None where no table answered.
        pareto: the front and its hypervolume, None where the search had one objective.
        unit: what the value is called in a figure.
        fronts: of a search with costs, else None.

    Raises:
        FrugalnasError: where every evaluation failed, or the search was not kept.
    """

    def __init__(self, result: SearchResult) -> None:
        if result.run_dir is None:
            raise FrugalnasError("this search was not kept in a folder; give it a `run_dir`")
        config = RunFolder(result.run_dir).config
        described, strategy, best = renewed(config["evaluator"]), config["strategy"], result.best
        built = build_evaluator(described, result.space) if described["name"] == "table" else None
        table = built if isinstance(built, TableEvaluator) else None
        told = _told_of(described["name"], described["options"], table)
        costs = tuple(strategy["options"].get("costs") or ())
        self.run = str(result.run_dir)
        self.strategy: str = strategy["name"]
        self.space = repr(result.space) if result.space.limits else result.space.name
        self.evaluator, self.objective, self.unit = told
        self.seed: int = strategy["options"].get("seed", 0)
        self.queries = len(result.queries)
        self.failed = int(np.isnan(result.values).sum())
        self.stop = result.stop
        self.seconds = result.seconds
        self.best_query = result.best_row + 1
        self.value = best.value
        self.code: list[int] = best.code.tolist()
        self.architecture = result.architecture
        self.counts, self.uncounted = _counts(result)
        self.counted_network = result.space.counted_for
        self.metric_totals = {name: float(np.nansum(result.queries.metric(name))) for name in result.queries.names}
        self.standing = None if table is None else _standing(result, table)
        self.fronts = read_fronts(result, costs, value=self.unit, evaluator=table) if costs else None
        self.pareto = None if self.fronts is None else self.fronts.to_json(result)

    def to_json(self) -> dict[str, Any]:
        """The same as plain data, without what serves figures."""
        plain = {name: value for name, value in vars(self).items() if name not in ("unit", "fronts")}
        return {**plain, "standing": None if self.standing is None else asdict(self.standing)}


def _counts(result: SearchResult) -> tuple[dict[str, float], str]:
    """What the best architecture costs, and why something of that is not known here."""
    counts, reasons = {}, []
    for name in result.space.quantities:
        try:
            counts[name] = float(result.space.count(name, result.best.code[None])[0])
        except FrugalnasError as error:
            reasons.append(str(error))
    return counts, "; ".join(dict.fromkeys(reasons))


def search_page(result: SearchResult) -> Page:
    """What `show` prints of a search; the pictures are written into its report folder."""
    summary = Summary(result)
    scored = summary.objective.startswith("score ")
    trained = summary.objective.startswith("validation accuracy, ")
    value = f"{summary.value:.6g}" if scored else f"{summary.value:.3f}"
    rows = [
        ("architecture", summary.architecture),
        ("value", f"{value} (query {summary.best_query} of {summary.queries})"),
    ]
    if scored or trained:
        rows.append(("which is", summary.evaluator))
    standing, oracle = summary.standing, summary.objective == "oracle-test"
    if standing is not None:
        allowed = " allowed" if summary.space != summary.space.partition("(")[0] else ""
        split = "test" if oracle else "validation"
        rows.append(("rank", f"{standing.rank:,} of {standing.rows:,}{allowed} in {standing.table}, {split}"))
        rows.append(("regret", f"{standing.regret:.3f} to the best {split} value, {standing.optimum:.3f}"))
        test = f"{standing.test:.3f}" if standing.test is not None else f"unknown: {standing.table} has no test results"
        rows.append(("oracle study", "test labels were shown to the strategy") if oracle else ("test accuracy", test))
    if summary.pareto is not None:
        rows.append(("front", _size_of_front(summary.pareto)))
    counted_for = f" ({summary.counted_network})" if summary.counted_network else ""
    for name, count in summary.counts.items():
        rows.append((name, shown_amount(name, count) + counted_for))
    if summary.uncounted:
        rows.append(("not counted", summary.uncounted))
    if "training_seconds" in summary.metric_totals:
        hours = summary.metric_totals["training_seconds"] / 3600
        rows.append(("stands for", f"{hours:,.1f} hours of training, had there been no table"))
    failed = f", {summary.failed} failed" if summary.failed else ""
    spent = f"{summary.queries} queries{failed}, {summary.seconds:.1f} s"
    rows.append(("search", f"{summary.strategy}, seed {summary.seed}, {spent}; {summary.stop}"))
    rows.append(("run folder", summary.run))
    written = _pictures(result, summary)
    rows.append(("pictures", ", ".join(f"report/{path.name}" for path in written)))
    if trained:
        said = f"frugalnas runs rank {summary.run} shows the order, frugalnas train {summary.run} --id N retrains"
        rows.append(("next", said))
    return Page(rows, _front(summary.pareto) if summary.pareto is not None and summary.pareto["front"] else "")


def _size_of_front(pareto: dict[str, Any]) -> str:
    size, share = len(pareto["front"]), ""
    if pareto["share"] is not None:
        share = f"; {100 * pareto['share']:.2f} % of the hypervolume of the table's front"
    return f"{plural(size, 'architecture')} that no other query beats in value and {', '.join(pareto['costs'])}{share}"


def _front(pareto: dict[str, Any]) -> str:
    """The front as a table, the best value first."""
    costs = [cost_named(metric) for metric in pareto["costs"]]
    rows = [["query", "value", *(cost.title for cost in costs), "architecture"]]
    for member in pareto["front"][:MOST_ROWS]:
        shares = (f"{member[cost.metric] / cost.scale:,.3f}" for cost in costs)
        rows.append([str(member["query"]), f"{member['value']:.3f}", *shares, member["architecture"]])
    lines = [line.rstrip() for line in aligned(rows)]
    if len(pareto["front"]) > MOST_ROWS:
        lines.append(f"and {len(pareto['front']) - MOST_ROWS} more (frugalnas show --json RUN has all)")
    return "\n".join(["Pareto front:", *lines])


def _pictures(result: SearchResult, summary: Summary) -> list[Path]:
    """The pictures of a run, written into its report folder: the best cell, the search's progress, its front if it has costs."""
    standing, fronts, folder = summary.standing, summary.fronts, Path(summary.run) / "report"
    folder.mkdir(exist_ok=True)
    cell = draw_architecture(result.space, result.best.code)
    progress = search_progress(
        result.values,
        best=result.best_so_far,
        unit=summary.unit,
        optimum=result.optimum,
        rank=None if standing is None else (standing.rank, standing.rows),
    )
    written = [*save_figure(cell, folder / "cell"), *save_figure(progress, folder / "progress")]
    if fronts is not None and len(fronts.front):
        written += save_figure(front_figure(fronts), folder / "pareto")
    if fronts is not None and fronts.measurable:
        written += save_figure(hypervolume_figure(fronts), folder / "hypervolume")
    return written


def _told_of(name: str, options: dict[str, Any], table: TableEvaluator | None) -> tuple[str, str, str]:
    """What answered, what its value is, and what the value is called in a figure."""
    if table is not None:
        answered = f"table {table.opened.name}, label {options['label']}"
        return answered, table.objective, f"{VALUES[table.objective]}, %"
    if name == "score":
        rule = f", rule {options['rule']}, from epoch {options['base']}" if options["rule"] else ""
        answered = f"{options['name']} of supernet {options['supernet']}{rule}, after epoch {options['epoch']}"
        return answered, f"score {options['name']}", score_title(options["name"])
    if name == "untrained":
        answered = f"{options['score']} of untrained networks{f', {data}' if (data := options['data']) else ''}"
        return answered, f"score {options['score']}", score_title(options["score"])
    if name == "training":
        from frugalnas.trainings.evaluator import SELECTIONS

        selected = SELECTIONS[options["select"]]
        answered = f"training on {options['images']['spec']}, recipe {options['recipe']}, {selected}"
        return answered, f"validation accuracy, {options['select']}", selected
    return " ".join([name, *map(str, options.values())]), "value", "value"


def _standing(result: SearchResult, evaluator: TableEvaluator) -> Standing:
    """Where the best architecture stands in the table, by the labels that were searched."""
    table, labels = evaluator.opened, evaluator.labels
    if result.space.limits:
        labels = labels[result.space.valid(table.codes)]
    best = result.best
    optimum = float(np.nanmax(labels)) if result.optimum is None else result.optimum
    return Standing(
        table=table.name,
        rank=1 + int((labels > best.value).sum()),
        rows=len(labels),
        optimum=optimum,
        regret=optimum - best.value,
        test=table.lookup(best.code, "test") if table.has_test else None,
    )
