"""A pre-trained encoder on disk: its weights, and a card that says what it reads and how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from frugalnas import __version__
from frugalnas.documents import read_json, read_yaml
from frugalnas.encoders.gin import GINEncoder
from frugalnas.errors import FrugalnasError
from frugalnas.files import write_atomically
from frugalnas.registry import SPACES
from frugalnas.spaces import SearchSpace
from frugalnas.tensors import read_tensors, write_tensors

WEIGHTS_FILE = "encoder.safetensors"
CARD_FILE = "card.json"


@dataclass(frozen=True)
class EncoderCard:
    """What an encoder reads and how it came about: everything but the weights.

    Attributes:
        space: whose architectures it reads, a description without limits.
        operations: what the ids of its graphs' operations mean, in their order.
        encoder: how `GINEncoder` is built.
        task: "ss-ccl" or "ss-rl".
        recipe: of the pre-training; empty where another program did it.
        seed: of the pre-training.
        isolated_edges: whether it reads graphs whose isolated vertices are joined to the input, as `graph_tensors` does.
        version: of frugalnas that wrote it.
        provenance: where it is from, where another program made it.
    """

    space: Mapping[str, Any]
    operations: tuple[str, ...]
    encoder: Mapping[str, Any]
    task: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    isolated_edges: bool = False
    version: str = __version__
    provenance: Mapping[str, Any] = field(default_factory=dict)


def operations_of(space: SearchSpace) -> tuple[str, ...]:
    """What the ids of operations in the space's graphs mean."""
    return tuple(space.graphs(space.sample(1, np.random.default_rng(0))).names)


def save_encoder(folder: Path, encoder: GINEncoder, card: EncoderCard) -> None:
    """Write an encoder into a folder; the card comes last, so that a folder with one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS_FILE, encoder.state_dict(), {})
    write_atomically(folder / CARD_FILE, json.dumps(asdict(card), indent=2) + "\n")


def load_encoder(path: Path | str, space: SearchSpace, **expected: object) -> tuple[GINEncoder, EncoderCard]:
    """A pre-trained encoder, in eval mode, and its card.

    Args:
        path: folder of a pre-training's run, of an imported encoder, or of the cache.
        space: whose architectures it is to read; limits do not matter.
        expected: arguments of `GINEncoder` that whoever asks goes by, such as `width=32`.

    Raises:
        FrugalnasError: where there is none, it is not finished, damaged, of another space, or built otherwise.
    """
    folder = Path(path).expanduser()
    card = _read_card(folder, space)
    own = SPACES.describe(space)["name"]
    if card.space["name"] != own:
        raise FrugalnasError(
            f"the encoder in {folder} reads architectures of {card.space['name']}, not of {own}; pre-train one with: "
            f"frugalnas pretrain {card.task} --space {own}"
        )
    if tuple(card.operations) != operations_of(space):
        raise FrugalnasError(
            f"the encoder in {folder} reads other operations ({', '.join(card.operations)}) than {own} has here "
            f"({', '.join(operations_of(space))}); pre-train one for this space"
        )
    for name, value in expected.items():
        if card.encoder.get(name) != value:
            raise FrugalnasError(
                f"the encoder in {folder} has {name} {card.encoder.get(name)!r}, and {value!r} was asked for; leave {name} out, "
                f"or pre-train one with: frugalnas pretrain {card.task} --space {own} --set {name}={value}"
            )
    path, mend = folder / WEIGHTS_FILE, f"delete {folder}, and pre-train the encoder again"
    tensors, _ = read_tensors(path, mend)
    try:
        encoder = GINEncoder(**card.encoder)
        encoder.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FrugalnasError(f"{path} is damaged, or not what its card says ({reason}); {mend}") from None
    return encoder.eval(), card


def _read_card(folder: Path, space: SearchSpace) -> EncoderCard:
    try:
        values = read_json((folder / CARD_FILE).read_text(encoding="utf-8"), str(folder / CARD_FILE))
        known = {each.name for each in fields(EncoderCard)}
        card = EncoderCard(**{name: value for name, value in values.items() if name in known})
        space_name = card.space["name"]
        if not isinstance(space_name, str) or not isinstance(card.encoder, Mapping):
            raise TypeError(f"space {space_name!r}, encoder {card.encoder!r}")
        return replace(card, operations=tuple(card.operations))
    except OSError:
        raise _no_encoder(folder, space) from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise FrugalnasError(
            f"{folder / CARD_FILE} is damaged ({error}); delete {folder}, and pre-train the encoder again"
        ) from None


def _no_encoder(folder: Path, space: SearchSpace) -> FrugalnasError:
    """Why there is no card in a folder, and what to do."""
    config: Any = None
    with suppress(OSError, ValueError):
        config = read_yaml((folder / "config.yaml").read_text(encoding="utf-8"), str(folder))
    kind, task = (config.get("kind"), config.get("task")) if isinstance(config, dict) else (None, None)
    if task is not None:
        return FrugalnasError(
            f"the pre-training in {folder} has not finished; continue it with: frugalnas resume {folder}"
        )
    found = f"{folder} is the run of a {kind}" if kind else f"there is no encoder in {folder}"
    return FrugalnasError(
        f"{found}; pre-train one with: frugalnas pretrain ss-ccl --space {space.name} --out FOLDER, or take ss-ccl or ss-rl for "
        f"the one in the cache"
    )
