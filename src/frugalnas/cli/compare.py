"""`frugalnas compare`: strategies over seeds, with statistics."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frugalnas.cli.options import add_evaluator, labelled_names, numbers, settings_of
from frugalnas.cli.parsing import option
from frugalnas.cli.search import PRETRAINED_HELP, complete, describe_subject, strategy_description, subject_slug
from frugalnas.cli.text import watched
from frugalnas.errors import FrugalnasError
from frugalnas.registry import STRATEGIES, constructor_options

DEFAULT_QUERIES = 200


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run strategies over the same seeds and initial samples; print accuracy at budgets, queries to the "
        "optimum and tests, and write them with every query (Parquet) and figures."
    )
    option(
        parser, "strategies", "names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart", nargs="?"
    )
    option(
        parser,
        "--read FILE",
        "in place of strategies: pickled result files of NPENAS, SSNENAS or BANANAS, or folders of them, one trial each",
        Path,
        nargs="+",
    )
    option(parser, "--queries N", f"budget of each search [{DEFAULT_QUERIES}]", int, default=DEFAULT_QUERIES)
    option(
        parser,
        "--seeds N|A:B|A,B,...",
        "a number of seeds from 0, a range A to B-1, or a list [10]",
        _seeds,
        default="10",
    )
    option(parser, "--jobs N", "processes [1]", int, default=1)
    option(parser, "--until-optimum", "end each search at the optimum", bool)
    option(
        parser, "--budgets A,B,...", "queries at which values are reported [an eighth, quarter, half and all]", numbers
    )
    add_evaluator(parser)
    option(
        parser,
        "--set STRATEGY.NAME=VALUE",
        "an option of one strategy or its predictor, such as weaknas.round_size=5 or npenas.predictor.members=3, or of "
        "space or evaluator",
        list,
    )
    option(
        parser,
        "--pretrained [STRATEGY=]RUN",
        f"{PRETRAINED_HELP}. With a strategy's name its alone, otherwise of those that have a pre-trained one anyway",
        list,
    )
    option(parser, "--run-dir FOLDER", "new folder for the comparison [runs/compare-<subject>]", Path)
    option(parser, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Compare, or read what others compared, then show."""
    from frugalnas.runs.folder import unused_name
    from frugalnas.strategies.objectives import parse_objectives
    from frugalnas.studies import compare

    if parsed.read:
        _read(parsed)
        return
    if not parsed.strategies:
        raise FrugalnasError("which strategies? Name some, such as weaknas,random, or give result files to --read")
    named = labelled_names(parsed.strategies, "strategy")
    settings = settings_of(parsed.set, (*named, *(f"{label}.predictor" for label in named), "space", "evaluator"))
    _settle_pretrained(parsed.pretrained, named, settings)
    if parse_objectives(parsed.objectives)[1] or any("costs" in settings.get(label, {}) for label in named):
        raise FrugalnasError(
            "compare ranks searches by one number; search for a Pareto front with: frugalnas search --objectives ..."
        )
    strategies = []
    for label, name in named.items():
        options = settings.get(label, {})
        shown = {key: f"{label}.{key}" for key in options}
        description = strategy_description(name, options, settings.get(f"{label}.predictor", {}), shown)
        strategies.append({**description, "label": label})
    space, evaluator = describe_subject(parsed, settings)
    for strategy in strategies:
        complete(strategy, evaluator)
    _check_budgets(parsed.budgets, parsed.queries, "--queries, {}")
    run_dir = (parsed.run_dir or unused_name(Path("runs"), f"compare-{subject_slug(evaluator)}")).absolute()
    how: dict[str, Any] = {name: getattr(parsed, name) for name in ("queries", "seeds", "jobs", "until_optimum")}
    with watched(run_dir, parsed.quiet, "searches") as callbacks:
        how |= {"evaluator": evaluator, "space": space, "run_dir": run_dir, "callbacks": callbacks}
        found = compare(strategies, **how)
    _show(found, run_dir, parsed.budgets)


def _read(parsed: argparse.Namespace) -> None:
    """Show the result files of other programs, with the statistics of our own comparisons."""
    from frugalnas.runs.folder import unused_name
    from frugalnas.studies.references import ReadComparison, read_references

    if parsed.strategies:
        raise FrugalnasError(f"--read shows what files say and runs nothing; leave {parsed.strategies} out")
    read = read_references(parsed.read)
    folder = parsed.run_dir or unused_name(Path("runs"), "compare-read")
    if folder.exists():
        raise FrugalnasError(f"{folder} is already there; choose another --run-dir")
    if isinstance(read, ReadComparison):
        _check_budgets(parsed.budgets, read.queries, "the {} queries of these searches")
    elif parsed.budgets:
        raise FrugalnasError("--budgets are of searches, but these files are about fitted predictors; leave it out")
    _show(read, folder, parsed.budgets)


def _show(found: Any, run_dir: Path, budgets: list[int] | None) -> None:
    from frugalnas.report.assessments import assessment_report
    from frugalnas.report.comparisons import comparison_report
    from frugalnas.report.records import page_of
    from frugalnas.studies import Comparison

    compared, folder = isinstance(found, Comparison), run_dir / "report"
    print(page_of(comparison_report(found, folder, budgets) if compared else assessment_report(found, folder)).beneath)


def _check_budgets(budgets: list[int] | None, most: int, of: str) -> None:
    if budgets and not all(1 <= budget <= most for budget in budgets):
        raise FrugalnasError(f"--budgets {','.join(map(str, budgets))} lie between 1 and {of.format(most)}")


def _settle_pretrained(texts: Sequence[str], named: dict[str, str], settings: dict[str, dict[str, str]]) -> None:
    """Write what --pretrained says into the settings of the strategies that it means."""
    own = {}  # the pretext task of those that have a pre-trained encoder anyway
    for label, name in named.items():
        option = constructor_options(STRATEGIES.resolve(name)).get("pretrained")
        if option is not None:
            own[label] = option.default
    for text in texts:
        label, equals, run_dir = text.partition("=")
        if equals and label in named:
            part = label if label in own else f"{label}.predictor"
            settings.setdefault(part, {}).setdefault("pretrained", run_dir)
            continue
        if len(set(own.values())) != 1:
            which = (
                "they have encoders of different tasks" if own else "none of them has a pre-trained encoder of its own"
            )
            raise FrugalnasError(
                f"--pretrained {text}: which of {', '.join(own or named)} starts from it? {which}; write "
                f"--pretrained {next(iter(own or named))}={text}"
            )
        for label in own:
            settings.setdefault(label, {}).setdefault("pretrained", text)


def _seeds(text: str) -> list[int]:
    """`100`, `100:200` or `1,2,3` as a list of seeds."""
    parts = numbers(text.replace(":", ","))
    ranged = range(*parts) if ":" in text and len(parts) == 2 else range(parts[0] if len(parts) == 1 else 0)
    seeds = list(ranged) if ":" in text or len(parts) == 1 else parts
    if not seeds or min(seeds) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; write 100, 100:200 or 1,2,3")
    return seeds
