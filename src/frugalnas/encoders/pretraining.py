"""The pre-training of an encoder under way, new or resumed: on architectures alone, no accuracy anywhere."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors, graph_tensors
from frugalnas.encoders.processes import gathered, share_norms, summed
from frugalnas.encoders.recipe import PretrainingRecipe
from frugalnas.encoders.saved import EncoderCard, save_encoder
from frugalnas.encoders.ssccl import CentralContrast, ContrastiveEncoder
from frugalnas.encoders.ssrl import PairEncoder, normalised
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.training import Position, isolated
from frugalnas.training.checkpoint import Stateful

GROUP = 16_384
"""Pairs of SS-RL made together, as the making of few has a cost of its own."""
FEW = 20_000
"""Pairs whose mean distance is the scale of SS-RL."""
BLOCK = 50_000
"""Architectures encoded at a time."""
_POOL, _ORDER, _ANCHORS, _PAIRS, _SCALE = range(5)
"""What a seed is for besides weights."""


def edit_codes(space: SearchSpace, codes: Codes) -> NDArray[np.uint8]:
    """Zeros and ones whose differences are the edit distance of architectures, shape [n, bits].

    That is the position-aware path encoding, as in SSNENAS, where the space has it, and otherwise the operations that are
    alive, or the genes of the canonical code.
    """
    encoding = next((name for name in ("position-path", "live") if name in space.encodings), "onehot")
    parts = []
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        if encoding == "onehot":
            block = space.canonical(block)
        parts.append(space.features(block, encoding).astype(np.uint8))
    return np.concatenate(parts)


def architectures_for(space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> Codes:
    """The architectures that an encoder is pre-trained on, shape [n, genes]: a function of the three.

    They are what the space lists, where it can be listed, and else `recipe.pool` draws of it, each network once.
    """
    rng = _rng(seed, _POOL)
    if space.enumerable:
        codes = space.enumerate()
    else:
        codes = space.sample(recipe.pool, rng)
        _, first = np.unique(space.network_ids(codes), return_index=True)
        codes = codes[np.sort(first)]
    kept = max(1, round(recipe.share * len(codes)))
    return codes if kept == len(codes) else codes[np.sort(rng.choice(len(codes), kept, replace=False))]


class Pretraining(ABC):
    """One pre-training under way in one process of those that share it.

    Child classes say what is trained (`_network`), on what batches (`batches`), and its loss (`_loss`).

    Args:
        fabric: launched.
        space: whose architectures are read.
        recipe: of the class's task.
        seed: of weights, order, anchors and pairs.
    """

    def __init__(self, fabric: Fabric, space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> None:
        self.fabric, self.space, self.seed = fabric, space, seed
        self.first = fabric.global_rank == 0
        self.codes = architectures_for(space, recipe, seed)
        self.recipe = recipe.settled(len(self.codes), fabric.world_size)
        graphs = space.graphs(self.codes)
        self.operations = tuple(graphs.names)
        self.graphs = graph_tensors(graphs, device=fabric.device)
        self.graphs.sums(recipe.directions)
        with isolated(seed):
            self.encoder = GINEncoder(self.graphs.kinds, **recipe.encoder)
            self.network = self._network().to(fabric.device)
        if fabric.world_size > 1:
            share_norms(self.network)
        self.optimizer = torch.optim.Adam(
            _groups(self.network, recipe),
            lr=recipe.lr,
            betas=(recipe.beta1, recipe.beta2),
            fused=fabric.device.type in ("cpu", "cuda"),
        )
        self.lr = recipe.lr

    # -- what child classes say --------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Optimiser steps."""

    @abstractmethod
    def _network(self) -> nn.Module:
        """What is trained, `self.encoder` in it."""

    @abstractmethod
    def batches(self, epoch: int, begin: int) -> Iterator[Any]:
        """The batches of an epoch from a step on."""

    @abstractmethod
    def _loss(self, batch: Any) -> tuple[Tensor, Mapping[str, Tensor]]:
        """This process's share of a batch's loss, and sums over its rows, on all processes alike, for the journal."""

    # -- running -----------------------------------------------------------------------------------------------------

    @property
    def card(self) -> EncoderCard:
        """What the encoder reads and how it comes about."""
        return EncoderCard(
            space=SPACES.describe(self.space),
            operations=self.operations,
            encoder=self.encoder.config(),
            task=self.recipe.task,
            recipe=self.recipe.to_json(),
            seed=self.seed,
        )

    @property
    def state(self) -> dict[str, Stateful]:
        """All that steps change, by name."""
        return {"network": self.network, "optimizer": self.optimizer}

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be one of this pre-training's."""
        card = self.card
        return {"space": card.space, "recipe": card.recipe, "seed": self.seed, "architectures": len(self.codes)}

    def save(self, folder: Path) -> None:
        """Write the encoder and its card into a folder."""
        save_encoder(folder, self.encoder, self.card)

    def mend(self) -> str:
        """What is said of a divergence, and what to do about it."""
        return (
            f" at learning rate {self.lr:g}: the pre-training has diverged; lower lr (now {self.recipe.lr:g}); the last "
            "good checkpoint, where there is one, is kept"
        )

    def __call__(self, batch: Any, position: Position) -> Mapping[str, Tensor]:
        """One optimiser step."""
        recipe = self.recipe
        share = position.done / position.total if recipe.per_step else position.epoch / position.epochs
        self.lr = recipe.lr * (1 + math.cos(math.pi * share)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["times"]
        loss, sums = self._loss(batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.fabric.world_size > 1:
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.copy_(summed(parameter.grad))
        self.optimizer.step()
        return sums

    def _own(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch."""
        return torch.tensor_split(rows, self.fabric.world_size)[self.fabric.global_rank]


class _ContrastBatch(NamedTuple):
    """Rows of the architectures, shape [n], and places of the anchors among them, shape [m]."""

    rows: Tensor
    anchors: Tensor


class ContrastivePretraining(Pretraining):
    """SS-CCL: the batch is encoded once, in parts by several processes, which then divide its anchors among them."""

    def __init__(self, fabric: Fabric, space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> None:
        super().__init__(fabric, space, recipe, seed)
        self.bits = torch.from_numpy(edit_codes(space, self.codes)).to(fabric.device)
        self.contrast = CentralContrast(
            recipe.temperature, recipe.regularisation, recipe.margin, recipe.anchor_is_positive, recipe.min_negatives
        )

    @property
    def _anchors_per_step(self) -> int:
        return min(self.recipe.anchors_per_step or self.recipe.anchors, self.recipe.anchors)

    @property
    def _steps_per_batch(self) -> int:
        return self.recipe.anchors // self._anchors_per_step

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps; architectures that fill no batch wait for another epoch."""
        return len(self.codes) // self.recipe.batch * self._steps_per_batch

    def _network(self) -> nn.Module:
        return ContrastiveEncoder(self.encoder, self.recipe.hidden, self.recipe.dimension)

    def batches(self, epoch: int, begin: int) -> Iterator[_ContrastBatch]:
        """Architectures in a new order each epoch, with the anchors of each batch."""
        batch = self.recipe.batch
        order = torch.from_numpy(_rng(self.seed, _ORDER, epoch).permutation(len(self.codes)))
        for step in range(begin, self.steps_per_epoch):
            number, part = divmod(step, self._steps_per_batch)
            rows = order[number * batch : (number + 1) * batch]
            drawn = torch.from_numpy(_rng(self.seed, _ANCHORS, epoch, number).permutation(batch))
            anchors = drawn[part * self._anchors_per_step : (part + 1) * self._anchors_per_step]
            yield _ContrastBatch(rows.to(self.fabric.device), anchors.to(self.fabric.device))

    def _loss(self, batch: _ContrastBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        vectors = self.network(self.graphs.take(self._own(batch.rows)))
        if self.fabric.world_size > 1:
            vectors = gathered(vectors)
        loss, rows, hits = self.contrast(vectors, self.bits[batch.rows], self._own(batch.anchors), summed)
        total = summed(loss.detach())
        return loss, {"loss": total * rows, "accuracy": 100 * hits, "images": rows}


class _Pairs(NamedTuple):
    """Rows of the first architectures, the second ones' graphs, and their distances, shape [n]."""

    left: Tensor
    right: GraphTensors
    distances: Tensor


class PairPretraining(Pretraining):
    """SS-RL: pairs drawn anew in every epoch, a share of them few edits apart."""

    def __init__(self, fabric: Fabric, space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> None:
        super().__init__(fabric, space, recipe, seed)
        self.words = packed(edit_codes(space, self.codes))
        self.scale = self._scale()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps; pairs that fill no batch are left out."""
        assert self.recipe.pairs is not None
        return self.recipe.pairs // self.recipe.batch

    def _network(self) -> nn.Module:
        return PairEncoder(self.encoder, raw=self.recipe.scale == "raw")

    def _scale(self) -> float | None:
        if self.recipe.scale == "raw":
            return None
        if self.recipe.scale == "vertices":
            return float(self.graphs.vertices)
        rows = _rng(self.seed, _SCALE).integers(len(self.codes), size=(2, FEW))
        mean = float(edit_distances(self.words[rows[0]], self.words[rows[1]]).mean())
        if mean == 0:
            raise FrugalnasError(f"all architectures of {self.space.name} are at distance 0; there is nothing to learn")
        return mean

    def batches(self, epoch: int, begin: int) -> Iterator[_Pairs]:
        """Pairs of architectures, with the distances between them."""
        pairs, batch = self.recipe.pairs, self.recipe.batch
        assert pairs is not None
        per_group = max(1, GROUP // batch)
        rng = _rng(self.seed, _ORDER, epoch)
        left, right = (self._drawn(pairs, rng) for _ in range(2))
        for group in range(begin // per_group, math.ceil(self.steps_per_epoch / per_group)):
            rows = slice(group * per_group * batch, (group + 1) * per_group * batch)
            made = self._made(left[rows], right[rows], _rng(self.seed, _PAIRS, epoch, group))
            for step in range(group * per_group, min((group + 1) * per_group, self.steps_per_epoch)):
                if step >= begin:
                    part = slice((step - group * per_group) * batch, (step + 1 - group * per_group) * batch)
                    yield _Pairs(made.left[part], made.right.take(part), made.distances[part])

    def _drawn(self, pairs: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """So many rows: all architectures in random order, again where they are too few."""
        n = len(self.codes)
        return np.concatenate([rng.permutation(n) for _ in range(math.ceil(pairs / n))])[:pairs]

    def _made(self, left: NDArray[np.intp], right: NDArray[np.intp], rng: np.random.Generator) -> _Pairs:
        near = rng.random(len(left)) < self.recipe.near
        device = self.fabric.device
        if near.any():
            codes = self.codes[right]
            codes[near] = self.space.mutate(self.codes[left[near]], rng, edits=self.recipe.edits)
            graphs = graph_tensors(self.space.graphs(codes), device=device)
            words = packed(edit_codes(self.space, codes))
        else:
            graphs = self.graphs.take(torch.from_numpy(right).to(device))
            words = self.words[right]
        graphs.sums(self.recipe.directions)
        distances = edit_distances(self.words[left], words)
        return _Pairs(torch.from_numpy(left).to(device), graphs, torch.from_numpy(distances).to(device))

    def _loss(self, batch: _Pairs) -> tuple[Tensor, Mapping[str, Tensor]]:
        own = self._own(torch.arange(len(batch.left), device=self.fabric.device))
        distances = batch.distances[own].to(torch.float32)
        answers = self.network(self.graphs.take(batch.left[own]), batch.right.take(own))
        wrong = functional.mse_loss(answers, normalised(distances, self.scale), reduction="sum")
        with torch.no_grad():
            told = answers if self.scale is None else -self.scale * answers.log()
            close = (told - distances).abs() < 1
            sums = {"loss": summed(wrong.detach()), "accuracy": 100 * summed(close.sum())}
        return wrong / len(batch.left), {**sums, "images": torch.tensor(len(batch.left))}


_TASKS: Mapping[str, type[Pretraining]] = {"ss-ccl": ContrastivePretraining, "ss-rl": PairPretraining}


def pretraining_for(fabric: Fabric, space: SearchSpace, recipe: PretrainingRecipe, seed: int) -> Pretraining:
    """The pre-training of a recipe, set up in one process.

    Raises:
        FrugalnasError: where the space has too few architectures for the recipe's batches.
    """
    return _TASKS[recipe.task](fabric, space, recipe, seed)


def _groups(network: nn.Module, recipe: PretrainingRecipe) -> list[dict[str, Any]]:
    """Weights, and biases with a learning rate of their own where the recipe has one."""
    named = [(name.endswith("bias"), parameter) for name, parameter in network.named_parameters()]
    weights = [parameter for bias, parameter in named if not bias]
    biases = [parameter for bias, parameter in named if bias]
    decay = recipe.weight_decay
    return [
        {"params": weights, "times": 1.0, "weight_decay": decay},
        {"params": biases, "times": recipe.bias_lr, "weight_decay": decay if recipe.bias_lr == 1 else 0.0},
    ]


def _rng(seed: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))
