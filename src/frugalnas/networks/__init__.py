"""What can be built? Codes become plain torch modules.

- `build`: the network of one architecture of a space.
- `Skeleton`, `Block`: what all networks of a space share, and what each choice builds; a new space writes one.
- `count_network`, `cost_table`: parameters and multiply-adds of a module, and of every choice at once.
- `set_drop_path`: how often a path of a network is left out in training.
"""

from frugalnas.networks.counting import NetworkCounts, StageCounts, cost_table, count_network
from frugalnas.networks.operations import set_drop_path
from frugalnas.networks.skeleton import Block, Skeleton, build, skeleton_of

__all__ = [
    "Block",
    "NetworkCounts",
    "Skeleton",
    "StageCounts",
    "build",
    "cost_table",
    "count_network",
    "set_drop_path",
    "skeleton_of",
]
