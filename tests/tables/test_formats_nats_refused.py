"""What is no file of NATS-Bench or NAS-Bench-201, or a damaged one, is refused with the place and the reason."""

from __future__ import annotations

import bz2
import copy
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats_files import (
    CELLS,
    Collection,
    assert_same,
    collection,
    files,
    folder,
    meta,
    renamed,
    saved,
    silent,
    small,
    squeezed,
    tarred,
    whole,
    written,
)

from frugalnas.errors import FrugalnasError
from frugalnas.tables.formats.nats import read_folder, read_nasbench201, read_single, read_tar
from frugalnas.tables.store import Contents

pytestmark = pytest.mark.slow  # every damage that a field can have; test_formats_nats.py has the readers


# -- what is refused ---------------------------------------------------------------------------------------------------


def refusal(read: Callable[..., object], path: Path) -> str:
    with pytest.raises(FrugalnasError) as refused:
        read(path, silent)
    assert path.name in str(refused.value)
    return str(refused.value)


def test_folders_that_are_no_collection_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    assert "no meta.pickle.pbz2" in refusal(read_folder, folder(tmp_path, {}))
    for name, content in contents.items():
        if name != "meta.pickle.pbz2":
            (tmp_path / "NATS-tss-simple" / name).write_bytes(content)
    assert "no meta.pickle.pbz2" in refusal(read_folder, tmp_path / "NATS-tss-simple")
    (tmp_path / "only").mkdir()
    only = folder(tmp_path / "only", {"meta.pickle.pbz2": contents["meta.pickle.pbz2"]})
    assert "no results" in refusal(read_folder, only)
    assert "cannot read" in refusal(read_folder, tmp_path / "nowhere")
    with pytest.raises(FrugalnasError, match="jobs"):
        read_folder(only, silent, jobs=0)


def test_archives_that_are_no_collection_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    path = tmp_path / "nats.tar"
    assert "cannot read" in refusal(read_tar, path)
    assert "tar" in refusal(read_tar, written(path, b""))
    assert "tar" in refusal(read_tar, written(path, b"nonsense" * 500))
    assert "no meta.pickle.pbz2" in refusal(read_tar, written(path, tarred({"README.txt": b""})))
    assert "no results" in refusal(read_tar, written(path, tarred({"meta.pickle.pbz2": contents["meta.pickle.pbz2"]})))
    twice = {**contents, "again/meta.pickle.pbz2": contents["meta.pickle.pbz2"]}
    assert "twice" in refusal(read_tar, written(path, tarred(twice)))
    again = {**contents, "again/000002.pickle.pbz2": contents["000002.pickle.pbz2"]}
    assert "architecture 2 twice" in refusal(read_tar, written(path, tarred(again)))


def test_the_same_architecture_in_two_files_is_refused(tmp_path: Path) -> None:
    contents = files(collection())
    contents["2.pickle.pbz2"] = contents["000002.pickle.pbz2"]
    assert "architecture 2 twice" in refusal(read_folder, folder(tmp_path, contents))


def result_of(some: Collection, dataset: str, seed: int = 777) -> dict[str, Any]:
    return some[0]["200"]["all_results"][dataset, seed]


def swapped(some: Collection) -> None:
    """Training on all of CIFAR-10 under the name of training on half of it, and the other way round."""
    result_of(some, "cifar10")["eval_names"].append("x-valid")


def without(dataset: str, field: str, key: object) -> Callable[[Collection], None]:
    def drop(some: Collection) -> None:
        del result_of(some, dataset)[field][key]

    return drop


def changed(dataset: str, field: str, value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        result_of(some, dataset)[field] = value

    return change


def accuracy(value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        result_of(some, "cifar100")["eval_acc1es"]["x-valid@199"] = value

    return change


def moved(some: Collection) -> None:
    results = some[0]["200"]["all_results"]
    results["svhn", 777] = results.pop(("cifar10", 777))


def state_changed(key: str, value: object) -> Callable[[Collection], None]:
    def change(some: Collection) -> None:
        some[0]["200"][key] = value

    return change


def other_schedule(some: Collection) -> None:
    some[0]["90"] = some[0].pop("200")


def exchanged(some: Collection) -> None:
    some[0]["12"], some[0]["200"] = some[0]["200"], some[0]["12"]


REFUSED: list[tuple[Callable[[Collection], object], str]] = [
    (without("cifar100", "eval_acc1es", "x-test@199"), "777 that lacks its accuracy on x-test after the last epoch"),
    (without("cifar10", "train_acc1es", 199), "lacks its training accuracy after the last epoch"),
    (without("cifar10", "train_times", 3), "lacks the training time of some of its epochs"),
    (changed("cifar10", "epochs", 90), "90 epochs, where this schedule has 200"),
    (changed("cifar10", "epochs", 12), "12 epochs, where this schedule has 200"),
    (exchanged, "epochs, where this schedule has"),
    (changed("cifar10", "epochs", None), "nothing epochs"),
    (changed("cifar10", "name", "cifar10-valid"), "calls itself 'cifar10-valid'"),
    (changed("cifar10", "seed", "0888"), "gives its seed as '0888'"),
    (changed("cifar10", "eval_names", []), "no evaluations"),
    (changed("cifar10", "eval_acc1es", None), "no evaluations"),
    (changed("cifar10", "params", None), "nothing as its params"),
    (changed("cifar10", "params", 0.0), "0 million parameters"),
    (changed("cifar10", "flop", float("nan")), "nan million FLOPs"),
    (changed("cifar10", "latency", []), "where its latencies should be"),
    (changed("cifar10", "train_times", {0: 1.0}), "training time of some"),
    (changed("cifar10", "arch_config", {"arch_str": CELLS[1]}), "trained another architecture"),
    (swapped, "is evaluated on 'x-valid', where cifar10 has ori-test"),
    (moved, "has results on 'svhn'"),
    (accuracy(100.5), "accuracy on x-valid of 100.5, outside 0 to 100"),
    (accuracy(-0.5), "outside 0 to 100"),
    (accuracy(float("nan")), "nan, outside 0 to 100"),
    (accuracy("91"), "'91' as its accuracy"),
    (accuracy(True), "True as its accuracy"),
    (state_changed("arch_str", None), "nothing where arch_str should be"),
    (state_changed("arch_index", "0"), "'0' where arch_index should be"),
    (state_changed("all_results", []), "a list where all_results should be"),
    (state_changed("all_results", {}), "no results"),
    (state_changed("all_results", {"cifar10": {}}), "no dataset and seed"),
    (state_changed("all_results", {("cifar10", 777): 7}), "7, not a dict"),
    (state_changed("dataset_seed", {"cifar10": [777]}), "dataset_seed"),
    (state_changed("dataset_seed", {"cifar10": 777}), "dataset_seed"),
    (state_changed("dataset_seed", {"cifar10": [777] * 4}), "dataset_seed"),
    (other_schedule, "'90'"),
]


@pytest.mark.parametrize(("spoil", "why"), REFUSED)
def test_results_that_cannot_be_are_refused_in_every_packing(
    tmp_path: Path, spoil: Callable[[Collection], object], why: str
) -> None:
    some = small()
    spoil(some)
    assert why in refusal(read_tar, written(tmp_path / "nats.tar", tarred(files(some))))
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some))))
    assert why in said or "is not one of the states" in said


def test_architectures_that_are_not_the_lists_are_refused_with_their_count(tmp_path: Path) -> None:
    some = collection()
    for index in (0, 5):
        for one in some[index].values():
            one["arch_str"] = CELLS[index + 1]
            for result in one["all_results"].values():
                result["arch_config"]["arch_str"] = CELLS[index + 1]
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some))))
    assert "4 of 6 records" in said
    assert CELLS[0] in said


def test_files_that_hold_another_architecture_than_their_number_are_refused(tmp_path: Path) -> None:
    contents = files(collection())
    contents["000003.pickle.pbz2"] = contents.pop("000002.pickle.pbz2")
    path = folder(tmp_path, contents)
    assert "000003.pickle.pbz2 holds architecture 2" in refusal(read_folder, path)


def test_architectures_that_the_list_does_not_name_are_refused(tmp_path: Path) -> None:
    contents = {**files(collection()), "meta.pickle.pbz2": squeezed({**meta(), "meta_archs": CELLS[:4]})}
    assert "architecture 5, which meta_archs, a list of 4" in refusal(read_folder, folder(tmp_path, contents))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ([*CELLS[:-1], CELLS[0]], "1 of the 8 architectures in meta_archs occur twice"),
        ([], "no list meta_archs"),
        (None, "no list meta_archs"),
        ([*CELLS[:-1], 7], "no list meta_archs"),
    ],
)
def test_lists_of_architectures_that_cannot_be_are_refused(tmp_path: Path, names: object, why: str) -> None:
    contents = {**files(small()), "meta.pickle.pbz2": squeezed({**meta(), "meta_archs": names})}
    assert why in refusal(read_folder, folder(tmp_path, contents))
    single = squeezed({**whole(small()), "meta_archs": names})
    assert why in refusal(read_single, written(tmp_path / "nats.pickle.pbz2", single))


def test_architectures_outside_the_space_are_refused(tmp_path: Path) -> None:
    some, odd = small(), CELLS[0].replace("none", "sep_conv_3x3")
    for one in some[0].values():
        one["arch_str"] = odd
        for result in one["all_results"].values():
            del result["arch_config"]
    content = squeezed({**whole(some), "meta_archs": [odd, *CELLS[1:]]})
    said = refusal(read_single, written(tmp_path / "nats.pickle.pbz2", content))
    assert "architecture 0" in said
    assert "sep_conv_3x3" in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"evaluated_indexes": {0, 2}}, "names 2 architectures and arch2infos holds 3; 1 are in one of them only"),
        ({"evaluated_indexes": {0, 2, 5, 6}}, "1 are in one of them only"),
        ({"evaluated_indexes": None}, "lacks arch2infos or evaluated_indexes"),
        ({"arch2infos": None}, "lacks arch2infos or evaluated_indexes"),
        ({"arch2infos": {0: 7}}, "no dict of states"),
        ({"arch2infos": {0: {"200": 7}}}, "not one of the states '12' and '200'"),
        ({"arch2infos": {}, "evaluated_indexes": []}, "has no results"),
    ],
)
def test_a_pickle_of_everything_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    content = squeezed({**whole(collection()), **change})
    assert why in refusal(read_single, written(tmp_path / "nats.pickle.pbz2", content))
    path = saved(tmp_path / "v1_1.pth", {**whole(renamed(collection())), **change})
    assert why.replace("'12' and '200'", "'less' and 'full'") in refusal(read_nasbench201, path)


def test_results_under_another_index_are_refused(tmp_path: Path) -> None:
    some = collection()
    some[1] = some.pop(0)
    path = written(tmp_path / "nats.pickle.pbz2", squeezed(whole(some)))
    assert "has architecture 0 under 1" in refusal(read_single, path)


@pytest.mark.parametrize("content", [7, [], {}, "text", {"meta_archs": 1}, None])
def test_pickles_of_something_else_are_refused(tmp_path: Path, content: object) -> None:
    refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(content)))
    refusal(read_nasbench201, saved(tmp_path / "v1_1.pth", content))
    contents = {**files(small()), "000002.pickle.pbz2": squeezed(content)}
    assert "000002.pickle.pbz2" in refusal(read_folder, folder(tmp_path, contents))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = {**files(collection()), "000002.pickle.pbz2": squeezed(Evil())}
    refusal(read_folder, folder(tmp_path, contents))
    refusal(read_single, written(tmp_path / "nats.pickle.pbz2", squeezed(whole({0: {"200": Evil()}}))))
    refusal(read_nasbench201, saved(tmp_path / "v1_1.pth", whole({0: {"full": Evil()}})))
    assert not (tmp_path / "touched").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        state_changed("arch_index", "DEEP"),
        state_changed("arch_str", "DEEP"),
        state_changed("dataset_seed", {"cifar10": ["DEEP"]}),
        changed("cifar10", "name", "DEEP"),
        changed("cifar10", "seed", "DEEP"),
        changed("cifar10", "epochs", "DEEP"),
        changed("cifar10", "flop", "DEEP"),
        changed("cifar10", "eval_names", ["DEEP"]),
        changed("cifar10", "arch_config", {"arch_str": "DEEP"}),
        accuracy("DEEP"),
        lambda some: some.update({0: {"200": "DEEP"}}),
    ],
)
def test_tuples_nested_without_end_are_refused(tmp_path: Path, place: Callable[[Collection], object]) -> None:
    some = small()
    place(some)
    content = pickle.dumps(whole(some), protocol=4)
    for value in (b")" + b"\x85" * 200_000, b"\x8b" + (4000).to_bytes(4, "little") + b"\x7f" * 4000):
        deep = content.replace(b"\x8c\x04DEEP", value)
        assert deep != content
        path = written(tmp_path / "nats.pickle.pbz2", bz2.compress(deep, compresslevel=1))
        assert len(refusal(read_single, path)) < 600


def test_a_file_that_is_not_bzip2_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nats.pickle.pbz2"
    for content in (b"", b"nonsense", pickle.dumps(whole(collection())), b"BZh9" + b"x" * 100):
        refusal(read_single, written(path, content))
    assert "cannot read" in refusal(read_single, tmp_path / "nowhere.pbz2")


# -- damage ------------------------------------------------------------------------------------------------------------

DAMAGED = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("flip"), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1)),
    st.tuples(st.just("zero"), st.floats(0, 1, exclude_max=True)),
)


def damaged(content: bytes, how: tuple[str, Any]) -> bytes:
    kind, where = how
    if kind == "cut":
        return content[: int(where * len(content))]
    spoiled = bytearray(content)
    if kind == "zero":
        at = int(where * len(content)) // 512 * 512
        spoiled[at : at + 512] = bytes(len(spoiled[at : at + 512]))
    else:
        for place, bit in where:
            spoiled[int(place * len(content))] ^= 1 << bit
    return bytes(spoiled)


def assert_refused_or_same(
    read: Callable[..., list[Contents]], path: Path, named: str, undamaged: list[Contents]
) -> None:
    refused = None
    try:
        tables = read(path, silent)
    except FrugalnasError as error:
        refused = str(error)
    if refused is None:
        assert_same(tables, undamaged)
    else:
        assert named in refused


@pytest.fixture(scope="module")
def packed() -> dict[str, bytes]:
    some = {index: states for index, states in collection().items() if index != 5}
    for states in some.values():
        del states["200"]
    contents = files(some)
    return {"tar": tarred(contents), "single": squeezed(whole(some)), **contents}


@pytest.fixture(scope="module")
def undamaged(packed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> list[Contents]:
    return read_tar(written(tmp_path_factory.mktemp("tar") / "nats.tar", packed["tar"]), silent)


@given(how=DAMAGED)
def test_damaged_archives_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any]
) -> None:
    path = written(tmp_path / "nats.tar", damaged(packed["tar"], how))
    assert_refused_or_same(read_tar, path, "nats.tar", undamaged)


@given(how=DAMAGED)
def test_damaged_files_of_everything_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any]
) -> None:
    path = written(tmp_path / "nats.pickle.pbz2", damaged(packed["single"], how))
    assert_refused_or_same(read_single, path, "nats.pickle.pbz2", undamaged)


@given(how=DAMAGED, name=st.sampled_from(["000000.pickle.pbz2", "000002.pickle.pbz2", "meta.pickle.pbz2"]))
def test_damaged_files_of_a_folder_are_refused_or_read_unchanged(
    tmp_path: Path, packed: dict[str, bytes], undamaged: list[Contents], how: tuple[str, Any], name: str
) -> None:
    path = tmp_path / "simple"
    path.mkdir(exist_ok=True)
    for each in ("000000.pickle.pbz2", "000002.pickle.pbz2", "meta.pickle.pbz2"):
        (path / each).write_bytes(damaged(packed[each], how) if each == name else packed[each])
    assert_refused_or_same(read_folder, path, name, undamaged)


@given(how=DAMAGED)
def test_damage_before_compression_is_refused_or_gives_possible_tables(tmp_path: Path, how: tuple[str, Any]) -> None:
    """Whoever compresses a damaged pickle hides the damage from bzip2; what remains a possible table stays one."""
    content = damaged(pickle.dumps(whole({0: {"12": small()[0]["12"]}}), protocol=4), how)
    path = written(tmp_path / "nats.pickle.pbz2", bz2.compress(content, compresslevel=1))
    try:
        tables = read_single(path, silent)
    except FrugalnasError:
        return
    for table in tables:
        for column in table.columns:
            assert column.values.shape[0] == 1
            if column.role in ("validation", "test", "whole_test", "train"):
                assert ((column.values >= 0) & (column.values <= 100.001)).all()


def test_a_damaged_header_is_not_taken_for_the_end_of_an_archive(tmp_path: Path, packed: dict[str, bytes]) -> None:
    content = packed["tar"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        last = archive.getmembers()[-1].offset
    path = tmp_path / "nats.tar"
    for spoiled in (
        content[:last],
        content[:last] + bytes([content[last] ^ 1]) + content[last + 1 :],
        content[:last] + bytes(512) + content[last + 512 :],
        content + content,
    ):
        refusal(read_tar, written(path, spoiled))


@pytest.mark.parametrize("archive", [True, False])
def test_damaged_torch_files_are_refused(tmp_path: Path, archive: bool) -> None:
    some = {index: {"less": states["12"]} for index, states in collection().items()}
    content = saved(tmp_path / "v1_1.pth", whole(some), archive=archive).read_bytes()
    for cut in (0, 1, 100, len(content) // 2, len(content) - 100):
        refusal(read_nasbench201, written(tmp_path / "cut.pth", content[:cut]))
    if archive:
        spoiled = copy.copy(bytearray(content))
        spoiled[len(content) // 2] ^= 16
        assert "cut.pth" in refusal(read_nasbench201, written(tmp_path / "cut.pth", bytes(spoiled)))
