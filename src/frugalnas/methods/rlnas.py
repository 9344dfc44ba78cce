"""Neural Architecture Search with Random Labels (Zhang et al., CVPR 2021, arXiv 2101.11834).

Train a supernet on labels that are drawn at random; take the angle by which the weights of each architecture have turned;
evolve towards the largest angle; train the winner from scratch with the true labels, where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalnas.methods.concluding import best_of, conclude
from frugalnas.methods.preparing import evaluations, genetic_search, networks_of
from frugalnas.methods.recipe import load_method_recipe
from frugalnas.networks.saving import ModelCard
from frugalnas.runs import search
from frugalnas.runs.scoring import ScoreEvaluator
from frugalnas.runs.stages import Method, Stages
from frugalnas.runs.supernets import train_supernet
from frugalnas.runs.training import train

__all__ = ["RLNAS"]


class RLNAS(Method):
    """A cell or network found without a label: supernet, angle, evolution, retraining.

    Args:
        recipe: what each stage does, settled, as plain data; see `MethodRecipe` and `settle`.
        images: side and preprocessing of the images, and the names of the classes.
        labelled: whether the images have labels to retrain with.
        reading: how the data are opened: `root`, `download`, `input_size`, `max_corrupt`, `workers`.
        device: on what is trained: `device`, `devices`, `precision`, `channels_last`.
        seed: of every stage.
    """

    stages = ("supernet", "search", "retrain", "report")

    def __init__(
        self,
        *,
        recipe: Mapping[str, Any],
        images: Mapping[str, Any],
        labelled: bool,
        reading: Mapping[str, Any],
        device: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        self.recipe = recipe
        self.images = images
        self.labelled = labelled
        self.reading = reading
        self.device = device
        self.seed = seed

    def carry_out(self, stages: Stages) -> dict[str, Any]:
        """Train on random labels, take the angle, evolve, retrain."""
        recipe = load_method_recipe(self.recipe)
        networks = networks_of(recipe, self.images["preprocessing"]["input_size"], len(self.images["classes"]))
        options = {"seed": self.seed, **self.reading, **self.device}

        labels_at_random, settings = recipe.training("supernet")
        supernet = stages.run(
            "supernet",
            "supernet",
            lambda folder, watch: train_supernet(
                networks.supernet, recipe.data, labels_at_random, run_dir=folder, settings=settings,
                split=recipe.supernet.get("split"), callbacks=watch, **options,
            ),
        )  # fmt: skip

        angle = ScoreEvaluator(networks.retrained, supernet=str(supernet.run_dir), **recipe.score)
        evolution = genetic_search(recipe, networks.retrained, self.seed)
        found = stages.run(
            "search",
            "search",
            lambda folder, watch: search(
                evolution, angle, evaluations(recipe, evolution), run_dir=folder, callbacks=watch
            ),
        )
        best = best_of(found, angle.scored)

        from_scratch, settings = recipe.training("retrain")
        trained = [
            stages.run(
                f"retrain-{place}",
                "training",
                lambda folder, watch, code=code: train(
                    networks.retrained, code, recipe.data, from_scratch, run_dir=folder, settings=settings,
                    split=recipe.retrain.get("split"), callbacks=watch, **options,
                ),
            )
            for place, code in enumerate(best.codes[: recipe.top if self.labelled else 0], 1)
        ]  # fmt: skip

        stages.begin("report")
        return conclude(stages.folder.path, networks, best, trained, ModelCard(...))
