"""The angle: against weights concatenated path by path, against published numbers, and its largest value."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks.weightless import weightless
from frugalnas.scores import (
    RULES,
    Angle,
    AngleRule,
    AngleTable,
    Weighting,
    angle_table,
    largest_angle,
    rule_for,
    tensor_names,
    triples,
)
from frugalnas.scores.live_paths import LivePaths
from frugalnas.spaces import (
    DARTS,
    Codes,
    FactoredSpace,
    FairNAS,
    MobileNet,
    NASBench201,
    OnceForAll,
    SearchSpace,
)
from frugalnas.supernets import Supernet, supernet_of

SPACES: dict[str, SearchSpace] = {
    "nasbench201": NASBench201(width=3, cells=2, input_size=8, classes=4),
    "darts": DARTS(width=4, layers=4, input_size=16, classes=4, none=True),
    "darts-imagenet": DARTS(macro="imagenet", width=4, layers=3, input_size=64, classes=3, none=True),
    "mobilenet": MobileNet(width=0.125, input_size=33, classes=5),
    "fairnas": FairNAS(width=0.125, input_size=33, classes=5),
    "once-for-all": OnceForAll(width=0.125, input_size=33, classes=3).restrict(
        [[v in (0, 4, 9) for v in range(10)]] * 20
    ),
}
CASES = [
    *(("default", space) for space in ("nasbench201", "darts", "mobilenet", "once-for-all")),
    *(("rlnas-nasbench201", "nasbench201"), ("abs-nasbench201", "nasbench201")),
    *(("rlnas-darts-cifar10", "darts"), ("rlnas-darts-imagenet", "darts-imagenet"), ("abs-darts", "darts")),
    *(("rlnas-mobilenet", "mobilenet"), ("abs-mobilenet", "mobilenet"), ("abs-mobilenet", "fairnas")),
]


Weights = dict[str, Tensor]


@cache
def trained(space: str) -> tuple[Supernet, Weights, Weights]:
    """A supernet, and its weights before and after a made-up training that moves all of them."""
    torch.manual_seed(0)
    supernet = supernet_of(SPACES[space])
    before = {name: each.detach() + 0.05 * torch.randn_like(each) for name, each in supernet.named_parameters()}
    after = {name: each * 0.7 + each.std() * torch.rand(1) * torch.randn_like(each) for name, each in before.items()}
    return supernet, before, after


def some_codes(space: SearchSpace) -> Codes:
    codes = space.sample(25, np.random.default_rng(1))
    if isinstance(space, NASBench201):
        extremes = np.array([[0] * 6, [1] * 6, [3] * 6, [0, 3, 3, 0, 3, 0], [3, 0, 0, 0, 0, 3]], np.int8)
        return np.concatenate([codes, extremes])
    if isinstance(space, DARTS):  # one state used twice, by one operation too; nothing that lives
        codes[0, :2] = codes[0, 8:10] = 4
        codes[1, 6:8] = 2 * 8 + 5
        codes[2] = 0
    return codes


# -- an independent reading of what the programs concatenate -----------------------------------------------------------

Pair = tuple[Tensor, Tensor]


@cache
def tensors(space: str, name: str, kind: type, *leaves: str) -> list[Pair]:
    """Of all modules of a kind inside the named one: before and after."""
    supernet, *weights = trained(space)
    inside = [
        module for module, each in supernet.get_submodule(name).named_modules(prefix=name) if isinstance(each, kind)
    ]
    names = [f"{module}.{leaf}" for module in inside for leaf in leaves if f"{module}.{leaf}" in weights[0]]
    return [(weights[0][each].double(), weights[1][each].double()) for each in names]


def convs(space: str, name: str) -> list[Pair]:
    return tensors(space, name, nn.Conv2d, "weight")


def norms(space: str, name: str) -> list[Pair]:
    return tensors(space, name, nn.BatchNorm2d, "weight", "bias")


def linears(space: str, name: str, bias: bool) -> list[Pair]:
    return tensors(space, name, nn.Linear, *(("weight", "bias") if bias else ("weight",)))


def pool(channels: int) -> list[Pair]:
    kernel = torch.full((channels, 3, 3), 1 / 9, dtype=torch.float64)
    return [(kernel, kernel)]


def eye(channels: int) -> list[Pair]:
    return [(torch.eye(channels, dtype=torch.float64),) * 2]


def nasbench201_parts(rule: str, space: str, code: Codes) -> list[Pair] | None:
    fixed: list[Pair] = []
    searched = []
    others = ["stem", "lastact", "classifier"]
    for name, cell in trained(space)[0].cells.named_children():  # type: ignore[union-attr, operator]
        (searched if hasattr(cell, "edges") else others).append(f"cells.{name}")
    for name in others:
        fixed += convs(space, name) + linears(space, name, bias=True) + norms(space, name)
    width = SPACES[space].width
    parts, alive = [], False
    for path in ([3], [1, 5], [0, 2, 5], [0, 4]):
        if any(code[edge] == 0 for edge in path):
            continue
        alive = True
        for place, cell in enumerate(searched):
            for edge in path:
                if code[edge] in (2, 3):
                    parts += convs(space, f"{cell}.edges.{edge}.{code[edge]}")
                if code[edge] == 4:
                    channels = width * 2 ** (place // SPACES[space].cells)
                    parts += pool(channels)
    return None if rule.startswith("rlnas") and not alive else fixed + parts


def paths_into(node: int, edges: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    if node < 2:
        return [[]]
    return [[*path, edge] for edge in edges if edge[1] == node and edge[2] for path in paths_into(edge[0], edges)]


def darts_parts(rule: str, space: str, code: Codes) -> list[Pair]:
    rlnas = rule.startswith("rlnas")
    parts: list[Pair] = []
    for name, _ in trained(space)[0].named_children():
        if name.startswith("stem"):
            parts += convs(space, name) + (norms(space, name) if rlnas else [])
        if name == "classifier":
            parts += linears(space, name, bias=rule == "rlnas-darts-imagenet")
    layers = SPACES[space].layers
    channels = SPACES[space].width
    for layer in range(layers):
        reduction = layer in (layers // 3, 2 * layers // 3)
        channels *= 2 if reduction else 1
        for name in ("preprocess0", "preprocess1"):
            here = space, f"cells.{layer}.{name}"
            parts += convs(*here) + (norms(*here) if rlnas else [])
        half = code[8:] if reduction else code[:8]
        edges = [(int(value) // 8, 2 + gene // 2, int(value) % 8) for gene, value in enumerate(half)]
        for end in (5,) if rule == "abs-darts" else (2, 3, 4, 5):
            for path in paths_into(end, edges):
                for source, node, op in path:
                    number = [0, 2, 5, 9][node - 2] + source
                    here = space, f"cells.{layer}.edges.{number}.{op}"
                    if op in (1, 2):
                        parts += pool(channels) + (norms(*here) if rlnas else [])
                    if op == 3 and reduction and source < 2:
                        parts += [] if rule == "abs-darts" else convs(*here)
                        parts += norms(*here) if rlnas else []
                    elif op == 3 and rlnas:
                        parts += eye(channels)
                    if op >= 4:
                        parts += convs(*here)
                    if op in (4, 5) and rlnas:
                        parts += norms(*here)
                    if op in (6, 7) and rlnas:
                        gamma, _ = norms(*here)
                        parts += [gamma, gamma]
    return parts


def chain_parts(rule: str, space: str, code: Codes) -> list[Pair]:
    choices = {choice.genes[0]: choice for choice in trained(space)[0].choices()}
    inside = {
        id(each) for choice in choices.values() for each in trained(space)[0].get_submodule(choice.prefix).modules()
    }
    parts: list[Pair] = []
    for name, module in trained(space)[0].named_modules():
        if id(module) not in inside and isinstance(module, nn.Conv2d | nn.Linear):
            parts += tensors(space, name, type(module), "weight")
    for gene, value in enumerate(code):
        choice = choices[gene, int(value)]
        parts += convs(space, choice.prefix)
        if rule == "rlnas-mobilenet":
            parts += norms(space, choice.prefix)[:4] if value < 6 else eye(choice.channels)
    return parts


def live_genes(space: str, code: Codes) -> set[int]:
    """The genes on any path from a cell's input to its output."""
    if space == "nasbench201":
        paths = ([3], [1, 5], [0, 2, 5], [0, 4])
        return {edge for path in paths if all(code[edge] for edge in path) for edge in path}
    if not space.startswith("darts"):
        return set(range(len(code)))
    live = set()
    for first in (0, 8):
        edges = [(int(value) // 8, 2 + gene // 2, int(value) % 8) for gene, value in enumerate(code[first : first + 8])]
        numbered = [(source, node, op and gene + 1) for gene, (source, node, op) in enumerate(edges)]
        live |= {first + gene - 1 for end in range(2, 6) for path in paths_into(end, numbered) for *_, gene in path}
    return live


@cache
def shared(space: str) -> list[Pair]:
    """The base weights of what every architecture has, as if they had stayed."""
    supernet, before, _ = trained(space)
    prefixes = tuple(f"{choice.prefix}." for choice in supernet.choices())
    return [(each.double(),) * 2 for name, each in before.items() if not name.startswith(prefixes)]


def default_parts(space: str, code: Codes) -> list[Pair]:
    """What all share stands still; every live choice turns once; poolings stand still with a third of their channels."""
    parts = [*shared(space)]
    live = {(gene, int(code[gene])) for gene in live_genes(space, code)}
    for choice in trained(space)[0].choices():
        for _ in live.intersection(choice.genes):
            parts += convs(space, choice.prefix) + linears(space, choice.prefix, bias=False)
            if "pool" in choice.operation:
                parts.append((torch.full((choice.channels,), 3**-0.5, dtype=torch.float64),) * 2)
    return parts


def naive_angle(rule: str, space: str, code: Codes) -> float:
    if rule == "default":
        return angle_between(default_parts(space, code))
    reading = {"nasbench201": nasbench201_parts, "darts": darts_parts, "darts-imagenet": darts_parts}
    parts = reading.get(space, chain_parts)(rule, space, code)
    return 0.0 if parts is None else angle_between(parts)


def angle_between(parts: list[Pair]) -> float:
    before, after = (torch.cat([tensor.flatten() for tensor in side]) for side in zip(*parts, strict=True))
    return float(torch.arccos((before @ after / (before.norm() * after.norm())).clamp(-1, 1)))


def table_of(rule: str, space: str) -> AngleTable:
    supernet, before, after = trained(space)
    return angle_table(supernet, triples(tensor_names(supernet), before, after), rule_for(SPACES[space], rule))


@pytest.mark.typical("*-nasbench201", "abs-darts-darts", "default-once-for-all")
@pytest.mark.parametrize(("rule", "space"), CASES)
def test_the_angle_is_that_of_the_concatenated_weights(rule: str, space: str) -> None:
    codes = some_codes(SPACES[space])
    naive = np.array([naive_angle(rule, space, code) for code in codes])
    angles = Angle(SPACES[space], table_of(rule, space))(codes)
    assert naive.max() > 0.3
    assert len(np.unique(angles)) > 15
    turned = naive > 1e-3  # below, the cosine's last bits decide
    np.testing.assert_allclose(angles[turned], naive[turned], atol=1e-10, rtol=0)
    np.testing.assert_allclose(angles[~turned], 0, atol=1e-7)


def test_every_rule_is_compared_with_its_concatenation() -> None:
    assert {rule for rule, _ in CASES} == set(RULES)


# -- known numbers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper_size() -> tuple[AngleTable, AngleTable]:
    """RLNAS's and ABS's tables for NAS-Bench-201 with the sizes of the papers."""
    torch.manual_seed(0)
    space = NASBench201(width=16, cells=5, classes=10)
    before, after = supernet_of(space), supernet_of(space)
    sums = triples(tensor_names(before), before.state_dict(), after.state_dict())
    rlnas, abs_ = (
        angle_table(before, sums, rule_for(space, name)) for name in ("rlnas-nasbench201", "abs-nasbench201")
    )
    return rlnas, abs_


def test_norms_of_nasbench201s_choices(paper_size) -> None:
    table, _ = paper_size
    np.testing.assert_allclose(table.table[:, 4], 560 / 9)
    assert not table.table[:, :2].any()
    # Of a convolution that PyTorch initialises the squared norm is a third of its channels, whatever its kernel.
    np.testing.assert_allclose(table.table[:, 2:4, 1:], 560 / 3, rtol=0.05)


def test_a_cell_without_live_path_has_no_angle_or_that_of_the_fixed_parts(paper_size) -> None:
    rlnas, abs_ = paper_size
    codes = NASBench201().enumerate()
    dead = ~rlnas.multiplicity(codes).any(axis=1)
    assert dead.sum() == 341
    assert (rlnas.angles(codes)[dead] == 0).all()
    assert (rlnas.angles(codes)[~dead] == abs_.angles(codes)[~dead]).all()
    fixed = abs_.fixed
    np.testing.assert_allclose(abs_.angles(codes)[dead], np.arccos(fixed[0] / np.sqrt(fixed[1] * fixed[2])), atol=1e-12)


@pytest.mark.slow
def test_a_supernet_without_weights_is_enough(paper_size) -> None:
    space = NASBench201(width=16, cells=5, classes=10)
    torch.manual_seed(0)
    before, after = supernet_of(space), supernet_of(space)
    with weightless():
        shapes = supernet_of(space)
    sums = triples(tensor_names(shapes), before.state_dict(), after.state_dict())
    table = angle_table(shapes, sums, RULES["abs-nasbench201"])
    assert (table.table == paper_size[1].table).all()


def test_equal_weight_vectors_have_equal_angles(paper_size) -> None:
    table, _ = paper_size
    assert len(np.unique(table.angles(NASBench201().enumerate()))) == 3850


def test_multiplicities_of_nasbench201(paper_size) -> None:
    table, _ = paper_size
    codes = np.array([[3] * 6, [1, 0, 0, 0, 1, 0]], np.int8)
    assert table.multiplicity(codes).tolist() == [[2, 1, 1, 1, 1, 2], [1, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize(("ends", "paths"), [((5,), 16), ((2, 3, 4, 5), 30)])
def test_paths_through_a_cell_with_all_fourteen_edges(ends: tuple[int, ...], paths: int) -> None:
    edges = [(source, node) for node in range(2, 6) for source in range(node)]
    graph = LivePaths(6, np.array([[s] for s, _ in edges]), tuple(node for _, node in edges), (0, 1), ends)
    through = graph.through(np.zeros((1, 14), np.int8))[:, 0]
    first = [source < 2 for source, _ in edges]
    assert through[first].sum() == paths


# -- rules and triples -------------------------------------------------------------------------------------------------


def test_a_rule_of_ones_own() -> None:
    rule = AngleRule("batch norms alone, once a choice", (("*/norm*", 1.0),), repeated=False)
    supernet, before, after = trained("darts")
    names = tensor_names(supernet)
    sums = triples(names, before, after)
    table = angle_table(supernet, sums, rule)
    assert table.multiplicity(some_codes(supernet.space)).max() == 1
    fixed = [".bn." in name or "stem.1" in name or ".op.2" in name for name in names]
    outside = [".edges." not in name for name in names]
    np.testing.assert_allclose(table.fixed, sums[np.logical_and(fixed, outside)].sum(axis=0))


def test_a_rule_for_other_spaces_is_refused() -> None:
    with pytest.raises(
        FrugalnasError, match=r"'abs-darts' is for darts, not for mobilenet; choose one of: default, rlnas-mob"
    ):
        rule_for(MobileNet(), "abs-darts")
    with pytest.raises(FrugalnasError, match="unknown angle rule 'rlnas-mobile'; did you mean 'rlnas-mobilenet'"):
        rule_for(MobileNet(), "rlnas-mobile")
    assert rule_for(DARTS()) is RULES["default"]


def test_triples_are_sums_in_float64_whatever_the_weights_are() -> None:
    one = {"a": torch.full((1000, 1000), 0.1, dtype=torch.bfloat16), "b": torch.tensor([3.0, 4.0]), "c": torch.ones(2)}
    other = {"a": -one["a"], "b": torch.tensor([4.0, -3.0], dtype=torch.float64)}
    exact = float(one["a"][0, 0]) ** 2 * 1e6
    np.testing.assert_allclose(triples(["b", "a"], one, other), [[0, 25, 25], [-exact, exact, exact]], rtol=1e-13)
    assert triples([], one, other).shape == (0, 3)


def test_weights_that_do_not_belong_together_are_refused() -> None:
    supernet, weights, _ = trained("nasbench201")
    names = tensor_names(supernet)
    wider = supernet_of(NASBench201(width=4, cells=2, input_size=8, classes=4)).state_dict()
    with pytest.raises(
        FrugalnasError, match=r"shape \[3, 3, 3, 3\] in the base weights and \[4, 3, 3, 3\] in the trained"
    ):
        triples(names, weights, wider)
    with pytest.raises(FrugalnasError, match="the trained weights have no 'cells"):
        triples(names, weights, {name: each for name, each in weights.items() if "edges" not in name})
    with pytest.raises(FrugalnasError, match=r"triples of this supernet have shape \[\d+, 3\], not \[4, 3\]"):
        angle_table(supernet, np.ones((4, 3)), RULES["default"])
    with pytest.raises(FrugalnasError, match=r"of another space than darts"):
        Angle(SPACES["darts"], table_of("default", "nasbench201"))
    with pytest.raises(FrugalnasError, match=r"codes to score have shape \[n, 6\], not \[1, 16\]"):
        table_of("default", "nasbench201").angles(SPACES["darts"].sample(1, np.random.default_rng(0)))


def test_weights_that_are_not_finite_have_no_angle() -> None:
    supernet, _, _ = trained("darts")
    sums = np.ones((len(tensor_names(supernet)), 3))
    weighting = Weighting(supernet, RULES["abs-darts"])
    sums[weighting.names.index("classifier.bias")] = np.nan
    weighting.table(sums)  # it does not count
    sums[weighting.names.index("classifier.weight")] = np.nan
    with pytest.raises(FrugalnasError, match=r"the weights of classifier.weight are not finite"):
        weighting.table(sums)


@pytest.mark.slow
def test_weights_that_stayed_have_no_angle_and_opposite_ones_the_largest() -> None:
    supernet, weights, _ = trained("mobilenet")
    codes = some_codes(supernet.space)
    for sign, angle in ((1, 0.0), (-1, np.pi), (0, 0.0)):
        sums = triples(tensor_names(supernet), weights, {name: sign * each for name, each in weights.items()})
        np.testing.assert_allclose(angle_table(supernet, sums, RULES["abs-mobilenet"]).angles(codes), angle, atol=1e-6)


def test_scoring_never_imports_torch(python) -> None:
    call = (
        "import sys, numpy as np\nfrom frugalnas.scores import Angle, AngleTable\nfrom frugalnas.spaces import NASBench201\n"
        "angle = Angle(NASBench201(), AngleTable(np.ones(3), np.ones((6, 5, 3))))\n"
        "assert angle(NASBench201().enumerate()).shape == (15625,)\nprint('torch' in sys.modules)"
    )
    said = python("-c", call).end()
    assert said.out.split() == ["False"], said.err


# -- the largest angle -------------------------------------------------------------------------------------------------


class Additive(FactoredSpace):
    """Six genes of five values, of which three bind one another."""

    name = "additive"
    quantities = ("macs", "params")

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.allowed = rng.random((6, 5)) < 0.9
        self.allowed[:, 0] = True
        combinations = np.stack(np.unravel_index(np.arange(125), (5, 5, 5)), axis=1).astype(np.int8)
        self.joint = (((1, 2, 3), combinations[combinations[:, 2] <= combinations[:, 1]]),)
        self.tables = {quantity: (float(rng.random()), rng.random((6, 5))) for quantity in self.quantities}

    def costs(self, quantity: str) -> tuple[float, np.ndarray]:
        return self.tables[quantity]

    def format(self, code: Codes) -> str:
        return " ".join(map(str, code))

    def parse(self, text: str) -> Codes:
        return np.array(text.split(), np.int8)


def made_up_table(space: SearchSpace, seed: int, cosine: float, spread: float) -> AngleTable:
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.1, 10, space.allowed.shape)
    after = before * np.exp(rng.normal(0, spread, before.shape))
    dot = (cosine + rng.normal(0, 0.05, before.shape)) * np.sqrt(before * after)
    return AngleTable(np.array([0.1, 2.0, 1.0]), np.stack([dot, before, after], axis=-1))


LIMITS = ["", "macs<={a}", "macs<={a},macs>={b},params>={c}"]


@pytest.mark.typical("0.3-macs<={a}", "-0.3-*{c}", "0.0-")
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("cosine", [0.3, 0.0, -0.3])
def test_the_largest_angle_is_that_of_the_listed_space(limits: str, cosine: float, monkeypatch) -> None:
    for seed in range(8):
        space = Additive(seed)
        table = made_up_table(space, seed, cosine, spread=[0.1, 1.0][seed % 2])
        macs, params = (space.count(quantity, space.enumerate()) for quantity in ("macs", "params"))
        if limits:
            a, b, c = np.quantile(macs, 0.3), np.quantile(macs, 0.25), np.quantile(params, 0.4)
            space = space.where(limits.format(a=a, b=b, c=c))
        listed = largest_angle(table, space)
        assert listed.angle == table.angles(space.enumerate()).max()
        with monkeypatch.context() as patch:
            patch.setattr("frugalnas.spaces.base.ENUMERATION_LIMIT", 1)
            found = largest_angle(table, space)
        assert found.certified
        assert found.angle == listed.angle == table.angles(found.code[None])[0]
        assert space.valid(found.code[None]).all()


@pytest.mark.slow
def test_the_largest_angle_of_large_spaces_is_certified() -> None:
    rng = np.random.default_rng(0)
    for name, limit in (("mobilenet", "macs>={},macs<={}"), ("once-for-all", "macs<={}")):
        space = SPACES[name]
        table = table_of("default", name)
        macs = space.count("macs", space.sample(1000, rng))
        space = space.where(limit.format(*np.quantile(macs, [0.1, 0.2])))
        found = largest_angle(table, space)
        assert found.certified
        assert space.valid(found.code[None]).all()
        assert found.angle >= table.angles(space.sample(20_000, rng)).max()
        assert found.angle >= table.angles(space.neighbours(found.code[None])[0]).max()


def test_a_proof_that_is_too_long_says_what_it_knows(monkeypatch) -> None:
    space = Additive(0)
    table = made_up_table(space, 0, 0.3, 1.0)
    best = largest_angle(table, space)
    monkeypatch.setattr("frugalnas.spaces.base.ENUMERATION_LIMIT", 1)
    for size in ("BEAM", "MOST_OPEN", "FIRST_DRAWS"):
        monkeypatch.setattr(f"frugalnas.scores.maximise.{size}", 1)
    found = largest_angle(table, space)
    assert found.angle <= best.angle <= found.at_most
    assert found.certified == (found.angle == found.at_most)


def test_the_largest_angle_of_cells() -> None:
    table = table_of("default", "nasbench201")
    assert largest_angle(table, SPACES["nasbench201"]).angle == table.angles(NASBench201().enumerate()).max()
    with pytest.raises(FrugalnasError, match="largest angle of darts cannot be computed exactly"):
        largest_angle(table_of("default", "darts"), SPACES["darts"])


def test_no_largest_angle_where_there_may_be_none() -> None:
    supernet, _, _ = trained("mobilenet")
    sums = np.zeros((len(tensor_names(supernet)), 3))
    with pytest.raises(
        FrugalnasError, match="some network of mobilenet may have no weight that counts and is not zero"
    ):
        largest_angle(angle_table(supernet, sums, RULES["default"]), supernet.space)
