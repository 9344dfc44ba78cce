"""Neural Architecture Search with Random Labels (Zhang et al., CVPR 2021, arXiv 2101.11834).

Train a supernet on labels that are drawn at random; take the angle by which the weights of each architecture have turned;
evolve towards the largest angle; train the winner from scratch with the true labels, where there are any.
"""

from __future__ import annotations

from frugalnas.methods.one_shot import OneShot


class RLNAS(OneShot):
    """An architecture found without looking at a label, then trained: supernet, angle, search, retraining.

    Train a supernet on random labels, rank architectures by the angle by which their weights turn, search for the largest, and
    train the winner from scratch where the images have labels.
    """

    help = "find an architecture for images without labels, then train it"
    example = "frugalnas rlnas --data ./photos --where 'macs<=300M' --retrain-top 3 --dry-run"


rlnas = RLNAS.run
