"""What can be built? Codes become plain torch modules.

- `build`: the network of one architecture of a space.
- `Skeleton`, `Block`: what all networks of a space share, and what each choice builds; a new space writes one.
- `count_network`, `cost_table`: parameters and multiply-adds of a module, and of every choice at once.
"""

from frugalnas.networks.skeleton import Block, Skeleton, build, skeleton_of

__all__ = ["Block", "Skeleton", "build", "skeleton_of"]
