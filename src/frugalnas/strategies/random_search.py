"""Random search, the baseline that every other strategy has to beat."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from frugalnas.errors import each_once
from frugalnas.evaluation import Trials
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies.base import Strategy, drawn_for

SIGHT = 256
"""Calls whose networks are told apart at once, at most."""


class RandomSearch(Strategy):
    """Uniformly random codes, never the same network twice.

    Args:
        space: where to search.
        seed: of every random choice.
        initial: size of the sample that all strategies of one seed share, and what follows is no different; None: 10, or all there
            are.
        costs: kept beside the values, so that its front can be compared; they decide nothing.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int = 0, initial: int | None = None, costs: tuple[str, ...] = ()
    ) -> None:
        super().__init__(space, seed=seed, initial=initial)
        self.costs = each_once("costs", costs, "metrics, such as ('latency_ms',)")
        self._ahead: deque[_Drawn] = deque()
        self._sight = 1

    def propose(self, n: int) -> Codes:
        """`n` networks never asked before."""
        if n == 1:
            if not self._ahead:
                self._look_ahead()
            drawn = self._ahead[0]
            if drawn.network not in self._asked:
                self._ahead.popleft()
                self._numbers = {drawn.code.tobytes(): drawn.network}
                return drawn.code[None]
            self._sight = 1
        self._put_back()
        return self.draw_new(n, self.rng)

    def ask_rounds(self, most: int) -> Trials:
        """See `Strategy`: after the initial sample, as many as were drawn ahead."""
        if self._first or not self._values or type(self).propose is not RandomSearch.propose:
            return self.ask()
        if not self._ahead:
            self._look_ahead()
        taken: dict[int, Codes] = {}
        while self._ahead and len(taken) < most:
            network = self._ahead[0].network
            if network in self._asked or network in taken:
                break
            taken[network] = self._ahead.popleft().code
        if not taken:
            return self.ask()
        self._numbers = {code.tobytes(): network for network, code in taken.items()}
        return self._issued(np.array(list(taken.values())))

    def state_dict(self) -> dict[str, Any]:
        """See `Strategy`; what was drawn ahead is drawn again."""
        self._put_back()
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Strategy`."""
        self._ahead.clear()
        super().load_state_dict(state)

    def _look_ahead(self) -> None:
        """Draw what the next calls would draw one by one, so that their networks are told apart all at once."""
        befores, codes = [], []
        for _ in range(self._sight):
            befores.append(self.rng.bit_generator.state)
            codes.append(self.space.sample(drawn_for(1), self.rng)[0])
        networks = self.space.network_ids(np.array(codes)).tolist()
        self._ahead.extend(map(_Drawn, codes, networks, befores))
        self._sight = min(2 * self._sight, SIGHT)

    def _put_back(self) -> None:
        if self._ahead:
            self.rng.bit_generator.state = self._ahead[0].before
            self._ahead.clear()


class _Drawn(NamedTuple):
    """The first of the codes that a call would draw."""

    code: Codes
    network: int
    before: Any
    """State of the generator before they were drawn."""
