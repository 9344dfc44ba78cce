"""What do we know cheaply? One network that holds every choice of a space, trained on one path at a time.

- `supernet_of`: the supernet of a space; `Supernet`, `Choice`: what all of them answer.
- `path_sampler`, `PathSampler`: which path a training step takes; `PATHS`: samplers by name.
- `SupernetStep`: the step that trains the weights, a `SupernetRecipe`'s way.
- `recalibrate`: batch norms of one path.
"""

from frugalnas.supernets.base import Choice, Supernet, supernet_of
from frugalnas.supernets.calibration import recalibrate
from frugalnas.supernets.paths import PATHS, PathSampler, path_sampler
from frugalnas.supernets.recipe import SupernetRecipe
from frugalnas.supernets.step import SupernetStep

__all__ = [
    "PATHS",
    "Choice",
    "PathSampler",
    "Supernet",
    "SupernetRecipe",
    "SupernetStep",
    "path_sampler",
    "recalibrate",
    "supernet_of",
]
