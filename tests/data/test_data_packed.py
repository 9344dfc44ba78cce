"""LMDB folders: what was packed comes back byte for byte, and RelativeNAS's own are read."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from image_files import class_folders

from frugalnas.data import Images, Loader, pack_lmdb
from frugalnas.errors import FrugalnasError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for part, count in (("train", 12), ("test", 5)):
        class_folders(tmp_path / "photos" / part, {"zebra": count, "ape": count}, size=(130, 110), suffix=".jpg")
    return tmp_path / "photos"


def everything(data) -> dict[str, tuple[torch.Tensor, list[int]]]:
    return {name: (part.read(range(len(part))), part.labels.tolist()) for name, part in data.parts.items()}


def test_a_packed_folder_is_the_same_data(photos, tmp_path):
    told = []
    packed = pack_lmdb(photos, tmp_path / "photos.lmdb", check=True, progress=lambda *at: told.append(at))
    assert packed.images == {"train": 24, "test": 10}
    assert packed.classes == ("ape", "zebra")
    assert told[-1] == (34, 34)
    plain, stored = Images(photos, input_size=100).open(), Images(tmp_path / "photos.lmdb", input_size=100).open()
    assert stored.classes == plain.classes
    for name, (images, labels) in everything(plain).items():
        assert torch.equal(everything(stored)[name][0], images)
        assert everything(stored)[name][1] == labels
    source = stored.parts["test"].source
    files = sorted((photos / "test").glob("*/*.jpg"))
    assert [source.encoded(index) for index in range(10)] == [file.read_bytes() for file in files]
    assert "ape/ape000.jpg" in source.name(0)
    pack_lmdb(tmp_path / "photos.lmdb", tmp_path / "again.lmdb")
    assert (
        Images(tmp_path / "again.lmdb", input_size=100).open().parts["test"].source.relative_name(0) == "ape/ape000.jpg"
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_lmdb_is_read_by_workers_and_after_pickling(photos, tmp_path):
    pack_lmdb(photos, tmp_path / "set")
    data = Images(tmp_path / "set", input_size=100).open()
    alone = list(Loader(data.train, batch_size=6, augmentation=data.suggested).epoch(0))
    together = list(Loader(data.train, batch_size=6, augmentation=data.suggested, workers=2).epoch(0))
    for (images, labels), (others, theirs) in zip(alone, together, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, theirs)
    copied = pickle.loads(pickle.dumps(data.train))
    assert torch.equal(copied.read([3]), data.train.read([3]))


def test_parquet_folders_can_be_packed(photos, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files = sorted((photos / "train").glob("*/*.jpg"))
    rows = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, "label": index // 12}
        for index, file in enumerate(files)
    ]
    (tmp_path / "hub").mkdir()
    for shard in range(3):
        pq.write_table(pa.Table.from_pylist(rows[shard::3]), tmp_path / "hub" / f"train-{shard:05d}-of-00003.parquet")
    pack_lmdb(tmp_path / "hub", tmp_path / "hub.lmdb")
    direct, stored = (
        Images(tmp_path / "hub", input_size=100).open(),
        Images(tmp_path / "hub.lmdb", input_size=100).open(),
    )
    assert torch.equal(direct.train.read(range(5)), stored.train.read(range(5)))
    assert direct.train.labels.tolist() == stored.train.labels.tolist()


def test_unlabelled_images_can_be_packed(tmp_path):
    flat = class_folders(tmp_path, {"images": 4}) / "images"
    pack_lmdb(flat, tmp_path / "flat.lmdb")
    assert not Images(tmp_path / "flat.lmdb").open().labelled


def test_packing_skips_what_is_unreadable_up_to_a_limit_and_leaves_nothing_half_written(photos, tmp_path):
    (photos / "train" / "ape" / "ape003.jpg").write_bytes(b"no image")
    with pytest.raises(FrugalnasError, match=r"1 unreadable image, 0 may be skipped: .*ape003.jpg"):
        pack_lmdb(photos, tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    packed = pack_lmdb(photos, tmp_path / "set", max_corrupt=1)
    assert packed.images == {"train": 23, "test": 10}
    assert "ape003.jpg" in packed.notes[-1]
    assert Images(tmp_path / "set", input_size=100).open().class_counts("train").tolist() != []
    with pytest.raises(FrugalnasError, match="exists already"):
        pack_lmdb(photos, tmp_path / "set")


def test_damage_is_refused_not_a_crash(photos, tmp_path):
    pack_lmdb(photos, tmp_path / "set")
    file = tmp_path / "set" / "data.mdb"
    whole = file.read_bytes()
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "data.mdb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrugalnasError, match="truncated"):
        Images(tmp_path / "short").open()
    jpeg = (photos / "train" / "ape" / "ape000.jpg").read_bytes()
    changed = whole.replace(jpeg[-100:-40], bytes(60))
    assert changed != whole
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "data.mdb").write_bytes(changed)
    data = Images(tmp_path / "changed", input_size=100, max_corrupt=1).open()
    (wrong,) = data.corruption.reasons.values()
    assert "checksum" in wrong
    assert not [text for part in data.parts.values() for text in part.check()]  # it is in none of them


def test_arrays_need_no_lmdb(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.zeros((4, 2, 2), dtype=np.uint8), labels=np.arange(4))
    with pytest.raises(FrugalnasError, match="in memory anyway"):
        pack_lmdb(tmp_path / "set.npz", tmp_path / "set")


# -- RelativeNAS's ------------------------------------------------------------------------------------------------------


def message(content: bytes) -> bytes:
    """MessagePack's binary of the shortest form that fits."""
    if len(content) < 2**8:
        return bytes([0xC4, len(content)]) + content
    if len(content) < 2**16:
        return b"\xc5" + len(content).to_bytes(2, "big") + content
    return b"\xc6" + len(content).to_bytes(4, "big") + content


def relativenas(photos: Path, root: Path, numbers: dict[str, int]) -> None:
    for part in ("train", "val"):
        folder = root / f"{part}_256"
        folder.mkdir(parents=True)
        names = []
        with lmdb.open(str(folder), map_size=2**24) as env, env.begin(write=True) as transaction:
            for file in sorted((photos / ("test" if part == "val" else "train")).glob("*/*.jpg"), reverse=True):
                names.append(f"{file.parent.name}/{file.name}")
                number = numbers[file.parent.name] if part == "train" else 1 - numbers[file.parent.name]
                transaction.put(names[-1].encode(), message(file.read_bytes() + number.to_bytes(2, "little")))
        (root / f"{part}_datalist.txt").write_text("\n".join(names) + "\n")


def test_relativenas_lmdbs_are_read(photos, tmp_path):
    # The class numbers of its training and validation folders disagree, as they can in its programs.
    relativenas(photos, tmp_path / "imagenet", {"ape": 1, "zebra": 0})
    data = Images("imagenet", root=tmp_path / "imagenet", split="all", input_size=100).open()
    assert data.classes == ("ape", "zebra")
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 24, "test": 10}
    assert data.train.source.keys[0] == "zebra/zebra011.jpg"  # the list's order
    assert data.test.labels.tolist() == [1] * 5 + [0] * 5
    assert data.test.source.encoded(0) == (photos / "test" / "zebra" / "zebra004.jpg").read_bytes()
    assert data.train.check() == []


def test_relativenas_lists_decide_which_images_there_are(photos, tmp_path):
    relativenas(photos, tmp_path / "set", {"ape": 0, "zebra": 1})
    listed = tmp_path / "set" / "train_datalist.txt"
    listed.write_text("".join(f"{name}/{name}{index:03d}.jpg\n" for name in ("ape", "zebra") for index in range(3)))
    data = Images(tmp_path / "set", split="all", input_size=100).open()
    assert len(data.train) == 6
    listed.unlink()
    assert len(Images(tmp_path / "set", split="all", input_size=100).open().train) == 24
    listed.write_text("ape/other.jpg\n")
    with pytest.raises(FrugalnasError, match=r"lists 1 images that .* does not hold, ape/other.jpg first"):
        Images(tmp_path / "set").open()


@pytest.mark.parametrize("length", [3, 255, 256, 65_535, 65_536, 70_000])
def test_messages_of_every_length(photos, tmp_path, length):
    from frugalnas.data.packed import RelativeNASImages

    content = bytes(range(256)) * (length // 256) + bytes(length % 256)
    (tmp_path / "one").mkdir()
    with lmdb.open(str(tmp_path / "one"), map_size=2**24) as env, env.begin(write=True) as transaction:
        transaction.put(b"a/b.jpg", message(content))
    source = RelativeNASImages([tmp_path / "one"], [0], ["a/b.jpg"], ("a",))
    assert source.encoded(0) == content[:-2]


def test_lmdbs_of_other_programs_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    with lmdb.open(str(tmp_path / "other"), map_size=2**20) as env, env.begin(write=True) as transaction:
        transaction.put(b"0001", b"x")
    with pytest.raises(FrugalnasError, match="other keys than class/file"):
        Images(tmp_path / "other").open()


def test_a_damaged_image_is_named(photos, tmp_path):
    (photos / "train" / "ape" / "torn.jpg").write_bytes((photos / "train" / "ape" / "ape000.jpg").read_bytes()[:-600])
    pack_lmdb(photos, tmp_path / "set")
    data = Images(tmp_path / "set", input_size=100, max_corrupt=1).open()
    (wrong,) = data.corruption.reasons.values()
    assert wrong.startswith(f"{tmp_path / 'set'}: ape/torn.jpg: ")


def test_hard_links_to_one_lmdb_are_one_lmdb(photos, tmp_path):
    pack_lmdb(photos, tmp_path / "set")
    (tmp_path / "copy").mkdir()
    os.link(tmp_path / "set" / "data.mdb", tmp_path / "copy" / "data.mdb")
    first, second = (Images(tmp_path / name, input_size=100).open() for name in ("set", "copy"))
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first.train.read([0]), second.train.read([0]))


def test_an_lmdb_that_other_code_has_open_is_not_called_damaged(photos, tmp_path):
    pack_lmdb(photos, tmp_path / "set")
    opened = lmdb.open(str(tmp_path / "set"), readonly=True, lock=False)
    with opened, pytest.raises(FrugalnasError, match="has it open already, under this name or a hard link's; close it"):
        Images(tmp_path / "set").open()
