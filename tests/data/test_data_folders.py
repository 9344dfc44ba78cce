"""Folders as people have them: parts by many names, links of all kinds, and nothing ignored without a word."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from image_files import class_folders, picture

from frugalnas.data import Images, located
from frugalnas.data.sources import part_of
from frugalnas.errors import FrugalnasError


def sizes(data) -> dict[str, int]:
    return {name: len(part) for name, part in data.parts.items()}


def parts(root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        class_folders(root / name, {"cat": count, "dog": count}, size=(9, 9))
    return root


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("train Training TRAIN training_set Train-Images trainset train2017 train_256 images_train traindata", "train"),
        ("val valid Validation VALIDATION_SET dev eval Evaluation-data val2017 devset", "val"),
        ("test Testing test_set TEST images.test test1", "test"),
        ("cat trainer testicle valley trains evaluator devil set data images attest", None),
    ],
)
def test_parts_are_known_by_what_people_call_them(names, part):
    assert {name: part_of(name) for name in names.split()} == dict.fromkeys(names.split(), part)


@pytest.mark.parametrize(
    "names",
    [("Training", "Testing"), ("training_set", "test_set"), ("train", "testing"), ("TRAIN", "Test", "dev")],
)
def test_folders_of_parts_are_no_classes(tmp_path, names):
    data = Images(parts(tmp_path / "set", **dict(zip(names, (10, 3, 2), strict=False)))).open()
    assert data.classes == ("cat", "dog")
    assert sizes(data) == (
        {"train": 20, "val": 4, "test": 6} if len(names) == 3 else {"train": 18, "val": 2, "test": 6}
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("fold1", "fold2"), r"fold1 and .*fold2 hold the same folders \(cat, dog\)"),
        (("val", "test"), "test and .*val hold the same folders"),
        (("train", "Training"), "Training and .*train are both train images"),
        (("everything",), "only one class folder, 'everything'; give .*everything, if its folders are the classes"),
    ],
)
def test_layouts_that_say_too_little_are_refused(tmp_path, names, message):
    with pytest.raises(FrugalnasError, match=message):
        Images(parts(tmp_path / "set", **dict.fromkeys(names, 4))).open()


@pytest.mark.parametrize("inner", ["", "part_a"])
def test_parts_under_other_names_are_seen_by_what_they_hold(tmp_path, inner):
    parts(tmp_path / "set" / "part_a", **{inner: 2}) if inner else parts(tmp_path / "set", part_a=2)
    class_folders(tmp_path / "set" / "part_b", {"cat": 2, "dog": 2, "hen": 2}, size=(9, 9))
    with pytest.raises(FrugalnasError, match=r"part_a and .*part_b hold the same folders \(cat, dog\)"):
        Images(tmp_path / "set").open()


def test_classes_may_have_a_folder_of_the_same_name_inside(tmp_path):
    for name in ("n01", "n02"):
        class_folders(tmp_path / "set" / name, {"images": 10}, size=(9, 9))
    assert Images(tmp_path / "set").open().classes == ("n01", "n02")


def test_folders_with_images_that_are_not_taken_are_named(tmp_path):
    root = parts(tmp_path / "set", train=10)
    class_folders(root, {"extra": 3, "test": 2}, size=(9, 9))
    picture(np.random.default_rng(0)).save(root / "loose.png")
    picture(np.random.default_rng(0)).save(root / "train" / "cover.png")
    data = Images(root).open()
    assert sum(sizes(data).values()) == 20
    said = " | ".join(data.notes)
    for text in (
        f"{root / 'extra'}: 3 images in no part's",
        f"{root / 'test'}: 2 images in",
        f"{root}: 1 image in",
        f"{root / 'train'}: 1 image beside",
    ):
        assert text in said
    flat = class_folders(tmp_path / "flat", {"train": 5, "test": 3}, size=(9, 9))
    (flat / "train" / "labels.csv").write_text("a,b")
    data = Images(flat).open()
    assert (data.classes, sizes(data)) == ((), {"train": 5})
    said = " | ".join(data.notes)
    assert f"{flat / 'test'}: 3 images" in said
    assert "labels.csv is not read" in said


def test_each_folder_and_file_is_read_once_however_it_is_linked(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "dog": 10}, size=(9, 9))
    elsewhere = class_folders(tmp_path / "elsewhere", {"birds": 4}, size=(9, 9)) / "birds"
    plain = Images(root).open()
    (root / "cat" / "parent").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "above").symlink_to(tmp_path)
    (root / "ape").symlink_to(root / "dog")  # sorts before the real one
    (root / "cat" / "stolen.png").symlink_to(root / "dog" / "dog000.png")
    data = Images(root).open()
    assert data.fingerprint == plain.fingerprint
    (note,) = [note for note in data.notes if "not followed" in note]
    for name in ("parent", "self", "above", "ape", "stolen.png"):
        assert f"{name} leads to" in note
    (root / "bird").symlink_to(elsewhere)
    (root / "crow").mkdir()
    (root / "crow" / "again").symlink_to(elsewhere)
    with pytest.raises(FrugalnasError, match=r"crow: a class folder without images \(links .*again leads to .*bird"):
        Images(root).open()
    picture(np.random.default_rng(0), (9, 9)).save(tmp_path / "crow.png")
    for name in ("one.png", "two.png"):
        (root / "crow" / name).symlink_to(tmp_path / "crow.png")
    (root / "crow" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    data = Images(root, max_corrupt=1, split="all").open()
    assert dict(zip(data.classes, data.class_counts().tolist(), strict=True)) == {
        "bird": 4,
        "cat": 10,
        "crow": 1,
        "dog": 10,
    }
    assert any("gone.png: cannot be read" in note for note in data.notes)


def test_pipes_and_sockets_are_no_images_and_are_not_opened(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5}, size=(9, 9))
    os.mkfifo(root / "a" / "pipe.png")  # opening it would wait for ever
    monkeypatch.chdir(root / "b")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        (root / "b" / "device.jpg").symlink_to("/dev/zero")
        data = Images(root).open()
    assert sum(sizes(data).values()) == 10
    assert any("3 files of other kinds left alone" in note for note in data.notes)


@pytest.mark.parametrize("name", [b"caf\xe9", b"cat/caf\xe9.png"])
def test_names_that_are_not_utf8_are_refused_in_one_line(tmp_path, name):
    root = class_folders(tmp_path / "set", {"cat": 4, "dog": 4}, size=(9, 9))
    try:
        os.mkdir(os.fsencode(root) + b"/" + name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    if name.endswith(b"png"):
        os.rmdir(os.fsencode(root) + b"/" + name)
        os.link(root / "cat" / "cat000.png", os.fsencode(root) + b"/" + name)
    with pytest.raises(FrugalnasError, match=r"caf\\xe9.*is not UTF-8; rename it"):
        Images(root).open()


def test_a_folder_does_not_take_the_place_of_the_digits(tmp_path, monkeypatch):
    class_folders(tmp_path / "digits", {"a": 9, "b": 9}, size=(9, 9))
    monkeypatch.chdir(tmp_path)
    assert located("digits") == "digits"
    assert located("./digits") == located(tmp_path / "digits") == str(tmp_path / "digits")
    assert "your digits here is ./digits" in " | ".join(Images("digits").open().notes)
    assert Images("./digits").open().classes == ("a", "b")
