"""Encoders in the cache: pre-trained the first time that one is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalnas.cache import cache_folder
from frugalnas.encoders.recipe import PretrainingRecipe
from frugalnas.encoders.saved import CARD_FILE, operations_of
from frugalnas.errors import FrugalnasError
from frugalnas.files import alone
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
    said = _Said(recipe.epochs * pretraining.steps_per_epoch)
    fit(
        pretraining,
        pretraining.state,
        pretraining.batches,
        length=Length(recipe.epochs, pretraining.steps_per_epoch),
        seed=seed,
        checkpoints=Checkpoints(draft / "checkpoints", pretraining.identity),
        on_step=lambda position: said.step(position.done + 1),
        mend=pretraining.mend,
    )
    pretraining.save(draft)
    said.close()


class _Said:
    """How far a pre-training is, on standard error: once on paper, again and again on a terminal."""

    FIRST_S, EVERY_S = 3.0, 2.0

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.begun: tuple[float, int] | None = None
        self.due = self.FIRST_S
        self.terminal = sys.stderr.isatty()

    def step(self, done: int) -> None:
        now = time.monotonic()
        if self.begun is None:
            self.begun = now, done
        seconds = now - self.begun[0]
        if seconds < self.due or done == self.begun[1]:
            return
        left = (self.steps - done) * seconds / (done - self.begun[1])
        minutes = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"
        text = f"pre-training: {100 * done / self.steps:.0f} %, about {minutes} left"
        print(f"\r{text}   " if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr, flush=True)
        self.due = seconds + self.EVERY_S if self.terminal else float("inf")

    def close(self) -> None:
        if self.terminal and self.due > self.FIRST_S:
            print(file=sys.stderr)
