"""The DARTS space: cells as genotypes, as lists by edge, and as codes; which of them are the same network."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.spaces import DARTS, KNOWN, Codes, Genotype, SearchSpace, known
from frugalnas.spaces.genotype import PRIMITIVES
from frugalnas.testing import SpaceConformance

RLNAS_LISTS = {
    # RLNAS's own notes beside its genotypes.
    "RLNAS_C10": [[5, 4, 6, 0, 5, 4, 0, 0, 7, 0, 7, 6, 0, 0], [5, 6, 4, 0, 5, 0, 6, 0, 4, 0, 1, 5, 0, 0]],
    "RLNAS_IN_free": [[4, 4, 0, 4, 4, 4, 5, 0, 0, 4, 4, 0, 0, 0], [4, 4, 5, 0, 4, 5, 0, 5, 0, 0, 0, 4, 0, 4]],
    "RLNAS_IN_600M": [[4, 4, 0, 3, 4, 0, 4, 4, 0, 3, 0, 0, 0, 4], [4, 1, 4, 3, 0, 4, 6, 0, 0, 3, 4, 0, 0, 0]],
}


class Priced(DARTS):
    """With made-up costs, so that no module has to be built: those of an operation on the cell's inputs or its nodes."""

    def costs(self, quantity):
        rng = np.random.default_rng(len(quantity))
        prices = rng.integers(1, 10**6, size=(2, 2, 8)).astype(np.float64)
        prices[:, :, 0] = 0
        table = np.empty((16, 40))
        for gene in range(16):
            for value in range(40):
                table[gene, value] = prices[gene // 8, int(value // 8 >= 2), value % 8]
        return 10_000.0, table


class TestDARTS(SpaceConformance):
    draws, brute_force = 60, 1

    def make(self) -> SearchSpace:
        return Priced()


@pytest.mark.slow
class TestDARTSWithNoneAndWithoutDuplicates(SpaceConformance):
    draws, brute_force = 60, 1

    def make(self) -> SearchSpace:
        return Priced(none=True, duplicates=False)


@pytest.mark.slow
class TestRestrictedDARTSInABand(SpaceConformance):
    draws, brute_force = 30, 1

    def make(self) -> SearchSpace:
        return Priced(duplicates=False).restrict(np.tile(np.arange(40) % 8 > 2, (16, 1))).where("macs>=6e6,macs<=7e6")


def test_sizes():
    assert DARTS().size == 83_013_134_400**2
    assert DARTS(duplicates=False).size == (2**4 * 180 * 7**8) ** 2


def test_genes_of_the_published_cell():
    code = DARTS().parse("RelativeNAS")
    assert code[:4].tolist() == [0 * 8 + 4, 1 * 8 + 7, 1 * 8 + 4, 1 * 8 + 4]
    assert DARTS().genotype(code) == known("RelativeNAS").genotype


@pytest.mark.parametrize("name", RLNAS_LISTS)
def test_lists_by_edge_are_the_published_genotypes(name):
    space, lists = DARTS(), RLNAS_LISTS[name]
    code = space.parse(name)
    assert space.edge_lists(code) == lists
    for text in (str(lists), json.dumps([*lists[0], *lists[1]]), str(tuple(map(tuple, lists)))):
        np.testing.assert_array_equal(space.parse(text), code)


def test_one_list_by_edge_stands_for_both_cells():
    code = DARTS().parse(str(RLNAS_LISTS["RLNAS_C10"][0]))
    np.testing.assert_array_equal(code[:8], code[8:])


def test_lists_by_edge_refuse_what_they_cannot_say():
    space = DARTS()
    with pytest.raises(FrugalnasError, match="node 3 of the normal cell does not have two operations on two states"):
        space.edge_lists(space.parse("RelativeNAS"))
    with pytest.raises(FrugalnasError, match="node 2 of the normal cell has 1 operations"):
        space.parse(str([[0, *RLNAS_LISTS["RLNAS_C10"][0][1:]], RLNAS_LISTS["RLNAS_C10"][1]]))
    with pytest.raises(FrugalnasError, match=r"edge 0 -> 2 of the normal cell has the operation 8; .* from 0 to 7"):
        space.parse(str([[8, *RLNAS_LISTS["RLNAS_C10"][0][1:]], RLNAS_LISTS["RLNAS_C10"][1]]))
    with pytest.raises(FrugalnasError, match="not 13"):
        space.parse(str([0] * 13))


@pytest.mark.parametrize("name", [name for name, each in KNOWN.items() if each.space == "darts"])
def test_known_cells_are_read_in_every_notation(name):
    genotype = known(name).genotype
    assert Genotype.parse(str(genotype)) == genotype
    assert Genotype.parse(json.dumps(genotype.to_json())) == genotype
    if not known(name).searchable:
        with pytest.raises(FrugalnasError, match="5 nodes"):
            DARTS().parse(name)
        return
    space = DARTS(**known(name).options)
    np.testing.assert_array_equal(space.parse(name.lower()), space.code(genotype))


def test_python_s_way_to_print_a_genotype_is_read():
    pairs = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    expected = DARTS().code(Genotype(tuple(pairs), (2, 3, 4, 5), tuple(pairs), (2, 3, 4, 5)))
    for text in (
        f"Genotype(normal={pairs}, normal_concat=range(2, 6), reduce={pairs}, reduce_concat=range(2, 6))",
        f"Genotype(normal={pairs}, normal_concat=[2, 3, 4, 5], reduce={pairs}, reduce_concat=[2, 3, 4, 5])",
        f"Genotype({pairs}, list(range(2, 6)), {pairs}, range(2, 6))",
        json.dumps({"normal": pairs, "reduce": pairs}),
    ):
        np.testing.assert_array_equal(DARTS().parse(text), expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "('sep_conv_3x3', 0)",
            "('sep_conv_9x9', 0)",
            "node 2 of the normal cell has the operation 'sep_conv_9x9'; choose",
        ),
        (
            "('sep_conv_3x3', 0)",
            "('sep_conv_7x7', 0)",
            "node 2 of the normal cell .*DARTS space lacks; choose one of none",
        ),
        ("('sep_conv_3x3', 0)", "('sep_conv_3x3', 2)", "node 2 of the normal cell reads state 2; it can read 0 to 1"),
        (
            "('sep_conv_3x3', 0)",
            "('none', 0)",
            r"node 2 of the normal cell has the operation 'none'; darts\(none=True\)",
        ),
        ("('sep_conv_3x3', 0)", "('sep_conv_3x3', 0.5)", "write pairs such as"),
        ("('sep_conv_3x3', 0)", "__import__('os').getcwd()", "cannot read the genotype"),
        ("normal_concat=range(2, 6)", "normal_concat=range(2, 5)", r"the normal cell joins the states \[2, 3, 4\]"),
        ("normal_concat=range(2, 6)", "normal_concat=[2, 3, 4, 9]", "choose distinct ones from 0 to 5"),
        ("reduce=", "normals=", "a genotype has no 'normals'"),
        ("Genotype(", "Genotypes(", "Genotype"),
    ],
)
def test_wrong_genotypes_are_refused_with_the_place(old, new, message):
    pairs = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    text = f"Genotype(normal={pairs}, normal_concat=range(2, 6), reduce={pairs}, reduce_concat=range(2, 6))"
    with pytest.raises(FrugalnasError, match=message):
        DARTS().parse(text.replace(old, new, 1))


def test_options_decide_what_is_read():
    with pytest.raises(FrugalnasError, match="node 3 of the normal cell uses state 1 twice"):
        DARTS(duplicates=False).parse("RelativeNAS")
    with pytest.raises(FrugalnasError, match="mobilenet"):
        DARTS().parse("RLNAS_mobile")
    with pytest.raises(FrugalnasError, match="did you mean 'PDARTS'"):
        DARTS().parse("PDART")


def test_sizes_of_networks_follow_the_macro_structure():
    space = DARTS(width=10)
    assert (space.width, space.layers, space.input_size, space.classes) == (10, 20, 32, 10)
    wide = space.with_options(width=45)
    assert (wide.width, wide.layers, wide.macro) == (45, 20, "cifar")
    large = space.with_options(macro="imagenet", classes=100)
    assert (large.width, large.layers, large.input_size, large.classes) == (48, 14, 224, 100)
    with pytest.raises(FrugalnasError, match="width of darts is 0"):
        DARTS(width=0)
    with pytest.raises(FrugalnasError, match="unknown macro-structure"):
        DARTS(macro="imagnet")


# -- the same network --------------------------------------------------------------------------------------------


def swapped_inputs(code: Codes) -> Codes:
    return code.reshape(8, 2)[:, ::-1].ravel()


def test_the_order_of_a_node_s_inputs_does_not_count():
    space = DARTS()
    codes = space.sample(50, np.random.default_rng(0))
    other = np.array([swapped_inputs(code) for code in codes])
    np.testing.assert_array_equal(space.canonical(codes), space.canonical(other))
    np.testing.assert_array_equal(space.encode(codes), space.encode(other))


def test_the_names_of_nodes_do_not_count():
    first = "Genotype(normal=[{0}, {1}, {2}], normal_concat=range(2, 6), reduce=[{3}], reduce_concat=range(2, 6))"
    reduce = str([("skip_connect", 0), ("skip_connect", 1)] * 4)[1:-1]
    a, b = "('sep_conv_3x3', 0), ('max_pool_3x3', 1)", "('dil_conv_5x5', 0), ('dil_conv_5x5', 0)"
    last = "('skip_connect', {0}), ('sep_conv_5x5', 0), ('avg_pool_3x3', {1}), ('sep_conv_5x5', 4)"
    one = DARTS().parse(first.format(a, b, last.format(2, 3), reduce))
    two = DARTS().parse(first.format(b, a, last.format(3, 2), reduce))
    assert (one != two).any()
    assert DARTS().network_ids(one[None]) == DARTS().network_ids(two[None])
    three = DARTS().parse(first.format(b, a, last.format(2, 2), reduce))
    assert DARTS().network_ids(one[None]) != DARTS().network_ids(three[None])


def test_canonical_codes_are_the_least_of_all_spellings():
    """Against a search through all orders of nodes and inputs of one cell."""
    space = DARTS()
    for code in space.sample(12, np.random.default_rng(1)):
        least = space.canonical(code[None])[0].tolist()
        for cell in (code[:8].tolist(), code[8:].tolist()):
            seen, todo = {tuple(cell)}, [tuple(cell)]
            while todo:
                new = set(spellings_next_to(todo.pop())) - seen
                seen |= new
                todo += new
            assert min(seen) == tuple(least[:8] if cell == code[:8].tolist() else least[8:])


def spellings_next_to(cell: tuple[int, ...]):
    """The inputs of one node exchanged, or two neighbouring nodes of which the later does not read the other."""
    for at in range(0, 8, 2):
        yield (*cell[:at], cell[at + 1], cell[at], *cell[at + 2 :])
    for at in range(0, 6, 2):
        state = 2 + at // 2
        if state not in (cell[at + 2] // 8, cell[at + 3] // 8):
            exchanged = (*cell[:at], *cell[at + 2 : at + 4], *cell[at : at + 2], *cell[at + 4 :])
            names = {state: state + 1, state + 1: state}
            yield tuple(names.get(value // 8, value // 8) * 8 + value % 8 for value in exchanged)


def test_what_none_reads_does_not_count():
    space = DARTS(none=True)
    code = space.parse("SSNENAS")
    place = np.flatnonzero(code % 8 == PRIMITIVES.index("none"))
    other = code.copy()
    other[place] = 8 * (other[place] < 8)
    assert (other != code).any()
    np.testing.assert_array_equal(space.canonical(other[None]), space.canonical(code[None]))


def test_renaming_keeps_costs():
    space = Priced()
    codes = space.sample(100, np.random.default_rng(2))
    np.testing.assert_array_equal(space.count("macs", space.canonical(codes)), space.count("macs", codes))


def test_graphs_show_both_cells():
    space = DARTS()
    graphs = space.graphs(space.parse("DARTS_V2")[None])
    names = [graphs.names[operation] for operation in graphs.operations[0]]
    assert names[:5] == ["c_{k-2}", "c_{k-1}", "sep conv 3x3", "sep conv 3x3", "sum"]
    assert names[14] == names[29] == "output"
    adjacency = graphs.adjacency[0]
    assert adjacency[0, 2]
    assert adjacency[1, 3]
    assert adjacency[:, 14].sum() == 4
    assert adjacency[14, [15, 16]].all()
