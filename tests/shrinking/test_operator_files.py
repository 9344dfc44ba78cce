"""Files of operators: what is written is read, ABS's lists too, and what does not fit is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.scores import drawn_scores
from frugalnas.shrinking import Shrinker, Shrinking, read_operators, read_shrinking, write_operators
from frugalnas.spaces import DARTS, FairNAS, LayerSpace, MobileNet, NASBench101, NASBench201, OnceForAll, SearchSpace

SPACES = [
    NASBench101(),
    NASBench201(),
    DARTS(),
    DARTS(none=True),
    MobileNet(),
    FairNAS(),
    OnceForAll(),
    LayerSpace(name="ragged", layers=[("a",), ("a", "b"), ("c", "a", "identity")], identity="identity"),
]


@pytest.mark.parametrize(
    ("space", "by"), [*((space, "place") for space in SPACES), (DARTS(), "gene"), (DARTS(), "shared")], ids=str
)
def test_what_is_left_is_read_again(space, by, tmp_path):
    left = Shrinker(drop=4, by=by).shrink(space, drawn_scores(space, 0)) if space.name != "nasbench101" else space
    write_operators(tmp_path / "shrunk.json", left)
    np.testing.assert_array_equal(read_operators(tmp_path / "shrunk.json", space).allowed, left.allowed)


def test_a_file_is_read_by_people(tmp_path):
    space = DARTS()
    shrinking = Shrinking(space, Shrinker(by="shared", drop=20)).step(drawn_scores(space, 0))
    write_operators(tmp_path / "shrunk.json", shrinking)
    data = json.loads((tmp_path / "shrunk.json").read_text())
    assert (data["format"], data["version"], data["space"], data["by"]) == ("frugalnas-operators", 1, "darts", "shared")
    assert [place["place"] for place in data["places"]][:3] == ["0->2", "1->2", "0->3"]
    assert {each["name"]: each["id"] for place in data["places"] for each in place["operators"]}["dil_conv_5x5"] == 7
    assert sum(len(place["operators"]) for place in data["places"]) == 98 - 20
    again = read_shrinking(tmp_path / "shrunk.json", DARTS())
    assert [drop.operator for drop in again.drops] == [drop.operator for drop in shrinking.drops]


def test_how_they_came_about_is_read_by_people(tmp_path):
    space, path = NASBench201(), tmp_path / "left.json"
    write_operators(path, Shrinking(space, Shrinker(drop=2, until=1)).step(drawn_scores(space, 0)))
    (step,) = json.loads(path.read_text())["shrinking"]["steps"]
    assert [list(each) for each in step["dropped"]] == [["place", "operator"]] * 2
    assert step["dropped"][0]["place"] in space.operators().places
    assert step["size"] == str(read_operators(path, space).size)
    for row in step["scores"]["scores"]:
        assert f"{json.dumps(row)}" in path.read_text(), "numbers of an edge stand on one line"


def test_a_smaller_space_stays_small_and_limits_stay(tmp_path):
    space = NASBench201()
    write_operators(tmp_path / "shrunk.json", space.restrict(space.allowed & (np.arange(5) != 1)))
    limited = space.restrict(space.allowed & (np.arange(5) != 2)).where("params<=0.5e6")
    read = read_operators(tmp_path / "shrunk.json", limited)
    assert not read.allowed[:, 1:3].any()
    assert read.limits["where"] == "params<=500000"


# -- the lists of ABS's programs ---------------------------------------------------------------------------------------


def pickled(path, lists: object, protocol: int = 2):
    path.write_bytes(pickle.dumps(lists, protocol=protocol))
    return path


@pytest.mark.parametrize("kind", [int, np.int64, np.int32])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_lists_of_abs_are_read(kind, protocol, tmp_path):
    space = MobileNet()
    lists = [[kind(2), kind(0)] if layer % 4 == 0 else [kind(5), kind(-1)] for layer in range(21)]
    read = read_operators(pickled(tmp_path / "shrunk_search_space.pt", lists, protocol), space)
    assert read.size == 2**21
    assert [np.flatnonzero(row).tolist() for row in read.allowed[:2]] == [[0, 2], [5, 6]]
    fair = read_operators(pickled(tmp_path / "fairnas.pt", [[kind(4), kind(1)]] * 19, protocol), FairNAS())
    assert fair.size == 2**19


def test_lists_of_abs_for_darts_are_of_both_cells(tmp_path):
    lists = [[4, 5], [6, 7]] + [[0, 4]] * 11 + [[0]]
    read = read_operators(pickled(tmp_path / "shrunk.pt", lists), DARTS(none=True))
    np.testing.assert_array_equal(read.allowed[:8], read.allowed[8:])
    assert np.flatnonzero(read.allowed[0]).tolist() == [4, 5, 8 + 6, 8 + 7]
    assert np.flatnonzero(read.allowed[7]).tolist() == [4, 12, 20, 28]  # the last edge is not used


def test_lists_of_names_are_read(tmp_path):
    lists = [["nor_conv_3x3", "skip_connect"]] * 6
    assert read_operators(pickled(tmp_path / "names.pt", lists), NASBench201()).size == 2**6


# -- bad input ---------------------------------------------------------------------------------------------------------


def written(tmp_path, space: SearchSpace, change):
    write_operators(tmp_path / "it.json", space)
    data = json.loads((tmp_path / "it.json").read_text())
    change(data)
    (tmp_path / "it.json").write_text(json.dumps(data))
    return tmp_path / "it.json"


@pytest.mark.parametrize(
    ("change", "space", "said"),
    [
        (lambda data: None, FairNAS(), "it.json is of mobilenet, not of fairnas with its 19 places; choose the space"),
        (
            lambda data: data["places"][3]["operators"].append({"name": "mb9_k9", "id": 1}),
            MobileNet(),
            r"the operator 'mb9_k9' at layer 3, where 0 \(mb3_k3\), .*-1 \(identity\) may be",
        ),
        (
            lambda data: data["places"][3].update(operators=[]),
            MobileNet(),
            "no operator at layer 3 of mobilenet; list one",
        ),
        (lambda data: data.update(version=2), MobileNet(), "version 2, written by a newer frugalnas; update"),
        (
            lambda data: data["places"][3]["operators"][0].update(id=5),
            MobileNet(),
            "the operator 'mb3_k3' at layer 3 with id 5, but its id is 0",
        ),
        (
            lambda data: data["places"][3]["operators"][1].pop("id"),
            MobileNet(),
            "places, number 4: operators, number 2: id is missing",
        ),
        (lambda data: data.update(format="other"), MobileNet(), "no file of operators: its format is 'other'"),
        (lambda data: data.pop("places"), MobileNet(), "no file of operators: places is missing"),
        (
            lambda data: data["places"].pop(3),
            MobileNet(),
            "is of a space without layer 3, not of mobilenet with its 21 places",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(change, space, said, tmp_path):
    path = written(tmp_path, MobileNet(), change)
    with pytest.raises(FrugalnasError, match=said) as error:
        read_operators(path, space)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ([[0, 1]] * 19, "is of 19 layers or edges, not of mobilenet with its 21 places"),
        ([[0, 9]] * 21, "the operator '9' at layer 0"),
        ([[0, -1]] * 21, "the operator '-1' at layer 0"),
        ([[0, True]] * 21, "the operator 'True' at layer 0"),
        ([[0]] * 20 + [[]], "leaves no operator at layer 20"),
        ({"a": 1}, "no file of operators"),
        ([1, 2], "has no list of operators for each layer or edge"),
    ],
)
def test_lists_that_do_not_fit_are_refused(lists, said, tmp_path):
    with pytest.raises(FrugalnasError, match=said):
        read_operators(pickled(tmp_path / "lists.pt", lists), MobileNet())


def test_nothing_in_a_pickle_is_executed(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (print, ("executed",))

    with pytest.raises(FrugalnasError, match=r"lists.pt is no file of operators: as a pickle byte \d+"):
        read_operators(pickled(tmp_path / "lists.pt", [[Harmful()]]), MobileNet())


@pytest.mark.parametrize("text", ["hello", "[1, 2]"])
def test_what_is_neither_json_nor_a_pickle_is_no_file_of_operators(text, tmp_path):
    (tmp_path / "other").write_text(text)
    with pytest.raises(FrugalnasError, match="other is no file of operators"):
        read_operators(tmp_path / "other", MobileNet())


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(FrugalnasError, match="cannot be read"):
        read_operators(tmp_path / "nothing.json", MobileNet())


def test_a_file_without_its_story_says_so(tmp_path):
    write_operators(tmp_path / "it.json", MobileNet())
    with pytest.raises(FrugalnasError, match="does not say how its operators came about"):
        read_shrinking(tmp_path / "it.json", MobileNet())
