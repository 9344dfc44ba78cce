"""The parts of a search: strategy, evaluator, budget and executor, which fit each other, and are made again from a run's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from frugalnas.errors import FrugalnasError, RunFolderError
from frugalnas.evaluation import Evaluator, FunctionEvaluator
from frugalnas.registry import EXECUTORS, STRATEGIES
from frugalnas.runs.descriptions import build_evaluator, build_space, describe_evaluator, describe_space, renewed
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.budget import Budget
from frugalnas.searches.executors import Executor, SerialExecutor
from frugalnas.spaces import SearchSpace
from frugalnas.strategies import Strategy
from frugalnas.trust import is_local


class Parts(NamedTuple):
    """What tries, what answers, how much it may cost, and where it happens."""

    strategy: Strategy
    evaluator: Evaluator
    budget: Budget
    executor: Executor


def check_parts(
    strategy: Strategy, evaluator: Evaluator, budget: Budget, executor: Executor, *, kept: bool = True
) -> None:
    """Refuse, before anything runs, parts that do not fit each other.

    Args:
        strategy: what to try next.
        evaluator: how good it is.
        budget: when to stop.
        executor: where evaluations happen.
        kept: whether the run has a folder.

    Raises:
        FrugalnasError: naming the parts, and which to take instead.
    """
    budget.check(strategy, again=evaluator.takes_fidelity)
    if evaluator.stateful and not isinstance(executor, SerialExecutor):
        raise FrugalnasError("a stateful evaluator runs in this process: leave `workers` and `timeout` out")
    if evaluator.stateful and kept and type(evaluator).state_dict is Evaluator.state_dict:
        raise FrugalnasError(
            f"{type(evaluator).__name__} is stateful, so that its state has to be kept with the run; give it state_dict() and "
            f"load_state_dict(), or search without `run_dir`"
        )
    space = getattr(evaluator, "space", None)
    if isinstance(space, SearchSpace) and (space.name, space.limits) != (strategy.space.name, strategy.space.limits):
        raise FrugalnasError(
            f"the evaluator is for {space!r}, but the strategy searches {strategy.space!r}; search the "
            f"evaluator's space (evaluator.space), or give it the strategy's as its first argument"
        )
    if evaluator.measures is not None:
        known = [*evaluator.measures, *strategy.space.quantities]
        missing = [cost for cost in strategy.costs if cost not in known]
        if missing:
            raise FrugalnasError(
                f"{getattr(evaluator, 'table', type(evaluator).__name__)} has no {missing[0]} to minimise; choose among: "
                f"{', '.join(known) or 'none'}"
            )
    if budget.until_optimum and evaluator.optimum is None:
        raise FrugalnasError("`until_optimum` needs an evaluator that knows the optimum, such as a table")


def as_evaluator(given: Evaluator | Callable[[str], Any], space: SearchSpace) -> Evaluator:
    """An evaluator as it is, a function as `FunctionEvaluator` takes it."""
    return given if isinstance(given, Evaluator) else FunctionEvaluator(space, function=given)


def rebuilt(
    folder: RunFolder,
    space: SearchSpace | None = None,
    strategy: Strategy | None = None,
    evaluator: Evaluator | Callable[[str], Any] | None = None,
) -> Parts:
    """What a run's configuration describes; parts that are given are held against it.

    Raises:
        RunFolderError: where a part cannot be found, or is another than the run's.
    """
    config = folder.config
    folder.expect("search")
    if space is None and strategy is not None:
        space = strategy.space
    given = {"space": space, "strategy": strategy, "evaluator": evaluator}
    missing = [part for part in given if given[part] is None and is_local(config[part])]
    if missing:
        names = " and ".join(_named(config[part]) for part in missing)
        raise RunFolderError(
            f"{folder.path} was searched with {names}, of a script or notebook, where no name finds it again; go on in Python "
            f"with: frugalnas.resume({str(folder.path)!r}, {', '.join(f'{part}=...' for part in missing)})"
        )
    try:
        if space is None:
            space = build_space(config["space"])
        built = build_evaluator(config["evaluator"], space) if evaluator is None else as_evaluator(evaluator, space)
        if strategy is None:
            strategy = STRATEGIES.create(config["strategy"], space)
        budget = Budget(**config["budget"])
        executor: Executor = EXECUTORS.create(config["executor"])
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"{folder.path / 'config.yaml'} is incomplete or was edited: {error!r}") from None
    if strategy.values.size:
        raise RunFolderError("the strategy has searched already; give one as it was when the search began")
    own = {"space": space, "strategy": strategy, "evaluator": built}
    for part in (part for part in given if given[part] is not None):
        described = _DESCRIBERS[part](own[part])
        if described != (_of_today(config[part], space) if part == "evaluator" else config[part]):
            raise RunFolderError(f"{folder.path} was searched with the {part} {config[part]}, not {described}")
    return Parts(strategy, built, budget, executor)


def _of_today(description: Mapping[str, Any], space: SearchSpace) -> Mapping[str, Any]:
    """The description of an evaluator as a run that begins today has it."""
    older = renewed(description) != description
    return describe_evaluator(build_evaluator(description, space)) if older else description


_DESCRIBERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "space": describe_space,
    "strategy": STRATEGIES.describe,
    "evaluator": describe_evaluator,
}


def _named(description: Any) -> str:
    """The name that cannot be found in a description."""
    if isinstance(description, Mapping):
        description = list(description.values())
    if isinstance(description, list):
        return next(_named(item) for item in description if is_local(item))
    return str(description).removesuffix(".<locals>")
