"""Single Path One-Shot Neural Architecture Search with Uniform Sampling (Guo et al., ECCV 2020, arXiv 1904.00420).

Train a supernet one path at a time, each as likely as any other; evolve towards the highest validation accuracy that a path has
with the supernet's weights, once its batch norms are calibrated anew; train the winner from scratch.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods.baselines import Baselines
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.parts import GeneticSearch, Retraining, Score, Supernet
from frugalnas.runs.stages import Stages


class SPOS(ImageMethod):
    """An architecture found by the accuracy that it has in a supernet, then trained: supernet, search, retraining.

    Train a supernet on uniformly drawn paths, rank architectures by their validation accuracy with its weights and batch norms
    calibrated anew, search for the best, and train it from scratch.
    """

    help = "find an architecture by its accuracy in a supernet of single paths, then train it"
    example = "frugalnas spos --data ./photos --where 'macs<=300M' --dry-run"
    defaults = "spos"

    supernet: Supernet
    score: Score
    search: GeneticSearch
    retrain: Retraining
    baselines: Baselines

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train path by path, evolve by accuracy, retrain."""
        accuracy = self.score.of(self.supernet.train(stages))
        found = self.search.run(stages, accuracy)
        best = self.score.best_of(found, accuracy)
        trained = self.retrain.run(stages, best.codes)
        return self.conclude(stages, best, trained, self.baselines.run(stages, best, trained))


spos = SPOS.run
