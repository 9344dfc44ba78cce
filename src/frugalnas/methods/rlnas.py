"""Neural Architecture Search with Random Labels (Zhang et al., CVPR 2021, arXiv 2101.11834).

Train a supernet on labels that are drawn at random; take the angle by which the weights of each architecture have turned;
evolve towards the largest angle; train the winner from scratch with the true labels, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from frugalnas.methods.concluding import best_of, conclude
from frugalnas.methods.preparing import Networks, evaluations, genetic_search, images_of, networks_of
from frugalnas.methods.recipe import load_method_recipe
from frugalnas.runs.stages import Method, Stages
from frugalnas.runs.supernets import train_supernet
from frugalnas.runs.training import train
from frugalnas.searches import search
from frugalnas.searches.scoring import ScoreEvaluator, fast
from frugalnas.spaces import Architecture
from frugalnas.training import Compute

__all__ = ["RLNAS"]


class RLNAS(Method):
    """An architecture found without looking at a label; `frugalnas.methods.rlnas` carries it out.

    Args:
        recipe: what each stage does, with nothing left open; see `MethodRecipe`.
        preprocessing: how an image becomes a network's input.
        classes: names of those that the networks tell apart.
        labelled: whether the images have labels to retrain with.
        reading: how the data are opened: `root`, `download`, `input_size`, `max_corrupt`, `workers`.
        device: where it is computed: `device`, `devices`, `precision`, `channels_last`.
        seed: of every stage.
    """

    stages = ("supernet", "search", "retrain", "report")

    def __init__(
        self,
        *,
        recipe: Mapping[str, Any],
        preprocessing: Mapping[str, Any],
        classes: tuple[str, ...],
        labelled: bool,
        reading: Mapping[str, Any],
        device: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        self.recipe = load_method_recipe(recipe).to_json()
        self.preprocessing = preprocessing
        self.classes = tuple(classes)
        self.labelled = labelled
        self.reading = reading
        self.device = device
        self.seed = seed

    @cached_property
    def networks(self) -> Networks:
        """The space at the sizes of the supernet and of the networks that are retrained."""
        recipe = load_method_recipe(self.recipe)
        return networks_of(recipe, int(self.preprocessing["input_size"]), len(self.classes))

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train on random labels, take the angle, evolve, retrain."""
        recipe, space = load_method_recipe(self.recipe), self.networks.retrained
        common = {"seed": self.seed, "compute": Compute(**self.device)}
        unlabelled, labelled = (images_of(recipe, part, self.reading) for part in (recipe.supernet, recipe.retrain))

        supernet = stages.run(
            "supernet", train_supernet, self.networks.supernet, unlabelled, **recipe.on_random_labels, **common
        )
        angle = ScoreEvaluator(space, supernet=str(supernet.run_dir), seed=self.seed, **recipe.score)
        evolution = genetic_search(recipe, space, self.seed)
        found = stages.run("search", search, evolution, angle, evaluations(recipe, evolution))
        best = best_of(found, angle.scored, quick=fast(angle.name))
        retrained = [
            stages.run(f"retrain-{place}", train, Architecture(space, code), labelled, **recipe.from_scratch, **common)
            for place, code in enumerate(best.codes[: recipe.top if self.labelled else 0], 1)
        ]
        stages.begin("report")
        return conclude(stages.folder.path, self, best, retrained)
