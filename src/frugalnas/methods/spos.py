"""Single Path One-Shot Neural Architecture Search with Uniform Sampling (Guo et al., ECCV 2020, arXiv 1904.00420).

Train a supernet one path at a time, each as likely as any other; evolve towards the highest validation accuracy that a path has
with the supernet's weights, once its batch norms are calibrated anew; train the winner from scratch.
"""

from __future__ import annotations

from frugalnas.methods.one_shot import OneShot


class SPOS(OneShot):
    """An architecture found by the accuracy that it has in a supernet, then trained: supernet, search, retraining.

    Train a supernet on uniformly drawn paths, rank architectures by their validation accuracy with its weights and batch norms
    calibrated anew, search for the best, and train it from scratch.
    """

    help = "find an architecture by its accuracy in a supernet of single paths, then train it"
    example = "frugalnas spos --data ./photos --where 'macs<=300M' --dry-run"
    defaults = "spos"


spos = SPOS.run
