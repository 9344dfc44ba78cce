"""Encoders in the cache: pre-trained the first time that one is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from frugalnas.cache import cache_folder
from frugalnas.encoders.recipe import PretrainingRecipe
from frugalnas.encoders.saved import CARD_FILE, operations_of
from frugalnas.errors import FrugalnasError
from frugalnas.files import alone
from frugalnas.progress import Bar
from frugalnas.registry import SPACES
from frugalnas.spaces import SearchSpace

VERSION = 1
"""Of what pre-training makes of a recipe and a seed; a higher one leaves older encoders behind."""


def cached_encoder(
    space: SearchSpace,
    task: str = "ss-ccl",
    recipe: str | Path | Mapping[str, Any] = "default",
    seed: int = 0,
    *,
    device: str = "auto",
) -> Path:
    """Folder of the encoder of a space, as `load_encoder` takes it; pre-trained now where the cache has none.

    What is pre-trained, how long it will about take and how far it is are said on standard error. A pre-training that was
    interrupted is taken up where it stopped. Of several processes that ask at once one pre-trains, and the others wait for it.

    Args:
        space: limits on it do not matter: the encoder is that of the whole space.
        task: "ss-ccl" or "ss-rl".
        recipe: as `PretrainingRecipe.load` takes it.
        seed: of the pre-training.
        device: where it computes: "auto", "cpu", "cuda" or "mps".

    Raises:
        FrugalnasError: where the recipe does not fit, or the cache cannot be written.
    """
    whole: SearchSpace = SPACES.create(SPACES.describe(space))
    chosen = PretrainingRecipe.load(recipe, task=task, space=whole.name)
    folder = cache_folder() / "encoders" / _name(whole, chosen, seed)
    if (folder / CARD_FILE).exists():
        return folder
    draft = folder.with_name(f".{folder.name}")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        lock = draft.with_name(f"{draft.name}.lock")
        waiting = f"waiting for another process that pre-trains this encoder ({lock})"
        with alone(lock, lambda: print(waiting, file=sys.stderr)):
            if not (folder / CARD_FILE).exists():
                _pretrain(draft, whole, chosen, seed, device, folder)
                shutil.rmtree(draft / "checkpoints", ignore_errors=True)
                os.rename(draft, folder)
    except OSError as error:
        raise FrugalnasError(
            f"the encoder cannot be kept in {folder.parent} ({error.strerror}); set FRUGALNAS_CACHE to a folder that can be "
            f"written, or pre-train one with: frugalnas pretrain {chosen.task} --space {whole.name} --out FOLDER"
        ) from None
    return folder


def _name(space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> str:
    """Of the folder: two that differ in anything that an encoder depends on have different ones."""
    settings = {name: value for name, value in recipe.to_json().items() if name not in ("name", "source")}
    facts = [VERSION, space.name, space.allowed.tolist(), operations_of(space), settings, seed]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{space.name}-{recipe.task}-{digest[:16]}"


def _pretrain(draft: Path, space: SearchSpace, recipe: PretrainingRecipe, seed: int, device: str, folder: Path) -> None:
    from frugalnas.encoders.pretraining import pretraining_for  # loads the training room, which takes seconds
    from frugalnas.training import Checkpoints, Compute, Length, fit

    print(
        f"pre-training an encoder of {space.name} ({recipe.task}, recipe {recipe.name}, {recipe.epochs} epochs), once; it "
        f"will be kept in {folder}",
        file=sys.stderr,
    )
    fabric = Compute(device).fabric()
    fabric.launch()
    pretraining = pretraining_for(fabric, space, recipe, seed)
    with closing(Bar("pre-training", share=True)) as bar:
        fit(
            pretraining,
            pretraining.state,
            pretraining.batches,
            length=Length(recipe.epochs, pretraining.steps_per_epoch),
            seed=seed,
            checkpoints=Checkpoints(draft / "checkpoints", pretraining.identity),
            on_step=lambda position: bar.update(position.done + 1, position.total),
            mend=pretraining.mend,
        )
    pretraining.save(draft)
