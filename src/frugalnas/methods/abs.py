"""Angle-based Search Space Shrinking for Neural Architecture Search (Hu et al., ECCV 2020, arXiv 2004.13431).

Train a supernet; give every operator the mean angle of the architectures that contain it; drop those with the least; train on in
the smaller space; repeat. Then search what is left, by whatever search there is, and train the winner from scratch.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods.baselines import Baselines
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.parts import GeneticSearch, Retraining, Score, Supernet
from frugalnas.methods.shrinking import ENDS, Rounds, SupernetOfTheRest
from frugalnas.runs.stages import Stages
from frugalnas.spaces import SearchSpace


class ABS(ImageMethod):
    """An architecture of a space that was shrunk first, then trained: rounds of supernet and drops, search, retraining.

    Train a supernet, drop the operators whose architectures' weights turn least, train on what is left, and again, until few
    architectures are left; search these by a supernet of their own, and train the winner from scratch.
    """

    help = "shrink a space by the angles of its operators, search what is left, then train the winner"
    example = "frugalnas abs --data ./photos --where 'macs<=300M' --until 1000 --dry-run"
    defaults = "abs"
    scored = "shrunk"

    supernet: Supernet
    shrinking: Rounds
    shrunk: SupernetOfTheRest
    score: Score
    search: GeneticSearch
    retrain: Retraining
    baselines: Baselines

    @property
    def foreseen(self) -> SearchSpace | None:
        """See `ImageMethod.foreseen`: one of about the size that shrinking leaves."""
        left = self.spaces.retrained.restrict(self.shrinking.foreseen.space.allowed)
        return left if left.size > 1 and not self.shrinking.only else None

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train and drop until it is enough, search what is left, retrain."""
        rest = self.shrinking.run(stages, self.supernet)
        if self.shrinking.only:
            return {"shrinking": rest.to_json(), "notes": [f"it ends after shrinking: {ENDS}"]}
        best = rest.only
        if best is None:
            score = self.score.of(self.shrunk.of(stages, rest), rest.left)
            best = self.score.best_of(self.search.run(stages, score), score)
        trained = self.retrain.run(stages, best.codes)
        baselines = self.baselines.run(stages, best, trained)
        return {**self.conclude(stages, best, trained, baselines), "shrinking": rest.to_json()}


abs = ABS.run
