"""A trained network on disk: its weights, and a card that says how to build it and what goes in and comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from frugalnas import __version__
from frugalnas.documents import read_json
from frugalnas.errors import FrugalnasError, a
from frugalnas.files import draft
from frugalnas.networks.skeleton import build
from frugalnas.networks.weightless import weightless
from frugalnas.registry import KINDS, SPACES
from frugalnas.spaces import SearchSpace
from frugalnas.tensors import read_tensors, save_sealed
from frugalnas.trust import opening

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "architecture.json"

_METADATA = "frugalnas"
"""The key under which a weights file carries its card."""

_WRAPPERS = ("module.", "_orig_mod.", "_forward_module.")
"""What DataParallel and DDP, `torch.compile` and Lightning Fabric put in front of a tensor's name."""


@dataclass(frozen=True)
class ModelCard:
    """How a network is built, what goes in and what comes out: everything but the weights.

    Attributes:
        space: description of the space with the sizes of its networks, `{"name": ..., "options": {...}}`.
        architecture: as the space writes it.
        build: what `networks.build` is told besides: `auxiliary`, `drop_path`, `dropout`.
        classes: their names, in the order of the logits.
        preprocessing: what happens to an image before it goes in, as `data.preprocess` takes it.
        counts: "params" and "macs" of the network without auxiliary head, and what else was counted.
        provenance: where the weights come from: data, recipe, run, or the file they were read from.
        version: of frugalnas, when the card was written.
    """

    space: dict[str, Any]
    architecture: str
    build: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def make_space(self) -> SearchSpace:
        """The space that the card describes."""
        return SPACES.create(self.space)

    @property
    def input_size(self) -> int:
        """Side of the square images that go in.

        Raises:
            FrugalnasError: where the card does not say it.
        """
        size = self.preprocessing.get("input_size") or getattr(self.make_space(), "input_size", None)
        if not isinstance(size, int):
            raise FrugalnasError("the card does not say the input size; put 'input_size' into its 'preprocessing'")
        return size

    def to_json(self) -> str:
        """The card as `from_json` reads it."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str = "the card") -> ModelCard:
        """The card in a text that `to_json` wrote.

        Raises:
            FrugalnasError: naming what is missing or of the wrong kind.
        """
        content = read_json(text, source)
        kinds = {
            part.name: {"architecture": str, "version": str, "classes": list}.get(part.name, dict)
            for part in fields(cls)
        }
        if not isinstance(content, dict) or not {"space", "architecture"} <= content.keys():
            raise FrugalnasError(f"{source} does not describe a network: it needs 'space' and 'architecture'")
        known = {name: value for name, value in content.items() if name in kinds}
        for name, value in known.items():
            if not isinstance(value, kinds[name]):
                raise FrugalnasError(f"{source}: {name!r} must be a {kinds[name].__name__}, not {value!r}")
        return cls(**{**known, "classes": tuple(str(name) for name in known.get("classes", ()))})


def described(space: SearchSpace) -> dict[str, Any]:
    """The space as a card states it: without its latency table, which is a file of one machine."""
    description = SPACES.describe(space)
    description["options"].pop("latency", None)
    return description


def build_from_card(card: ModelCard, **changes: Any) -> nn.Module:
    """The network that a card describes, randomly initialised; torch's generator is left as it was.

    Args:
        card: says how to build it.
        changes: to `card.build`, such as `auxiliary=None`.
    """
    space = card.make_space()
    with torch.random.fork_rng(devices=[]):
        return build(space, space.parse(card.architecture), **{**card.build, **changes})


# -- writing -----------------------------------------------------------------------------------------------------------


def save_model(folder: str | Path, network: nn.Module, card: ModelCard) -> Path:
    """Write `model.safetensors` and `architecture.json` into a folder, and return the folder.

    The weights carry the card too, so that the file can travel alone. A reader never sees the weights of one network
    with the card of another, even if the writing is killed; other files in the folder are left alone.
    """
    folder = Path(folder)
    # A name that is no UTF-8 is escaped as JSON does it.
    text = card.to_json().encode("utf-8", "backslashreplace").decode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft(folder / CARD_FILE) as card_draft, draft(folder / WEIGHTS_FILE) as weights:
            card_draft.write_text(text + "\n", encoding="utf-8")
            save_sealed(weights, tensors_of(network), {_METADATA: text, "format": "pt"})
            # Without a card beside them the weights, which take their place first, are read with the card they carry.
            (folder / CARD_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise FrugalnasError(f"{folder} cannot be written ({error}); choose another place") from None
    return folder


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name, copied to the CPU; names are those of the bare network, without wrappers."""
    named = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return {
        name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in without_wrappers(named).items()
    }


def without_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors without the prefixes that wrappers put in front of every name."""
    named = dict(tensors)
    while named:
        prefix = next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in named)), None)
        if prefix is None:
            break
        named = {name[len(prefix) :]: tensor for name, tensor in named.items()}
    return named


# -- reading -----------------------------------------------------------------------------------------------------------


@opening
def load(path: str | Path, *, trust: bool = False) -> nn.Module:
    """The trained network in a folder, in eval mode on the CPU, with its `ModelCard` as the attribute `card`.

    Nothing is unpickled.

    Args:
        path: a folder that `save_model` wrote, the folder of a training run, or a `.safetensors` file.
        trust: whether import paths in it may be followed (see `frugalnas.trust`).

    Raises:
        FrugalnasError: where there is no network, the file is damaged, or the weights are of another architecture.

    Example:
        >>> network = load("runs/digits")          # doctest: +SKIP
        >>> network.card.classes                          # doctest: +SKIP
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    weights = _weights_file(Path(path))
    card = read_card(path)
    tensors, _ = read_tensors(weights)
    with weightless():  # takes no memory for a network that the card alone made large
        _refuse_others(build_from_card(card).state_dict(), tensors, str(weights), card.architecture)
    network = build_from_card(card)
    load_tensors(network, tensors, source=str(weights), architecture=card.architecture)
    network.card = card  # type: ignore[assignment]  # torch's stubs know only tensors and modules
    return network.eval()


def read_card(path: str | Path) -> ModelCard:
    """The card of a saved network, without its weights; see `load` for what `path` may be."""
    weights = _weights_file(Path(path))
    beside = weights.with_name(CARD_FILE)
    if weights.name == WEIGHTS_FILE and beside.exists():
        try:
            return ModelCard.from_json(beside.read_text(encoding="utf-8"), str(beside))
        except (OSError, UnicodeDecodeError) as error:
            raise FrugalnasError(f"{beside} cannot be read ({error})") from None
    try:
        with safe_open(weights, framework="pt") as file:
            text = (file.metadata() or {}).get(_METADATA)
    except (OSError, SafetensorError) as error:
        raise FrugalnasError(
            f"{weights} is damaged or not a safetensors file ({error}); take another copy of it"
        ) from None
    if text is None:
        raise FrugalnasError(
            f"{weights} does not say which network it holds: put its {CARD_FILE} beside it, or read it with "
            f"frugalnas weights import"
        )
    return ModelCard.from_json(text, str(weights))


def card_of(network: nn.Module) -> ModelCard:
    """The card that `load` gave to a network.

    Raises:
        FrugalnasError: where the network has none.
    """
    card = getattr(network, "card", None)
    if not isinstance(card, ModelCard):
        raise FrugalnasError("this network has no card; get it from load, or write a ModelCard for it")
    return card


def load_tensors(
    network: nn.Module, tensors: Mapping[str, Tensor], *, source: str = "the file", architecture: str = ""
) -> None:
    """Put tensors into a network, all of them or none.

    Raises:
        FrugalnasError: naming the first tensors that are missing, have no place, or have another shape.
    """
    _refuse_others(network.state_dict(), tensors, source, architecture)
    network.load_state_dict(dict(tensors))


def _refuse_others(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str, architecture: str) -> None:
    differences = []
    for name, tensor in wanted.items():
        if name not in found:
            differences.append(f"{name} is missing")
        elif found[name].shape != tensor.shape:
            differences.append(f"{name} has shape {list(found[name].shape)} instead of {list(tensor.shape)}")
    differences += [f"{name} has no place" for name in found if name not in wanted]
    if differences:
        named = f"of {architecture}" if architecture else "of this network"
        raise FrugalnasError(f"the weights in {source} are not {named}: {first_of(differences)}")


def model_folder(path: str | Path) -> Path:
    """The folder with the weights: `path`, or `path/model` of a training run.

    Raises:
        FrugalnasError: where there is no trained network at `path`.
    """
    path = Path(path)
    for folder in (path, path / "model"):
        if (folder / WEIGHTS_FILE).is_file():
            return folder
    if (path / "config.yaml").is_file():
        raise FrugalnasError(f"{path} holds no trained network{_why_not(path)}")
    raise FrugalnasError(f"there is no trained network at {path}: it has no {WEIGHTS_FILE}")


def _why_not(run_dir: Path) -> str:
    """What kind of run it is that has no network, and what would have one."""
    found = re.search(r"^kind: (\w+)$", (run_dir / "config.yaml").read_text(errors="replace"), re.MULTILINE)
    if found is None or found[1] not in KINDS.targets:
        return ": it is a run of another kind; frugalnas train makes one"
    return f": it is {a(found[1])}; {KINDS.create(found[1]).no_network.format(run=run_dir)}"


def _weights_file(path: Path) -> Path:
    return path if path.is_file() and path.suffix == ".safetensors" else model_folder(path) / WEIGHTS_FILE


def first_of(differences: Sequence[str]) -> str:
    """The first three, and how many more there are, for an error's one line."""
    more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more
