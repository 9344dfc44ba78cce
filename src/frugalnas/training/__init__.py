"""How are weights trained? A resumable loop, and the papers' recipes.

- `fit`: a loop over steps that can be killed at any moment and carried on to the same end; `isolated`: what keeps its
  random numbers apart.
- `WeightStep`: the step that trains a network's weights, with its `Objective`, `optimizer_for` and `schedule_for`.
- `Recipe`: the published settings, and what a user changes in them.
- `Checkpoints`: the whole state of a training in one safetensors file.
- `evaluate`: accuracies and confusions on labelled images, an `EvaluationResult`.
- `Compute`: where it is computed, on one device or several, through Lightning Fabric.
"""

from frugalnas.tensors import read_tensors, write_tensors
from frugalnas.training.checkpoint import Checkpoint, Checkpoints, Stateful
from frugalnas.training.device import DEVICES, PRECISIONS, Compute, compiled, launched, watching_memory
from frugalnas.training.evaluation import EvaluationResult, evaluate
from frugalnas.training.fit import Length, Position, fit, isolated, reseed
from frugalnas.training.objective import Objective
from frugalnas.training.optimisation import LinearTail, optimizer_for, schedule_for
from frugalnas.training.recipe import Recipe, RecipeT
from frugalnas.training.weights import WeightStep

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "Checkpoint",
    "Checkpoints",
    "Compute",
    "EvaluationResult",
    "Length",
    "LinearTail",
    "Objective",
    "Position",
    "Recipe",
    "RecipeT",
    "Stateful",
    "WeightStep",
    "compiled",
    "evaluate",
    "fit",
    "isolated",
    "launched",
    "optimizer_for",
    "read_tensors",
    "reseed",
    "schedule_for",
    "watching_memory",
    "write_tensors",
]
