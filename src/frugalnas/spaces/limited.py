"""Smaller spaces of one kind: what `restrict` and `where` leave of a space, and how it is written down."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Self

from frugalnas.errors import FrugalnasError, one_of
from frugalnas.registry import SPACES, constructor_options
from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray
from frugalnas.spaces.constraint import Constraint


class Limitable(ABC):
    """What has allowed values and counts quantities, both of which can be limited; `SearchSpace` says what they are."""

    name: str
    allowed: BoolArray
    quantities: tuple[str, ...] = ()
    _constraints: tuple[Constraint, ...] = ()
    _whole: Any = None

    @property
    @abstractmethod
    def enumerable(self) -> bool:
        """Whether `enumerate` lists the whole space."""

    @abstractmethod
    def enumerate(self) -> Codes:
        """What is left, shape [size, genes]."""

    @abstractmethod
    def count(self, quantity: str, codes: Codes) -> FloatArray:
        """A quantity of every architecture, shape [n]."""

    def restrict(self, allowed: ArrayLike) -> Self:
        """The same space with fewer values per gene.

        Args:
            allowed: shape [genes, values]; combined with what the space already allows.
        """
        mask = np.asarray(allowed, np.bool_)
        if mask.shape != self.allowed.shape:
            raise FrugalnasError(
                f"restrict() of {self.name} needs a mask of shape {list(self.allowed.shape)}, not {list(mask.shape)}"
            )
        mask = mask & self.allowed
        if not mask.any(axis=1).all():
            gene = int(np.flatnonzero(~mask.any(axis=1))[0])
            raise FrugalnasError(f"restrict() leaves no value for gene {gene} of {self.name}")
        smaller = self._copy()
        smaller.allowed = mask
        return smaller

    def where(self, constraint: str) -> Self:
        """The same space under a limit such as `"params<=0.5e6"`; several are joined by commas.

        Sampling, mutation, neighbours and enumeration stay inside it.
        """
        smaller = self._copy()
        smaller._constraints = (*self._constraints, *Constraint.parse(constraint))
        for rule in smaller._constraints:
            if rule.quantity not in self.quantities:
                raise self._uncounted(rule.quantity)
        if smaller.enumerable and not len(smaller.enumerate()):
            raise smaller._nothing_left()
        return smaller

    def with_options(self, **settings: Any) -> Self:
        """The same space, limits kept, whose networks have another width, input size, number of classes, ...

        Args:
            settings: constructor options of the space, such as `width=48, input_size=224, classes=1000`.

        Raises:
            FrugalnasError: for a setting that the space does not have, or a limit that no network of this size meets.
        """
        known = constructor_options(type(self))
        for setting in settings:
            one_of(f"setting of {self.name}", setting, known)
        return type(self)(**{option: getattr(self, option) for option in known} | settings).limited(self.limits)

    def described(self) -> dict[str, Any]:
        """The description from which `registry.SPACES.create` makes the space, its limits aside.

        Raises:
            FrugalnasError: where another space would come out, as the class has arguments that are not keyword-only.
        """
        described = SPACES.describe(self)
        again: Limitable = SPACES.create(described)
        if not np.array_equal(again.allowed, (self._whole or self).allowed):
            raise FrugalnasError(
                f"{described['name']} with the options {described['options']} is another space than this one; take what makes "
                f"them differ as keyword-only arguments, and keep these as attributes"
            )
        return described

    def _copy(self) -> Self:
        """A copy without anything that was computed for the old limits."""
        smaller = copy.copy(self)
        smaller._whole = self._whole or self
        for key in ("size", "distinct", "_enumerated", "_value_of_choice"):
            smaller.__dict__.pop(key, None)
        return smaller

    @property
    def limits(self) -> dict[str, object]:
        """What `restrict` and `where` took away, as plain data; empty for the whole space."""
        limits: dict[str, object] = {}
        if self._whole is not None and not np.array_equal(self._whole.allowed, self.allowed):
            limits["allowed"] = [np.flatnonzero(row).tolist() for row in self.allowed]
        if self._constraints:
            limits["where"] = ",".join(str(rule) for rule in self._constraints)
        return limits

    def limited(self, limits: Mapping[str, object]) -> Self:
        """The space under limits as `limits` states them."""
        space = self
        if "allowed" in limits:
            mask = np.zeros(self.allowed.shape, np.bool_)
            allowed = cast("list[list[int]]", limits["allowed"])
            if len(allowed) != len(mask) or any(
                not 0 <= value < self.allowed.shape[1] for values in allowed for value in values
            ):
                raise FrugalnasError(
                    f"limits allow {allowed!s:.80}, which are not values of the {len(mask)} genes of {self.name}"
                )
            for gene, values in enumerate(allowed):
                mask[gene, values] = True
            space = space.restrict(mask)
        if "where" in limits:
            space = space.where(str(limits["where"]))
        return space

    def __repr__(self) -> str:
        options = {
            option: getattr(self, option)
            for option, parameter in constructor_options(type(self)).items()
            if getattr(self, option, parameter.default) != parameter.default
        }
        return (
            f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in (options | self.limits).items())})"
        )

    # -- what there is to say where nothing is left ------------------------------------------------------------------

    def _nothing_left(self) -> FrugalnasError:
        rules = " and ".join(str(rule) for rule in self._constraints) or "its rules"
        hint = ""
        if self._constraints and self.enumerable:
            whole = self._copy()
            whole._constraints = ()
            values = whole.count(self._constraints[0].quantity, whole.enumerate())
            values = values[np.isfinite(values)]
            if values.size:
                quantity, least, most = self._constraints[0].quantity, values.min(), values.max()
                hint = f"; {quantity} lie between {least:g} and {most:g}; set the limit there"
        return FrugalnasError(f"no architecture of {self.name} was found that meets {rules}{hint}")

    def _uncounted(self, quantity: str) -> FrugalnasError:
        offered = ", ".join(self.quantities) or "nothing"
        hint = ""
        if quantity == "latency" and hasattr(self, "latency"):
            hint = "; for latency set the space's option latency to a table, which frugalnas measure-latency writes"
        return FrugalnasError(f"{self.name} cannot count {quantity!r}; it counts {offered}{hint}")
