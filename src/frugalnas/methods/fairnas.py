"""FairNAS: Rethinking Evaluation Fairness of Weight Sharing NAS (Chu et al., ICCV 2021, arXiv 1907.01845).

As SPOS, but every step trains as many paths as a layer has blocks, which together use each block once, and adds their gradients
(strict fairness): no block is ahead of another by the luck of the draw.
"""

from __future__ import annotations

from frugalnas.methods.one_shot import OneShot


class FairNAS(OneShot):
    """An architecture found by its accuracy in a supernet that is trained with strict fairness, then trained.

    Train a supernet whose every step uses each choice of each gene exactly once, rank architectures by their validation accuracy
    with its weights and batch norms calibrated anew, search for the best, and train it from scratch.
    """

    help = "the same, with a supernet whose every step trains all choices equally"
    example = "frugalnas fairnas --data ./photos --where 'macs<=300M' --dry-run"
    defaults = "fairnas"
    suited = ("nasbench201", "fairnas")


fairnas = FairNAS.run
