"""What the suites share: refusals, and a landscape that any space has."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import Codes, SearchSpace


def refusal(what: str, call: Callable[..., object], *arguments: object) -> str:
    """The message with which a call is refused; anything but a FrugalnasError with a message fails the test.

    Args:
        what: what is asked for, as the beginning of a sentence.
        call: asks for it.
        arguments: of the call.
    """
    try:
        call(*arguments)
    except FrugalnasError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(
            f"{what} raises {type(error).__name__} ({error}); raise a FrugalnasError that says how to mend it"
        ) from error
    else:
        raise AssertionError(f"{what} is accepted; raise a FrugalnasError that says how to mend it")
    assert message, f"{what} is refused without a message; say how to mend it"
    return message


def landscape(space: SearchSpace, codes: Codes) -> NDArray[np.float64]:
    """A made-up value of each architecture, shape [n]: the worth of every choice and of every pair of adjacent ones."""
    rng = np.random.default_rng(space.genes)
    genes, values = space.allowed.shape
    alone = rng.normal(size=(genes, values))
    paired = rng.normal(size=(genes, values, values))
    gene = np.arange(genes)
    worth: NDArray[np.float64] = alone[gene, codes].sum(axis=1)
    worth += 0.5 * paired[gene[:-1], codes[:, :-1], codes[:, 1:]].sum(axis=1)
    return worth
