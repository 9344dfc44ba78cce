"""Pictures of architectures: what is in them, where the arrows go, and the files they become."""

import itertools
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyBboxPatch, PathPatch

from frugalnas.errors import FrugalnasError
from frugalnas.report.cells import draw_cell
from frugalnas.report.style import FILLS, INK, PALE, paper_style, save_figure, text_width, wrap
from frugalnas.spaces.base import Graphs, SearchSpace
from frugalnas.spaces.nasbench201 import NASBench201

pytestmark = pytest.mark.pictures

SPACE = NASBench201()
OPTIMUM = [3, 3, 3, 1, 3, 2]
LABELS = ("none", "skip", "conv 1x1", "conv 3x3", "avg pool")


class OneGraph(SearchSpace):
    """A space whose only architecture is one given graph."""

    name = "one graph"

    def __init__(self, adjacency, operations, names, notation="graph"):
        self.allowed = np.ones((1, 1), np.bool_)
        self.adjacency = np.asarray(adjacency, np.bool_)
        self.operations = np.asarray(operations)
        self.names = names
        self.notation = notation

    def graphs(self, codes):
        return Graphs(self.adjacency[None], self.operations[None], self.names)

    def format(self, code):
        return self.notation

    def parse(self, text):
        return np.zeros(1, np.int8)


class Layers(SearchSpace):
    """A chain of layers, each with four choices."""

    name = "layers"

    def __init__(self, layers):
        self.allowed = np.ones((layers, 4), np.bool_)

    def format(self, code):
        return "-".join(map(str, code))

    def parse(self, text):
        return np.array(text.split("-"), np.int8)


def random_graph(vertices, density, seed):
    """A space of one random graph in which each inner vertex is on a path from input to output."""
    rng = np.random.default_rng(seed)
    adjacency = np.triu(rng.random((vertices, vertices)) < density, 1)
    adjacency[np.arange(vertices - 1), np.arange(1, vertices)] |= ~adjacency[:, 1:].any(axis=0)
    adjacency[:-1, -1] |= ~adjacency[:-1].any(axis=1)
    operations = [3, *rng.integers(3, size=vertices - 2), 4]
    return OneGraph(adjacency, operations, ("conv", "pool", "skip", "input", "output"))


def svg_texts(figure, folder):
    svg, _ = save_figure(figure, folder / "cell")
    return [element.text for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def boxes(figure):
    """[left, bottom, right, top] of each box in figure coordinates of inches, shape [k, 4]."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    return np.array([[b.get_x(), b.get_y(), b.get_x() + b.get_width(), b.get_y() + b.get_height()] for b in found])


def heads(figure):
    """Tips of the arrows, shape [k, 2]."""
    patches = [p for p in figure.axes[0].patches if not isinstance(p, FancyBboxPatch | PathPatch)]
    return np.array([patch.get_xy()[0] for patch in patches])


def test_svg_and_png_are_written_with_all_labels_and_the_notation_as_text(tmp_path):
    figure = draw_cell(SPACE, OPTIMUM, title="the best cell")
    paths = save_figure(figure, tmp_path / "deep" / "rate-0.5")
    assert [path.name for path in paths] == ["rate-0.5.svg", "rate-0.5.png"]
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    texts = svg_texts(figure, tmp_path)
    assert [texts.count(label) for label in ("input", "output", "conv 3x3", "conv 1x1", "skip")] == [1, 1, 4, 1, 1]
    assert "the best cell" in texts
    assert "".join(text for text in texts if "~" in text) == SPACE.format(np.array(OPTIMUM, np.int8))


def test_the_same_cell_gives_the_same_bytes(tmp_path):
    first = [path.read_bytes() for path in save_figure(draw_cell(SPACE, OPTIMUM), tmp_path / "a")]
    figure = draw_cell(SPACE, OPTIMUM)
    second = [path.read_bytes() for path in save_figure(figure, tmp_path / "b")]
    again = [path.read_bytes() for path in save_figure(figure, tmp_path / "c")]
    assert first == second == again


def test_dead_operations_are_not_drawn(tmp_path):
    # Edge 2<-0 is live through 3<-2; 1<-0 leads nowhere because both edges out of node 1 are none.
    texts = svg_texts(draw_cell(SPACE, [4, 3, 0, 1, 0, 2]), tmp_path)
    assert sorted(text for text in texts if "~" not in text) == ["conv 1x1", "conv 3x3", "input", "output", "skip"]


def test_without_a_path_input_and_output_stand_alone_and_a_note_says_so(tmp_path):
    figure = draw_cell(SPACE, [3, 0, 0, 0, 0, 2])
    texts = svg_texts(figure, tmp_path)
    assert sorted(text for text in texts if "~" not in text) == ["input", "no path from input to output", "output"]
    assert not len(heads(figure))


@pytest.mark.slow
def test_fifty_random_cells_show_their_live_operations_without_warnings(recwarn):
    for code in SPACE.sample(50, np.random.default_rng(0)):
        figure = draw_cell(SPACE, code)
        adjacency = SPACE.graphs(code[None]).adjacency[0]
        reach = np.linalg.matrix_power(np.eye(8, dtype=int) + adjacency, 8) > 0
        live = np.flatnonzero(reach[0, 1:7] & reach[1:7, 7])
        shown = [text.get_text() for text in figure.axes[0].texts if text.get_text() in LABELS]
        assert sorted(shown) == sorted(LABELS[code[edge]] for edge in live)
    assert not recwarn.list


@pytest.mark.typical("0.15")
@pytest.mark.parametrize("density", [0.15, 0.4])
@settings(max_examples=12, deadline=None)
@given(vertices=st.integers(2, 16), seed=st.integers(0, 10_000))
def test_any_graph_has_boxes_apart_arrows_at_their_borders_and_everything_inside(density, vertices, seed):
    space = random_graph(vertices, density, seed)
    figure = draw_cell(space, [0])
    placed = boxes(figure)
    assert len(placed) == vertices
    for one, other in itertools.combinations(placed, 2):
        apart = max(one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3])
        assert apart > 0.05
    # Each box but the input is read into at the middle of its left side, exactly once.
    middles = np.column_stack([placed[1:, 0], (placed[1:, 1] + placed[1:, 3]) / 2])
    tips = heads(figure)
    assert len(tips) == vertices - 1
    assert np.abs(tips[:, None] - middles[None]).max(axis=2).min(axis=0).max() < 1e-9
    width, height = figure.get_size_inches()
    wires = [patch.get_path().vertices for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    points = np.concatenate([placed[:, :2], placed[:, 2:], *wires])
    assert points.min() > 0
    assert (points < [width, height]).all()


def test_wires_pass_no_box_that_they_do_not_belong_to():
    for seed in range(6):
        figure = draw_cell(random_graph(9, 0.35, seed), [0])
        # A wire may touch the borders of boxes at which it starts or ends, never their insides.
        low, high = boxes(figure)[:, None, :2] + 0.02, boxes(figure)[:, None, 2:] - 0.02
        for patch in figure.axes[0].patches:
            if isinstance(patch, PathPatch):
                points = np.concatenate(patch.get_path().interpolated(1).to_polygons(closed_only=False))
                assert not ((points > low) & (points < high)).all(axis=2).any()


def test_a_planar_cell_is_drawn_without_crossings_and_input_stands_left():
    figure = draw_cell(SPACE, [3, 3, 3, 3, 3, 3])
    placed = boxes(figure)
    assert placed[0, 2] < placed[1:, 0].min()
    assert placed[-1, 0] > placed[:-1, 2].max()
    # Vertex 5 (edge 3<-1) lies below vertex 3 (edge 2<-1), whose way to vertex 6 it would cross otherwise.
    assert placed[5, 1] < placed[3, 1]


def test_a_long_chain_goes_on_in_further_rows(tmp_path):
    figure = draw_cell(Layers(28), np.arange(28) % 4)
    width, _ = figure.get_size_inches()
    assert width < 7.2
    assert len(np.unique(boxes(figure)[:, 1].round(6))) > 1
    assert len(heads(figure)) == 29
    assert svg_texts(figure, tmp_path).count("3") == 7


def test_a_chain_with_a_shortcut_shows_the_shortcut():
    shortcut = OneGraph([[0, 1, 1], [0, 0, 1], [0, 0, 0]], [1, 0, 2], ("conv", "input", "output"))
    wires = [p for p in draw_cell(shortcut, [0]).axes[0].patches if isinstance(p, PathPatch)]
    assert sum((patch.get_path().codes == 1).sum() for patch in wires if patch.get_path().codes is not None) == 4


def test_further_inputs_count_as_inputs(tmp_path):
    adjacency = np.zeros((4, 4), np.bool_)
    adjacency[0, 3] = adjacency[1, 2] = adjacency[2, 3] = True
    two = OneGraph(adjacency, [0, 1, 2, 3], ("input 0", "input 1", "conv", "output"))
    assert {"input 0", "input 1", "conv", "output"} <= set(svg_texts(draw_cell(two, [0]), tmp_path))


def test_an_operation_has_one_colour_in_all_pictures_of_a_space():
    colours = {}
    for code in ([3, 3, 3, 1, 3, 2], [2, 0, 4, 1, 0, 3], [1] * 6):
        figure = draw_cell(SPACE, code)
        fills = [p.get_facecolor() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
        labels = [t.get_text() for t in figure.axes[0].texts if t.get_text() in (*LABELS, "input", "output")]
        for label, fill in zip(labels, fills, strict=True):
            assert colours.setdefault(label, fill) == fill
    assert len({colours[label] for label in LABELS[1:]}) == 4


def test_a_space_of_ones_own_shows_the_words_of_its_notation():
    class Layers(SearchSpace):
        name = "layers"
        allowed = np.ones((3, 2), np.bool_)

        def format(self, code):
            return "-".join(("k3e3", "skip")[value] for value in code)

        def parse(self, text):
            return np.array([("k3e3", "skip").index(word) for word in text.split("-")], np.int8)

    drawn = [text.get_text() for text in draw_cell(Layers(), [0, 1, 0]).axes[0].texts]
    assert drawn[1:] == ["input", "k3e3", "skip", "k3e3", "output"]


def test_labels_are_readable_on_every_fill():
    def luminance(colour):
        rgb = np.array(matplotlib.colors.to_rgb(colour))
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    # 4.5 is what WCAG 2.1 asks of small text.
    for fill in (*FILLS, PALE):
        assert (luminance(fill) + 0.05) / (luminance(INK) + 0.05) > 4.5


@pytest.mark.typical("notation0", "*$*", "*xfc*")
@pytest.mark.parametrize("notation", ["x" * 500, "|a~0|+" * 60, "word " * 90, "ü" * 30, "$x_1$ + $"])
def test_no_notation_overflows_the_figure(notation):
    space = OneGraph([[0, 1], [0, 0]], [0, 1], ("input", "output"), notation)
    figure = draw_cell(space, [0], title="A title that is much longer than two boxes with an arrow in between them are")
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].texts:
        extent = text.get_window_extent()
        assert min(extent.x0, extent.y0) >= 0
        assert extent.x1 <= width
        assert extent.y1 <= height


def test_wrap_keeps_every_character_but_blanks_at_the_ends():
    text = SPACE.format(np.array(OPTIMUM, np.int8))
    with paper_style():
        for inches in (0.4, 1.0, 2.0, 9.0):
            lines = wrap(text, inches, 6.0, "monospace")
            assert "".join(lines) == text
            assert max(text_width(line, 6.0, "monospace") for line in lines) <= inches
        assert wrap(text, 3.0, 6.0, "monospace")[1].startswith("|")


def test_drawing_leaves_the_settings_of_the_reader_alone(tmp_path):
    before = dict(matplotlib.rcParams.copy())
    with matplotlib.rc_context({"svg.fonttype": "path", "font.size": 30, "axes.facecolor": "red"}):
        files = [path.read_bytes() for path in save_figure(draw_cell(SPACE, OPTIMUM), tmp_path / "red")]
    assert dict(matplotlib.rcParams.copy()) == before
    assert files == [path.read_bytes() for path in save_figure(draw_cell(SPACE, OPTIMUM), tmp_path / "plain")]


def test_several_rows_are_refused_with_the_shape_that_is_meant():
    with pytest.raises(FrugalnasError, match=r"shape \[6\], not \[2, 6\]"):
        draw_cell(SPACE, np.zeros((2, 6)))
