"""`frugalnas search`: one strategy, one run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from frugalnas.cli.options import (
    Settings,
    add_budget,
    add_constructor_options,
    add_evaluator,
    convert,
    converted,
    evaluator_settings,
    seconds,
    settings_of,
    within_operators,
)
from frugalnas.cli.parsing import option
from frugalnas.cli.text import show_result, watched
from frugalnas.errors import FrugalnasError
from frugalnas.registry import EVALUATORS, KINDS, PREDICTORS, SPACES, STRATEGIES, constructor_options

if TYPE_CHECKING:
    from frugalnas.data import ImageData
    from frugalnas.evaluation import Evaluator
    from frugalnas.spaces import SearchSpace
    from frugalnas.strategies import Strategy
    from frugalnas.tables import Table

Described: TypeAlias = dict[str, Any]
"""A space, an evaluator or a strategy, as a run's configuration has it."""
DECIDES = "strategy"
DEFAULT_STRATEGY = "weaknas"
DEFAULT_QUERIES = 200
PRETRAINED_HELP = (
    "encoder of the predictor: a run of frugalnas pretrain, or ss-ccl or ss-rl, made and kept the first time"
)


def candidates(words: Sequence[str]) -> list[str]:
    """The strategies that may be meant by words, some of which are values of options: names before import paths."""
    return [
        *(word for word in words if word in STRATEGIES.targets),
        DEFAULT_STRATEGY,
        *(word for word in words if ":" in word),
    ]


def add(parser: argparse.ArgumentParser, strategy: str | None = None) -> None:
    """Add what the command takes, with the options of a strategy."""
    parser.description = "Search a space with a strategy and keep the run in a folder of its own."
    parser.epilog = (
        "`frugalnas search STRATEGY --help` shows the options of that strategy; `frugalnas list` the strategies."
    )
    option(parser, "strategy", f"name or module:Class [{DEFAULT_STRATEGY}]", nargs="?", default=DEFAULT_STRATEGY)
    add_budget(parser, DEFAULT_QUERIES)
    option(parser, "--until-optimum", "stop at the best value of the table", bool)
    add_evaluator(parser)
    if strategy is not None:
        group = parser.add_argument_group(f"options of {strategy}")
        # --objectives names the costs.
        own = add_constructor_options(group, STRATEGIES.resolve(strategy), leave_out=("costs",))
        if "pretrained" not in own:
            said = f"{PRETRAINED_HELP}; short for --set predictor.pretrained"
            shown = said if "predictor" in own else argparse.SUPPRESS  # otherwise refused with what mends it
            option(group, "--pretrained RUN", shown)
    group = parser.add_argument_group("how it is carried out")
    option(
        group,
        "--set PART.NAME=VALUE",
        "an option of the predictor, space, evaluator or executor, such as predictor.members=5; executor.ordered=false tells each "
        "answer as it comes, so that no worker waits for another",
        list,
    )
    option(group, "--workers N", "evaluate in N processes", int)
    option(group, "--timeout S", "stop an evaluation after this time and count it as failed", seconds)
    option(group, "--run-dir FOLDER", "new folder for the run [runs/<strategy>-<subject>-seed<seed>]", Path)
    option(group, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Search, then show what was found."""
    from frugalnas.runs.descriptions import build_evaluator, build_space
    from frugalnas.runs.folder import unused_name
    from frugalnas.searches import Budget, ProcessExecutor, SerialExecutor, search

    settings = settings_of(parsed.set, ("predictor", "space", "evaluator", "executor"))
    typed = {key: text for key, text in vars(parsed).items() if key.startswith("option_") and text is not None}
    options = {key.removeprefix("option_"): text for key, text in typed.items()}
    predictor = settings.get("predictor", {})
    if getattr(parsed, "pretrained", None) is not None:
        predictor.setdefault("pretrained", parsed.pretrained)
    shown = {key: "--" + key.replace("_", "-") for key in options}
    description = strategy_description(parsed.strategy, options, predictor, shown)
    costs = costs_of(parsed.objectives, parsed.strategy)
    if costs:
        description["options"]["costs"] = list(costs)
    space_description, evaluator_description = describe_subject(parsed, settings)
    space = build_space(space_description)
    complete(description, evaluator_description)
    if evaluator_description["name"] == "table" and parsed.label == "random":
        evaluator_description["options"].setdefault("seed", description["options"].get("seed", 0))
    # First, as a strategy may pre-train an encoder for minutes.
    evaluator = build_evaluator(evaluator_description, space)
    strategy = STRATEGIES.create(description, space)
    queries = parsed.queries
    if queries is None and parsed.seconds is None:
        queries = default_queries(space)
    raised = {} if parsed.failures is None else {"failures": parsed.failures}
    budget = Budget(queries, parsed.seconds, parsed.until_optimum, **raised)
    carrying = converted(ProcessExecutor, settings.get("executor", {}), "executor")
    for name in ("workers", "timeout"):
        if getattr(parsed, name) is not None:
            carrying[name] = getattr(parsed, name)
    executor = ProcessExecutor(**carrying) if carrying else SerialExecutor()
    name = f"{parsed.strategy.rpartition(':')[2]}-{subject_slug(evaluator_description)}-seed{strategy.seed}"
    run_dir = parsed.run_dir or unused_name(Path("runs"), name)
    if not parsed.quiet:
        _say_what_it_is(strategy)
        _say_how_else(evaluator)
    here = run_dir.absolute()  # an evaluator may change the working folder
    kind = KINDS.create("search")
    with watched(run_dir, parsed.quiet, kind.doing) as callbacks:
        found = search(strategy, evaluator, budget, run_dir=here, executor=executor, callbacks=callbacks)
    show_result(kind, found, here)


def default_queries(space: SearchSpace) -> int:
    """How many networks a search evaluates where nobody says it: `DEFAULT_QUERIES`, or all that there are."""
    return min(DEFAULT_QUERIES, space.distinct)


def strategy_description(
    name: str, options: dict[str, str], predictor: dict[str, str], shown: dict[str, str]
) -> dict[str, Any]:
    """The description of a strategy from option texts; predictor settings go into its predictor.

    Args:
        name: of the strategy.
        options: text of each option.
        predictor: the same of its predictor.
        shown: what the user calls each of `options`.
    """
    constructor = STRATEGIES.resolve(name)
    values = {key: convert(constructor, key, text, shown.get(key, key)) for key, text in options.items()}
    parts = [values]
    if predictor:
        if "predictor" not in constructor_options(constructor):
            raise FrugalnasError(
                f"{name} has no predictor to set {', '.join(predictor)} of; npenas and weaknas take one: --predictor gin"
            )
        chosen = values.get("predictor", constructor_options(constructor)["predictor"].default)
        built = PREDICTORS.resolve(chosen)
        if "pretrained" in predictor and "pretrained" not in constructor_options(built):
            raise FrugalnasError(f"{chosen} has no encoder that could be pre-trained; add --predictor gin")
        parts.append(converted(built, predictor, "predictor"))
        values["predictor"] = {"name": chosen, "options": parts[1]}
    for part in parts:
        if part.get("pretrained") is not None and Path(part["pretrained"]).exists():
            part["pretrained"] = str(Path(part["pretrained"]).resolve())  # a run may be resumed from elsewhere
    return {"name": name, "options": values}


def complete(description: dict[str, Any], evaluator: dict[str, Any]) -> None:
    """Tell a study that ranks by the truth which table answers, where it does not say another."""
    if "truth" in constructor_options(STRATEGIES.resolve(description["name"])) and evaluator["name"] == "table":
        description["options"].setdefault("truth", evaluator["options"]["table"])
        description["options"].setdefault("objective", evaluator["options"]["objective"])


def costs_of(objectives: str, strategy: str) -> tuple[str, ...]:
    """The metrics of the costs among `--objectives`, after a check that the strategy takes any."""
    from frugalnas.strategies.objectives import parse_objectives, supporting_strategies

    costs = parse_objectives(objectives)[1]
    if costs and "costs" not in constructor_options(STRATEGIES.resolve(strategy)):
        raise FrugalnasError(
            f"{strategy} has one objective; --objectives {objectives} goes with: {', '.join(supporting_strategies())}"
        )
    return costs


def describe_subject(parsed: argparse.Namespace, settings: Settings) -> tuple[Described, Described]:
    """Descriptions of the space and of the evaluator that the options name, with the settings of both."""
    from frugalnas.runs.descriptions import renewed
    from frugalnas.strategies.objectives import parse_objectives

    value, _ = parse_objectives(parsed.objectives)
    evaluator_settings(parsed, settings)
    of_supernet = parsed.supernet is not None or {"angle", "accuracy"} & set((parsed.score or "angle").split("+"))
    if not of_supernet:
        refuse(parsed, ("evaluator",), "and --score both say who answers; give one")
        parsed.evaluator = "untrained"
        settings.setdefault("evaluator", {})["score"] = parsed.score
    elif parsed.supernet is not None or parsed.score is not None:
        return _scored(parsed, settings, value)
    refuse(parsed, ("rule", "base", "epoch"), "says which angle of a supernet answers; add --supernet RUN")
    if parsed.evaluator is None:
        from frugalnas.tables import open_table
        from frugalnas.tables.catalogue import DEFAULT_TABLE
        from frugalnas.tables.evaluator import ROLE_OF
        from frugalnas.tables.repeats import first_run_shift

        if "evaluator" in settings:
            raise FrugalnasError("--set evaluator.NAME=VALUE goes with --evaluator; a table has --table and --label")
        table = open_table(parsed.table or DEFAULT_TABLE)
        options: dict[str, Any] = {"table": table.name, "label": parsed.label or "mean", "objective": value}
        role = ROLE_OF.get(value, "")
        shift = first_run_shift(table.column(role)) if role in table.columns else 0.0
        if parsed.label in ("0", "1") and shift:
            runs = f"first runs are {abs(shift):.2f} points {'better' if shift > 0 else 'worse'} than second ones"
            print(f"{table.name}: {runs}, so that --label {parsed.label} is not one run like another", file=sys.stderr)
        if table.partial:
            had = f"{len(table):,} of the {table.space.size:,} architectures of {table.space.name}"
            print(f"{table.name} has {had}: only these are searched", file=sys.stderr)
        return described_table(parsed, table, settings), {"name": "table", "options": options}
    refuse(parsed, ("table",), "and --evaluator both say who answers; give one")
    refuse(parsed, ("label",), "chooses among a table's runs; it has no meaning with --evaluator")
    _refuse_columns(value, "--evaluator")
    options = converted(EVALUATORS.resolve(parsed.evaluator), settings.get("evaluator", {}), "evaluator")
    space = described_subject(parsed, parsed.space or "nasbench201", settings)
    if parsed.evaluator == "untrained" and "data" in options:
        fit_to_data(space, **{key: options[key] for key in ("data", "root", "max_corrupt") if key in options})
    return space, renewed({"name": parsed.evaluator, "options": options})


def fit_to_data(space: dict[str, Any], data: str, **reading: Any) -> ImageData:
    """Put into the description of a space, where it does not say them, the sizes of networks for these images; returned.

    Args:
        space: its description.
        data: name or path of the images.
        reading: further fields of `Images`.
    """
    from frugalnas.cli.training_options import LARGE
    from frugalnas.data import Images, located

    images = Images(located(data), input_size=space["options"].get("input_size"), **reading).open()
    sizes: dict[str, Any] = {"input_size": images.input_size}
    if len(images.classes) > 1:
        sizes["classes"] = len(images.classes)
    if images.input_size > LARGE:
        sizes["macro"] = "imagenet"
    known = constructor_options(SPACES.resolve(space["name"]))
    space["options"] = {key: value for key, value in sizes.items() if key in known} | space["options"]
    return images


def _scored(parsed: argparse.Namespace, settings: Settings, value: str) -> tuple[Described, Described]:
    """Descriptions of a supernet's space, at the sizes and under the limits of the options, and of what scores it."""
    from frugalnas.runs.descriptions import describe_evaluator, describe_space
    from frugalnas.searches.supernet_scores import ScoreEvaluator

    if parsed.supernet is None:
        raise FrugalnasError(
            f"--score {parsed.score} is that of a supernet; add --supernet RUN, the folder of its training"
        )
    refuse(parsed, ("table", "evaluator", "label"), "has no meaning with --supernet, whose score answers")
    _refuse_columns(value, "--supernet")
    space = supernet_space(parsed.supernet, parsed.space, settings, parsed)
    options = converted(EVALUATORS.resolve("score"), settings.get("evaluator", {}), "evaluator")
    named = {"supernet": str(parsed.supernet), "name": parsed.score or "angle"}
    named |= {name: getattr(parsed, name) for name in ("rule", "base", "epoch") if getattr(parsed, name) is not None}
    evaluator = ScoreEvaluator(space, **ScoreEvaluator.nested({**options, **named}))
    return describe_space(space), describe_evaluator(evaluator)


def supernet_space(run_dir: str, name: str | None, settings: Settings, parsed: argparse.Namespace) -> SearchSpace:
    """The space of a supernet's run, at the sizes of the settings and under the limits of `--operators` and `--where`.

    Raises:
        FrugalnasError: where it is not the space of this name.
    """
    from frugalnas.runs.descriptions import build_space
    from frugalnas.runs.folder import RunFolder
    from frugalnas.searches.supernet_scores import supernet_folder

    own = RunFolder(supernet_folder(run_dir)).config["space"]
    if name not in (None, own["name"]):
        raise FrugalnasError(
            f"{run_dir} is a supernet of {own['name']}, not of {name}; leave --space out, or take a supernet of {name}"
        )
    space = within_operators(build_space(describe_space_option(own, settings, own.get("limits"))), parsed)
    return space.where(parsed.where) if parsed.where else space


def refuse(parsed: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuse options that have no meaning here."""
    for name in names:
        if getattr(parsed, name) is not None:
            raise FrugalnasError(f"--{name.replace('_', '-')} {getattr(parsed, name)} {why}")


def _refuse_columns(value: str, answering: str) -> None:
    if value != "accuracy":
        raise FrugalnasError(f"--objectives {value} is a column of a table; it has no meaning with {answering}")


def _say_what_it_is(strategy: Strategy) -> None:
    """Before a study that knows what no search could: that it is one."""
    from frugalnas.strategies.oracle import Oracle

    predictor = getattr(strategy, "predictor", None)
    if isinstance(predictor, Oracle):
        print(
            f"a study: candidates are ranked by what {predictor.table} says of them, which is not counted as queries",
            file=sys.stderr,
        )


def _say_how_else(evaluator: Evaluator) -> None:
    """Before a search by a score: what can be known without one."""
    from frugalnas.scores import Angle
    from frugalnas.searches.supernet_scores import ScoreEvaluator

    if not isinstance(evaluator, ScoreEvaluator):
        return
    limit = evaluator.space.limits.get("where")
    rank = f"frugalnas score {evaluator.supernet} --score {evaluator.name}" + f" --where '{limit}'" * bool(limit)
    if evaluator.optimum is not None:
        best = f"the largest of all {evaluator.space.size:,} is {evaluator.optimum:.6g}"
        print(f"{evaluator.space.name} can be listed: {best} ({rank} ranks them)", file=sys.stderr)
    elif isinstance(evaluator.scored, Angle) and evaluator.scored.table.paths is None:
        print(f"the largest angle can also be computed: {rank} --maximise", file=sys.stderr)


def described_subject(parsed: argparse.Namespace, space: str | Described, settings: Settings) -> Described:
    """The description of a space with its part of `--set` and under the limits of `--operators` and `--where`."""
    from frugalnas.runs.descriptions import build_space

    described = describe_space_option(space, settings)
    if parsed.operators is not None:
        described["limits"] = dict(within_operators(build_space(described), parsed).limits)
    if getattr(parsed, "where", None):
        described["limits"]["where"] = parsed.where
    return described


def described_table(parsed: argparse.Namespace, table: Table, settings: Settings) -> Described:
    """The same of a table's space: of what the table has, where that is not all, or where limits are on what it measured."""
    from frugalnas.spaces.constraint import Constraint

    space = described_subject(parsed, parsed.space or table.description, settings)
    rules = Constraint.parse(parsed.where) if parsed.where else ()
    limited = {rule.quantity for rule in rules} & set(table.measured)
    if table.partial or (limited and not limited.issubset(SPACES.create(space).quantities)):
        space["limits"]["table"] = table.name
    return space


def describe_space_option(
    space: str | Described, settings: Settings, limits: dict[str, str] | None = None
) -> Described:
    """The description of a space, given by name or description, with its part of `--set` and under limits."""
    described: Described = {"name": space} if isinstance(space, str) else space
    options = dict(described.get("options") or {})
    if settings.get("space"):
        options |= converted(SPACES.resolve(described["name"]), settings["space"], "space")
    return {"name": described["name"], "options": options, "limits": limits or {}}


def subject_slug(evaluator: dict[str, Any]) -> str:
    """What answers, as part of a folder's name."""
    from frugalnas.runs.descriptions import subject_of

    return subject_of(evaluator).rpartition(":")[2].replace("/", "-")
