"""Spaces and evaluators to and from the plain data of a run's configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from frugalnas.evaluation import Evaluator, FunctionEvaluator
from frugalnas.registry import EVALUATORS, SPACES
from frugalnas.spaces import SearchSpace
from frugalnas.tables import open_table
from frugalnas.trust import is_local


def describe_space(space: SearchSpace) -> dict[str, Any]:
    """The description from which `build_space` makes an equal space."""
    described = SPACES.describe(space)
    return {**(described if is_local(described) else space.described()), "limits": space.limits}


def build_space(description: str | Mapping[str, Any]) -> SearchSpace:
    """The space of a description, its limits included: one of them may be a table, whose architectures alone are there."""
    space: SearchSpace = SPACES.create(description)
    limits = dict(description.get("limits") or {}) if isinstance(description, Mapping) else {}
    if "table" in limits:
        space = open_table(limits.pop("table")).listed(space, always=True)
    return space.limited(limits)


def describe_evaluator(evaluator: Evaluator) -> dict[str, Any]:
    """The description from which `build_evaluator` makes an equal evaluator."""
    return EVALUATORS.describe(evaluator)


def renewed(description: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluator's description as it is written today; in older runs some options stand in a row."""
    kind, options = _known(description), description.get("options") or {}
    nested = options if kind is None else kind.nested(options)
    return dict(description) if nested == options else {**description, "options": nested}


def build_evaluator(description: Mapping[str, Any], space: SearchSpace) -> Evaluator:
    """The evaluator of a description: a name, `package.module:Class`, or `package.module:function`."""
    description = renewed(description)
    constructor = EVALUATORS.resolve(description)
    if not isinstance(constructor, type):
        description = {"name": "function", "options": {"function": description["name"]}}
        constructor = FunctionEvaluator
    leading = next(iter(inspect.signature(constructor).parameters), None)
    return cast(Evaluator, EVALUATORS.create(description, *([space] if leading == "space" else [])))


def subject_of(description: Mapping[str, Any]) -> str:
    """What an evaluator's description answers from, in a word; see `Evaluator.subject`."""
    kind, options = _known(description), renewed(description).get("options") or {}
    return ("" if kind is None else kind.subject(options)) or str(description["name"])


def _known(description: Mapping[str, Any]) -> type[Evaluator] | None:
    """The class of an evaluator that has a name; None of an import path, which is not followed to describe a run."""
    name = description["name"]
    return cast(type[Evaluator], EVALUATORS.resolve(name)) if name in EVALUATORS.targets else None
