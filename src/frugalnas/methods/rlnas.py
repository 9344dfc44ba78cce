"""Neural Architecture Search with Random Labels (Zhang et al., CVPR 2021, arXiv 2101.11834).

Train a supernet on labels that are drawn at random; take the angle by which the weights of each architecture have turned;
evolve towards the largest angle; train the winner from scratch with the true labels, where there are any.
"""

from __future__ import annotations

from typing import Any

from frugalnas.methods.baselines import Baselines
from frugalnas.methods.method import ImageMethod
from frugalnas.methods.parts import GeneticSearch, Retraining, Score, Supernet
from frugalnas.runs.stages import Stages


class RLNAS(ImageMethod):
    """An architecture found without looking at a label, then trained: supernet, angle, search, retraining.

    Train a supernet on random labels, rank architectures by the angle by which their weights turn, search for the largest, and
    train the winner from scratch where the images have labels.
    """

    help = "find an architecture for images without labels, then train it"
    example = "frugalnas rlnas --data ./photos --where 'macs<=300M' --retrain-top 3 --dry-run"

    supernet: Supernet
    score: Score
    search: GeneticSearch
    retrain: Retraining
    baselines: Baselines

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train on random labels, take the angle, evolve, retrain."""
        angle = self.score.of(self.supernet.train(stages))
        found = self.search.run(stages, angle)
        best = self.score.best_of(found, angle)
        trained = self.retrain.run(stages, best.codes)
        return self.conclude(stages, best, trained, self.baselines.run(stages, best, trained))


rlnas = RLNAS.run
