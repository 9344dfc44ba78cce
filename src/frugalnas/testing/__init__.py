"""Do your own parts keep the promises that frugalnas builds on? Conformance suites for other people's classes.

Whoever writes a space, a strategy, a predictor or an evaluator subclasses one class, says how to make the thing, and
pytest runs everything that is promised of all things of that kind:

    from frugalnas.testing import SpaceConformance

    class TestMySpace(SpaceConformance):
        def make(self) -> SearchSpace:
            return MySpace()

- `SpaceConformance`: sampling, mutation, neighbours, notation, identity, encodings, graphs, smaller spaces.
- `StrategyConformance`: ask and tell in any order, failures, exact resume, exhausted spaces.
- `PredictorConformance`: shapes, determinism, odd training sets, what a batch may suppose.
- `EvaluatorConformance`: one answer a trial, in order, the same tomorrow; states of stateful ones.
- `KindConformance`: a kind of run that is killed anywhere leaves the same bytes; row, page and numbers.

A test that fails says which promise is broken and, where that is known, how to mend it. What cannot be checked on the
thing at hand (a limit on parameters in a space that counts nothing) is passed over. pytest is not imported here: the
classes are plain, and any runner that calls their `test_` methods will do.
"""

from frugalnas.testing.evaluators import EvaluatorConformance
from frugalnas.testing.kinds import KindConformance
from frugalnas.testing.predictors import PredictorConformance
from frugalnas.testing.spaces import SpaceConformance
from frugalnas.testing.strategies import StrategyConformance

__all__ = ["EvaluatorConformance", "KindConformance", "PredictorConformance", "SpaceConformance", "StrategyConformance"]
