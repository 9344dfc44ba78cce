"""The Once-for-All MobileNetV3 space: kernel, expansion and depth of five stages (Cai et al., ICLR 2020)."""

from __future__ import annotations

import ast
import json
from functools import cache
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.errors import FrugalnasError, one_of, quoted
from frugalnas.spaces.arrays import Codes
from frugalnas.spaces.factored import FactoredSpace
from frugalnas.spaces.known import known_text
from frugalnas.spaces.sizes import checked_sizes, with_latency

STAGES, LAYERS, LEAST = 5, 4, 2
KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
NONE = len(KERNELS) * len(EXPANSIONS)
BLOCKS = (*(f"mb{expansion}_k{kernel}" for kernel, expansion in product(KERNELS, EXPANSIONS)), "none")
RESOLUTIONS = np.arange(112, 225, 16)


class OnceForAll(FactoredSpace):
    """Once-for-All's MobileNetV3: five stages of two to four layers, each with a kernel and an expansion, 2.2e19 codes.

    A code has a gene for each of 4 layers of 5 stages. Values 0 to 8 are kernel 3 with expansion 3, 4, 6, then kernel 5,
    then kernel 7; 9 is no layer, which only the third and fourth of a stage may be, and the third only with the fourth.
    So layers that are not built have no kernel or expansion, and every code is a network of its own.

    Encodings: `onehot` (default), `once-for-all` (45 integers: 20 kernels, 20 expansions, zero where no layer is, and 5
    depths, as WeakNAS has them), `ofa-predictor` (128: kernels and expansions as one-hots, zero where no layer is, and
    the nearest of the resolutions 112, 128, ..., 224 to the input size: what Once-for-All's accuracy predictor reads),
    `integer`.

    `count` knows "params", "macs", "thop" (see `DARTS`), and "latency" in milliseconds where a table is given.

    Args:
        width: multiplier of all channels; Once-for-All publishes weights for 1.0 and 1.2.
        input_size: side of the square images.
        classes: of the classifier.
        sampler: how `sample` draws without limits: `uniform`, every code equally often, so that deep networks prevail; or
            `depth-uniform`, as Once-for-All and WeakNAS draw: every depth of a stage equally often.
        latency: path of a table that `frugalnas measure-latency` wrote.
    """

    name = "once-for-all"
    encodings = ("onehot", "once-for-all", "ofa-predictor", "integer")
    skeleton = "once-for-all"
    samplers = ("uniform", "depth-uniform")

    def __init__(
        self,
        *,
        width: float = 1.2,
        input_size: int = 236,
        classes: int = 1000,
        sampler: Literal["uniform", "depth-uniform"] = "uniform",
        latency: str | None = None,
    ) -> None:
        one_of("sampler of once-for-all", sampler, self.samplers)
        self.sampler = sampler
        self.width, self.input_size, self.classes = width, input_size, classes
        checked_sizes(self, width=0.0, input_size=1, classes=1)
        self.latency, self.quantities = with_latency(self, latency, "params", "macs", "thop")
        self.counted_for = f"network of width {width:g}, {input_size}x{input_size} images"
        self.allowed = np.ones((STAGES * LAYERS, NONE + 1), np.bool_)
        self.allowed[np.arange(STAGES * LAYERS) % LAYERS < LEAST, NONE] = False
        self.joint = _stages()

    def sample(self, n: int, rng: np.random.Generator) -> Codes:
        """`n` codes drawn independently as the sampler says, shape [n, 20].

        Under limits `depth-uniform` draws until they are met.
        """
        if self.sampler == "uniform":
            return super().sample(n, rng)
        return self._sample_by_rejection(n, rng)

    def _sample_allowed(self, n: int, rng: np.random.Generator) -> Codes:
        codes = np.empty((n, self.genes), np.int8)
        for genes, combinations in self._factors:
            depths = (combinations != NONE).sum(axis=1)
            offered, size = np.unique(-depths, return_counts=True)
            order = np.argsort(-depths, kind="stable")
            depth = rng.integers(len(offered), size=n)
            starts = np.concatenate([[0], np.cumsum(size)])[depth]
            codes[:, list(genes)] = combinations[order[starts + rng.integers(size[depth])]]
        return codes

    # -- notation ------------------------------------------------------------------------------------------------

    def format(self, code: Codes) -> str:
        """The network as Once-for-All writes it: `{"ks": [20 kernels], "e": [20 expansions], "d": [5 depths]}`.

        Layers that are not built are written with the least kernel and expansion.
        """
        built = np.where(np.asarray(code) == NONE, 0, code)
        kernels, expansions = np.divmod(built, len(EXPANSIONS))
        fields = {
            "ks": [KERNELS[kernel] for kernel in kernels],
            "e": [EXPANSIONS[expansion] for expansion in expansions],
            "d": [int(depth) for depth in (np.asarray(code) != NONE).reshape(STAGES, LAYERS).sum(axis=1)],
        }
        return json.dumps(fields)

    def parse(self, text: str) -> Codes:
        """The code of a network as `format` writes it, as Python prints such a dictionary, or of a known architecture's name.

        Kernels and expansions of layers beyond a stage's depth are not looked at, nor entries of other names; "r" is,
        where it is there: it must be the input size.
        """
        text = known_text(text, self.name)
        shown, fields = quoted(text), _fields(text)
        parts: dict[str, Any] = {}
        for field, length in (("ks", STAGES * LAYERS), ("e", STAGES * LAYERS), ("d", STAGES)):
            parts[field] = fields.get(field)
            if not isinstance(parts[field], list) or len(parts[field]) != length:
                raise FrugalnasError(
                    f"cannot read the Once-for-All network {shown}: {field!r} is a list of {length} numbers"
                )
        size = _size(fields)
        if size not in (None, self.input_size):
            raise FrugalnasError(
                f"the Once-for-All network {shown} is for images of {size!r} pixels; this space has {self.input_size}: set "
                f"`input_size`"
            )
        code = np.full(STAGES * LAYERS, NONE, np.int8)
        for stage, depth in enumerate(parts["d"]):
            _among(depth, (2, 3, 4), f"the depth of stage {stage}")
            for layer in range(stage * LAYERS, stage * LAYERS + depth):
                kernel = _among(parts["ks"][layer], KERNELS, f"the kernel of layer {layer}")
                expansion = _among(parts["e"][layer], EXPANSIONS, f"the expansion of layer {layer}")
                code[layer] = kernel * len(EXPANSIONS) + expansion
        return code

    def size_in(self, text: str) -> int | None:
        """The side of the images that a network as written is for, None where it does not say."""
        size = _size(_fields(known_text(text, self.name)))
        return size if type(size) is int and size > 0 else None

    def gene_name(self, gene: int) -> str:
        """The layer of a stage, both from 0."""
        return f"stage {gene // LAYERS} layer {gene % LAYERS}"

    def value_name(self, gene: int, value: int) -> str:
        """The block by expansion and kernel, or `none`."""
        return BLOCKS[value]

    # -- encodings ---------------------------------------------------------------------------------------

    def features(self, codes: Codes, encoding: str) -> NDArray[np.generic]:
        """The columns of one encoding; see the class for what they mean."""
        if encoding == "once-for-all":
            kernels = np.array([*np.repeat(KERNELS, len(EXPANSIONS)), 0])[codes]
            expansions = np.array([*np.tile(EXPANSIONS, len(KERNELS)), 0])[codes]
            depths = (codes != NONE).reshape(-1, STAGES, LAYERS).sum(axis=2)
            return np.concatenate([kernels, expansions, depths], axis=1)
        if encoding == "ofa-predictor":
            built = codes[:, :, None] != NONE
            kernel, expansion = np.divmod(codes, len(EXPANSIONS))
            kernels = (kernel[:, :, None] == np.arange(len(KERNELS))) & built
            expansions = (expansion[:, :, None] == np.arange(len(EXPANSIONS))) & built
            size = np.arange(len(RESOLUTIONS)) == np.argmin(np.abs(RESOLUTIONS - self.input_size))
            n = len(codes)
            return np.concatenate(
                [kernels.reshape(n, 60), expansions.reshape(n, 60), np.broadcast_to(size, (n, len(size)))], axis=1
            )
        return super().features(codes, encoding)


@cache
def _stages() -> tuple[tuple[tuple[int, ...], Codes], ...]:
    """For each stage, its genes and the 9^2 + 9^3 + 9^4 settings of its layers."""
    settings = np.array(list(product(range(NONE + 1), repeat=LAYERS)), np.int8)
    built = settings != NONE
    stage = settings[built[:, 0] & built[:, 1] & (built[:, 2] | ~built[:, 3])]
    return tuple((tuple(range(first, first + LAYERS)), stage) for first in range(0, STAGES * LAYERS, LAYERS))


def _fields(text: str) -> dict[str, Any]:
    """The entries of a network as Once-for-All's programs keep it in JSON, or print it in Python's notation."""
    try:
        fields = json.loads(text) if '"' in text else ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        fields = None
    if not isinstance(fields, dict):
        raise FrugalnasError(
            f'cannot read the Once-for-All network {quoted(text)}; write {{"ks": [20 kernels], "e": [20 expansions], "d": '
            f"[5 depths]}}"
        )
    return fields


def _size(fields: dict[str, Any]) -> Any:
    size = fields.get("r")
    return size[0] if isinstance(size, (list, tuple)) and len(size) == 1 else size


def _among(value: Any, choices: tuple[int, ...], what: str) -> int:
    """The place of a value among its choices."""
    if type(value) is not int or value not in choices:
        raise FrugalnasError(f"{what} is {value!r}; choose one of {', '.join(map(str, choices))}")
    return choices.index(value)
