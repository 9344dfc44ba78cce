"""What methods have in common that rank a space by one trained supernet: supernet, score, search, retraining, baselines."""

from __future__ import annotations

from typing import Any

from frugalnas.methods.baselines import Baselines
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.parts import GeneticSearch, Retraining, Score, Supernet
from frugalnas.runs.stages import Stages


class OneShot(ImageMethod):
    """A supernet whose score ranks architectures, genetic search for the best of them, and its training from scratch.

    Child classes differ in how the supernet is trained and in what is asked of it, which their recipes say.
    """

    supernet: Supernet
    score: Score
    search: GeneticSearch
    retrain: Retraining
    baselines: Baselines

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train the supernet, evolve by its score, retrain the best, and what it is compared with."""
        score = self.score.of(self.supernet.train(stages))
        found = self.search.run(stages, score)
        best = self.score.best_of(found, score)
        trained = self.retrain.run(stages, best.codes)
        return self.conclude(stages, best, trained, self.baselines.run(stages, best, trained))
