"""`frugalnas compare`: strategies over seeds, with statistics."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.cli.options import add_evaluator, parse_settings
from frugalnas.cli.reading import show_read
from frugalnas.cli.search import (
    PRETRAINED_HELP,
    complete,
    describe_subject,
    strategy_description,
    subject_slug,
)
from frugalnas.cli.showing import show_comparison
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.registry import STRATEGIES, constructor_options

if TYPE_CHECKING:
    from frugalnas.runs.progress import Callback

__all__ = ["add", "numbers_in", "watched"]

DEFAULT_QUERIES = 200


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run strategies over the same seeds and initial samples; print accuracy at budgets, queries to the "
        "optimum and tests, and write them with every query (Parquet) and figures."
    )
    parser.add_argument(
        "strategies",
        nargs="?",
        help="names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart",
    )
    parser.add_argument(
        "--read",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="in place of strategies: pickled result files of NPENAS, SSNENAS or BANANAS, or folders of them, one trial each",
    )
    parser.add_argument(
        "--queries", type=int, default=DEFAULT_QUERIES, metavar="N", help=f"budget of each search [{DEFAULT_QUERIES}]"
    )
    parser.add_argument(
        "--seeds",
        default="10",
        metavar="N|A:B|A,B,...",
        help="a number of seeds from 0, a range A to B-1, or a list [10]",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes [1]")
    parser.add_argument("--until-optimum", action="store_true", help="end each search at the optimum")
    parser.add_argument(
        "--budgets", metavar="A,B,...", help="queries at which values are reported [an eighth, quarter, half and all]"
    )
    add_evaluator(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STRATEGY.NAME=VALUE",
        help="an option of one strategy or its predictor, such as weaknas.round_size=5 or npenas.predictor.members=3, or of "
        "space or evaluator",
    )
    parser.add_argument(
        "--pretrained",
        action="append",
        default=[],
        metavar="[STRATEGY=]RUN",
        help=f"{PRETRAINED_HELP}. With a strategy's name its alone, otherwise of those that have a pre-trained one anyway",
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="FOLDER", help="new folder for the comparison [runs/compare-<subject>]"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Compare, then show."""
    from frugalnas.runs.folder import unused_name
    from frugalnas.strategies.objectives import parse_objectives
    from frugalnas.studies import compare

    if parsed.read:
        if parsed.strategies:
            raise FrugalnasError(f"--read shows what files say and runs nothing; leave {parsed.strategies} out")
        return show_read(parsed, None if parsed.budgets is None else numbers_in(parsed.budgets, "--budgets"))
    if not parsed.strategies:
        raise FrugalnasError("which strategies? Name some, such as weaknas,random, or give result files to --read")
    entries = [entry.strip().rpartition("=") for entry in parsed.strategies.split(",") if entry.strip()]
    named = {label or name: name for label, _, name in entries}
    if len(named) < len(entries):
        raise FrugalnasError("a strategy is compared with itself; tell two of a name apart as LABEL=NAME")
    settings = parse_settings(parsed.set)
    parts = (*named, *(f"{label}.predictor" for label in named), "space", "evaluator")
    for part in settings:
        if part not in parts:
            raise unknown_name("part of --set", part, parts)
    _settle_pretrained(parsed.pretrained, named, settings)
    strategies = []
    for label, name in named.items():
        options = settings.get(label, {})
        if "costs" in options:
            raise FrugalnasError(_ONE_OBJECTIVE)
        shown = {key: f"{label}.{key}" for key in options}
        description = strategy_description(name, options, settings.get(f"{label}.predictor", {}), shown)
        strategies.append({**description, "label": label})
    if parse_objectives(parsed.objectives)[1]:
        raise FrugalnasError(_ONE_OBJECTIVE)
    space, evaluator = describe_subject(parsed, settings)
    for strategy in strategies:
        complete(strategy, evaluator)
    budgets = None if parsed.budgets is None else numbers_in(parsed.budgets, "--budgets")
    if budgets and not all(1 <= budget <= parsed.queries for budget in budgets):
        raise FrugalnasError(f"--budgets {parsed.budgets} lie between 1 and --queries, {parsed.queries}")
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"compare-{subject_slug(evaluator)}")
    here = run_dir.absolute()  # an evaluator may change the working folder
    with watched(run_dir, parsed.quiet) as callbacks:
        compare(
            strategies,
            evaluator=evaluator,
            space=space,
            queries=parsed.queries,
            seeds=_seeds(parsed.seeds),
            jobs=parsed.jobs,
            until_optimum=parsed.until_optimum,
            run_dir=here,
            callbacks=callbacks,
        )
    return show_comparison(here, budgets)


@contextmanager
def watched(run_dir: Path, quiet: bool, what: str = "searches") -> Iterator[list[Callback]]:
    """A progress bar over the searches of a comparison, or `what` else, and after Ctrl-C the line that continues it."""
    from frugalnas.runs.progress import Progress

    shown = [] if quiet else [Progress(what)]
    try:
        yield [*shown]
    except KeyboardInterrupt:
        print(f"\nFinished {what} are kept. Continue with: frugalnas resume {run_dir}", file=sys.stderr)
        raise
    finally:
        for each in shown:
            each.close()


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
    if ":" in text:
        bounds = numbers_in(text.replace(":", ","), "--seeds")
        seeds = list(range(*bounds)) if len(bounds) == 2 else []
    else:
        numbers = numbers_in(text, "--seeds")
        seeds = numbers if "," in text else list(range(numbers[0]))
    if not seeds or min(seeds) < 0:
        raise FrugalnasError(f"--seeds {text!r} names no seeds; write 100, 100:200 or 1,2,3")
    return seeds


def numbers_in(text: str, option: str) -> list[int]:
    """`1,2,3` as a list."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise FrugalnasError(f"{option} {text!r} is not a list of whole numbers") from None


_ONE_OBJECTIVE = (
    "compare ranks searches by one number; search for a Pareto front with: frugalnas search --objectives ..."
)
