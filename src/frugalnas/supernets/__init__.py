"""What do we know cheaply? One network that holds every choice of a space, trained on one path at a time.

- `supernet_of`: the supernet of a space; `Supernet`, `Choice`: what all of them answer.
- `path_sampler`, `PathSampler`: which path a training step takes.
"""

from frugalnas.supernets.base import Choice, Supernet, supernet_of
from frugalnas.supernets.paths import PathSampler, path_sampler

__all__ = ["Choice", "PathSampler", "Supernet", "path_sampler", "supernet_of"]
