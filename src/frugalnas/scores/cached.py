"""Scores that look at one network at a time, and at none twice."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from frugalnas.errors import FrugalnasError
from frugalnas.scores.base import Score
from frugalnas.spaces import Codes, FloatArray, SearchSpace


class CachedScore(Score):
    """A score that takes a while for each network, and remembers it.

    Codes that build the same network have the same score: that of their canonical code (of the code as written, where
    a restricted space lacks that one). So it matters neither which of them is asked first, nor what was asked before.

    Child classes are only required to override `of`.

    Args:
        space: whose codes are scored.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._known: dict[int, float] = {}

    @abstractmethod
    def of(self, code: Codes) -> float:
        """The score of one architecture, shape [genes]."""

    def __call__(self, codes: Codes) -> FloatArray:
        """The score of each row, shape [n]; networks that were scored before cost nothing."""
        codes = self.space.as_codes(codes)
        valid = self.space.valid(codes)
        if not valid.all():
            raise FrugalnasError(f"{codes[int(np.argmin(valid))].tolist()} is not an architecture of {self.space!r}")
        canonical = self.space.canonical(codes)
        inside = np.all(self.space.allowed[np.arange(self.space.genes), canonical], axis=1)
        looked_at = np.where(inside[:, None], canonical, codes)
        keys = self.space.keys(looked_at).tolist()
        for key, code in zip(keys, looked_at, strict=True):
            if key not in self._known:
                self._known[key] = self.of(code)
        return np.array([self._known[key] for key in keys], np.float64)
