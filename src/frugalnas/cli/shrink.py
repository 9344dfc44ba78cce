"""`frugalnas shrink`: a space without the operators that are worth least, by a trained supernet or a table."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.amounts import plural, shown_count
from frugalnas.cli.options import add_limit, add_operators, settings_of
from frugalnas.cli.parsing import option
from frugalnas.cli.score import add_accuracy
from frugalnas.cli.search import described_table, refuse, supernet_space
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.progress import Bar

if TYPE_CHECKING:
    from frugalnas.scores import OperatorScores, Score
    from frugalnas.shrinking import Shrinker, Shrinking, TableScore
    from frugalnas.spaces import SearchSpace


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Drop the operators of a space that are worth least, round by round: by the mean score of the architectures that contain "
        "each, exact wherever it can be. What is left is written to a file that searches and trainings take as --operators. All "
        "rounds go by the same weights; a drop by parameters stands beside."
    )
    parser.epilog = (
        "Examples: frugalnas shrink runs/supernet --score angle --until 1e6 --out shrunk.json; "
        "frugalnas shrink --table nasbench201/cifar10 shows what a perfect score would keep"
    )
    option(parser, "run_dir RUN", "folder of a supernet's run, or of a method's that trained one", nargs="?")
    option(parser, "--table NAME", "in place of a supernet: a table, whose accuracies are a perfect score")
    option(
        parser,
        "--score NAME",
        "angle, accuracy, params, macs, random, or what else frugalnas score takes; of a table accuracy, oracle-test, params, "
        "macs or random [angle; of a table accuracy]",
    )
    group = parser.add_argument_group("what is dropped")
    option(
        group,
        "--shrinker NAME",
        "one-by-one, with scores taken again after each operator; or those of ABS's programs: abs-spos, abs-fairnas, abs-darts, "
        "abs-nasbench201 [one-by-one]",
    )
    option(
        group,
        "--until N",
        "enough when so many architectures are left; 1 leaves a single one [the shrinker's; of one-by-one a million, or 1/156 of "
        "the space where that is fewer]",
        int,
    )
    option(
        group,
        "--statistic NAME",
        "mean, best-tenth or maximum of the architectures with an operator [mean]",
        default="mean",
    )
    option(group, "--draws N", "architectures to draw for each scoring [none where scores are exact without]", int)
    add_limit(group, "count only architectures such as 'macs<=475M'; the limit is not part of the file")
    add_operators(group)
    option(group, "--set space.NAME=VALUE", "size of the networks that costs refer to, such as space.width=36", list)
    group = parser.add_argument_group("which angle")
    option(group, "--rule NAME", "which weights an angle counts, such as abs-mobilenet [default]")
    option(group, "--base N", "epoch whose weights an angle starts from [the recipe's]", int)
    option(group, "--epoch N", "epoch of the supernet's training [the last]", int)
    add_accuracy(parser)
    group = parser.add_argument_group("what is shown")
    option(group, "--out FILE", "new file for what is left, JSON [shrunk-<space>-<score>.json]", Path)
    option(group, "--json", "as JSON", bool)
    option(group, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=_run, space=None)


@dataclass(frozen=True)
class _Subject:
    """Whose operators are dropped, and by what.

    Attributes:
        space: within limits.
        score: None draws at random.
        of: supernet or table, for people.
        judge: what a table says of what is left, where there is a table.
    """

    space: SearchSpace
    score: Score | None
    of: str
    judge: TableScore | None = None


def _run(parsed: argparse.Namespace) -> None:
    from frugalnas.scores import Counted, drawn_scores, operator_scores
    from frugalnas.scores.operator_expectations import FEW_DRAWS, RANDOM
    from frugalnas.searches.scoring import fast
    from frugalnas.shrinking import Shrinking, write_operators

    parsed.score = parsed.score or ("angle" if parsed.table is None else "accuracy")
    subject = _of_supernet(parsed) if parsed.table is None else _of_table(parsed)
    shrinker = _shrinker(parsed, subject)
    out = parsed.out or Path(f"shrunk-{subject.space.name}-{parsed.score.replace('+', '-')}.json")
    if out.exists():
        raise FrugalnasError(f"{out} is already there; choose another `out`")
    if not out.parent.is_dir():
        raise FrugalnasError(f"{out.parent} is not there; make it, or choose another `out`")
    how: dict[str, Any] = {"statistic": parsed.statistic, "seed": parsed.seed}
    draws = parsed.draws
    if draws is None and parsed.table is None and parsed.score != RANDOM and not fast(parsed.score):
        draws = FEW_DRAWS
    take: Callable[[SearchSpace], OperatorScores]
    if subject.score is None:
        take = partial(drawn_scores, seed=parsed.seed)
    else:
        take = partial(operator_scores, subject.score, draws=draws, **how)
    start = Shrinking(subject.space, shrinker)
    found = _shrunk(start, take, f"operators by {parsed.score}", parsed.quiet)
    beside = None
    if "params" in subject.space.quantities and parsed.score != "params":
        size = partial(operator_scores, Counted(subject.space, "params"), **how)
        beside = _shrunk(start, size, "operators by params", parsed.quiet)
    write_operators(out, found)
    if parsed.json:
        print_json(_numbers(parsed, subject, found, beside, out))
    else:
        _show(parsed, subject, found, beside, out)


def _of_supernet(parsed: argparse.Namespace) -> _Subject:
    """The operators of a supernet's space, by one of its scores."""
    from frugalnas.scores.operator_expectations import RANDOM
    from frugalnas.searches.scoring import score_parts
    from frugalnas.searches.supernet_scores import Looking, open_score

    if parsed.run_dir is None:
        raise FrugalnasError("shrink by RUN, the folder of a supernet's run, or by the accuracies of --table; give one")
    space = supernet_space(parsed.run_dir, None, settings_of(parsed.set, ("space",)), parsed)
    if parsed.score == RANDOM:
        return _Subject(space, None, parsed.run_dir)
    score_parts(parsed.score, space, parsed.rule, also=(RANDOM,))
    looking = Looking(parsed.recalibrate, parsed.images, parsed.seed, parsed.device)
    angle = {"rule": parsed.rule, "base": parsed.base, "epoch": parsed.epoch}
    return _Subject(
        space, open_score(parsed.run_dir, parsed.score, space=space, looking=looking, **angle), parsed.run_dir
    )


def _of_table(parsed: argparse.Namespace) -> _Subject:
    """The operators of a table's space, by what it measured or counts."""
    from frugalnas.runs.descriptions import build_space
    from frugalnas.scores import Counted
    from frugalnas.scores.operator_expectations import RANDOM
    from frugalnas.shrinking import TableScore
    from frugalnas.tables import open_table
    from frugalnas.tables.evaluator import ROLE_OF

    if parsed.run_dir is not None:
        raise FrugalnasError(f"{parsed.run_dir} and --table both say what operators are worth; give one")
    refuse(parsed, ("rule", "base", "epoch"), "says which angle of a supernet is meant; a table has none")
    table = open_table(parsed.table)
    space = build_space(described_table(parsed, table, settings_of(parsed.set, ("space",))))
    known = [name for name, role in ROLE_OF.items() if role in table.columns]
    if parsed.score in ROLE_OF:
        score = TableScore(space, table, parsed.score)
        return _Subject(space, score, table.name, score)
    if parsed.score != RANDOM and parsed.score not in space.quantities:
        raise unknown_name("score of a table", parsed.score, [*known, *space.quantities, RANDOM])
    judge = TableScore(space, table, known[0]) if known else None
    return _Subject(space, None if parsed.score == RANDOM else Counted(space, parsed.score), table.name, judge)


def _shrinker(parsed: argparse.Namespace, subject: _Subject) -> Shrinker:
    """The shrinker, with what is enough.

    Raises:
        FrugalnasError: where nothing is to be dropped.
    """
    from frugalnas.shrinking import Shrinking, shrinker_for

    space = subject.space
    shrinker = shrinker_for(space, parsed.shrinker)
    shrinker = shrinker if parsed.until is None else replace(shrinker, until=parsed.until)
    shrinker.check(space, parsed.statistic)
    over = Shrinking(space, shrinker).done
    if over:
        other = "" if shrinker.rescored else ", or take the `shrinker` one-by-one"
        raise FrugalnasError(
            f"the space of {subject.of} is too small for {shrinker.name} until {shrinker.until:,.0f}: {over}; "
            f"set a smaller `until`{other}"
        )
    return shrinker


def _shrunk(start: Shrinking, take: Callable[[SearchSpace], OperatorScores], what: str, quiet: bool) -> Shrinking:
    """The space at the end of its way."""
    here, most = start, start.most
    with closing(Bar(what, quiet=quiet)) as bar:
        while not here.done:
            here = here.next_round(take)
            bar.update(len(here.drops), most)
    return here


# -- what is shown -----------------------------------------------------------------------------------------------------


def _left(found: Shrinking) -> dict[str, list[str]]:
    """The operators of each place that are left."""
    operators = found.operators
    lists = operators.lists(operators.left(found.space.allowed))
    return {
        place: [operators.names[number] for number in numbers]
        for place, numbers in zip(operators.places, lists, strict=True)
    }


def _operators(found: Shrinking) -> str:
    return plural(len(found.drops), "operator")


def _only(found: Shrinking) -> str | None:
    """The single architecture that is left; None where there are more."""
    import numpy as np

    space = found.space
    return space.format(space.sample(1, np.random.default_rng(0))[0]) if space.size == 1 else None


def _dropped_too(found: Shrinking, beside: Shrinking) -> int:
    """How many of the dropped operators go by parameters, too."""
    mine, its = ({(drop.place, drop.operator) for drop in each.drops} for each in (found, beside))
    return len(mine & its)


def _best(judge: TableScore, space: SearchSpace) -> float:
    """The best accuracy in a space."""
    import numpy as np

    from frugalnas.scores.operator_expectations import listing

    return float(np.nanmax(judge(listing(space))))


def _numbers(
    parsed: argparse.Namespace, subject: _Subject, found: Shrinking, beside: Shrinking | None, out: Path
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "space": subject.space.name,
        "of": subject.of,
        "score": parsed.score,
        "statistic": parsed.statistic,
        "said": found.steps[0].scores.said,
        "shrinker": found.shrinker.name,
        "until": found.shrinker.until,
        "where": parsed.where,
        "architectures": {"before": str(found.shrinker.size(found.start)), "after": str(found.steps[-1].size)},
        "ended": found.done,
        "dropped": [
            {
                "round": drop.round + 1,
                "place": drop.place,
                "operator": drop.operator,
                "score": drop.score,
                "interval": drop.interval,
            }
            for drop in found.drops
        ],
        "left": _left(found),
        "architecture": _only(found),
    }
    if subject.judge is not None:
        numbers["best"] = {"before": _best(subject.judge, found.start), "after": _best(subject.judge, found.space)}
    if beside is not None:
        numbers["params"] = {"dropped_too": _dropped_too(found, beside), "after": str(beside.steps[-1].size)}
        if subject.judge is not None:
            numbers["params"]["best"] = _best(subject.judge, beside.space)
    return {**numbers, "file": str(out)}


def _show(parsed: argparse.Namespace, subject: _Subject, found: Shrinking, beside: Shrinking | None, out: Path) -> None:
    numbers = _numbers(parsed, subject, found, beside, out)
    size = numbers["architectures"]
    within = f" with {parsed.where}" if parsed.where else ""
    counted = found.shrinker.counted
    rows = [
        ("score", f"{parsed.score} of {subject.of}: {numbers['said']}"),
        ("shrinker", f"{found.shrinker.name}, until {found.shrinker.until:,.0f} {counted}"),
        (
            "space",
            f"{subject.space.name}{within}: {shown_count(int(size['before']))} {counted}, {shown_count(int(size['after']))} left",
        ),
        ("dropped", f"{_operators(found)} in {plural(found.drops[-1].round + 1, 'round')}: {found.done}"),
    ]
    best = numbers.get("best")
    if best is not None:
        rows.append(("best left", f"{best['after']:.3f} % of {best['before']:.3f} %"))
    if beside is not None:
        same = numbers["params"]
        judged = f", the best of them {same['best']:.3f} %" if "best" in same else ""
        rows.append(
            (
                "parameters",
                f"drop {same['dropped_too']} of these {_operators(found)}, too; {shown_count(beside.steps[-1].size)} {counted} "
                f"would be left, not {shown_count(found.steps[-1].size)}{judged}",
            )
        )
    only = numbers["architecture"]
    rows += [] if only is None else [("architecture", only)]
    print_columns([*rows, ("written", str(out))])
    print()
    way = found.steps[0].scores.way
    print_columns(
        [
            [str(drop.round + 1), drop.place, drop.operator, *_shown(drop.score, drop.margin, way)]
            for drop in found.drops
        ],
        ("round", "place", "dropped", parsed.score, "left out" if way == "second order" else "95 %"),
    )
    print()
    print_columns([[place, ", ".join(names)] for place, names in numbers["left"].items() if names], ("place", "left"))
    if only is None:
        of = ("--table", parsed.table) if parsed.run_dir is None else ("--supernet", str(parsed.run_dir))
        print(f"\nSearch what is left: {shlex.join(('frugalnas', 'search', 'genetic', *of, '--operators', str(out)))}")
    else:
        print(f"\nTrain it: frugalnas train {shlex.quote(only)} --space {subject.space.name}")


def _shown(score: float, margin: float, way: str) -> tuple[str, str]:
    """A score and its interval."""
    if score != score:
        return "-", "in no architecture within the limits"
    if way == "drawn":
        return f"{score:.6g}", "drawn"
    return f"{score:.6g}", "unknown" if margin != margin else f"+- {margin:.2g}" if margin else "exact"
