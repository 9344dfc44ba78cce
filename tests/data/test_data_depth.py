"""Images of more than 8 bits, unreadable ones and oversized ones: one decision for all, said, or refused."""

from __future__ import annotations

import errno
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import class_folders
from PIL import Image

from frugalnas.data import CorruptImage, Images, Loader, Split, preprocess, reopened
from frugalnas.errors import FrugalnasError, Surroundings

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (2, 6, 12, 12), dtype=np.uint8)  # two classes
EIGHT[:, :, 0, 0] = 255
FORMS = {
    "floats to 1": ((EIGHT / 255).astype(np.float32), "tif", 1),
    "12 of 16 bits": (np.rint(EIGHT * (4095 / 255)).astype(np.uint16), "png", 4095),
    "8 of 32 bits": (EIGHT.astype(np.int32), "tif", 255),
    "floats to 255": (EIGHT.astype(np.float32), "tif", 255),
}


def written(root: Path, images: np.ndarray, suffix: str) -> Path:
    for name, of_class in zip("ab", images, strict=True):
        (root / name).mkdir(parents=True)
        for index, image in enumerate(of_class):
            Image.fromarray(image).save(root / name / f"{index}.{suffix}")
    return root


@pytest.mark.parametrize("form", FORMS)
def test_deep_images_are_scaled_by_what_the_data_set_uses(tmp_path, form):
    images, suffix, white = FORMS[form]
    images = images.copy()
    images[0, 0] = images[0, 0] // 4 if images.dtype.kind != "f" else images[0, 0] / 4  # a dark image stays dark
    data = Images(written(tmp_path / "set", images, suffix), split="all").open()
    seen = data.train.read(range(12))[:, 0].numpy().reshape(2, 6, 12, 12)
    expected = EIGHT.astype(float)
    expected[0, 0] /= 4
    assert np.abs(seen - expected).max() <= 1
    assert data.preprocessing["white"] == white
    assert f"0 is black and {white:,} white in all of them" in " | ".join(data.notes)
    again = reopened(json.loads(json.dumps(data.description)), split=Split.from_json(data.split.to_json()))
    assert torch.equal(again.train.read(range(12)), data.train.read(range(12)))
    batch, _ = next(Loader(data.train, batch_size=12).epoch(0))
    assert torch.equal(preprocess(Path(data.train.name_of(0)), data.preprocessing), batch[0])
    np.savez(tmp_path / "set.npz", images=images.reshape(12, 12, 12), labels=np.arange(12) % 2)
    arrays = Images(tmp_path / "set.npz", split="all").open()
    assert np.abs(arrays.train.read(range(12))[:, 0].numpy().reshape(2, 6, 12, 12) - expected).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: -images.astype(np.float32), r"values down to -255"),
        (lambda images: np.where(images > 200, np.nan, images).astype(np.float32), "values that are not finite"),
        (lambda images: (images / 250).astype(np.float32), r"values up to 1\.02, where floats .* from 0 to 1"),
    ],
)
def test_values_without_a_scale_are_refused(tmp_path, change, message):
    with pytest.raises(FrugalnasError, match=message):
        Images(written(tmp_path / "set", change(EIGHT), "tif")).open()
    np.savez(tmp_path / "set.npz", images=change(EIGHT).reshape(12, 12, 12), labels=np.arange(12) % 2)
    with pytest.raises(FrugalnasError, match=message):
        Images(tmp_path / "set.npz").open()


def test_truth_values_are_black_and_white(tmp_path):
    np.savez(tmp_path / "set.npz", images=EIGHT.reshape(12, 12, 12) > 99, labels=np.arange(12) % 2)
    assert Images(tmp_path / "set.npz").open().train.read(range(9)).unique().tolist() == [0, 255]


def test_floats_beside_integers_have_no_scale_in_common(tmp_path):
    root = written(tmp_path / "set", FORMS["floats to 1"][0], "tif")
    Image.fromarray(FORMS["12 of 16 bits"][0][0, 0]).save(root / "a" / "deep.png")
    with pytest.raises(FrugalnasError, match=r"mix floats .* and integers .*no scale in common"):
        Images(root).open()


def test_a_picture_brighter_than_white_is_refused_not_clipped():
    how = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3, "white": 4095}
    with pytest.raises(FrugalnasError, match="go from 5000 to 5000, where 0 is black and 4095 white"):
        preprocess(Image.fromarray(np.full((8, 8), 5000, dtype=np.uint16)), how)


@pytest.mark.parametrize("size", [(20, 20), (130, 110)], ids=["in memory", "streamed"])
def test_skipped_images_are_named_in_notes_and_split_however_they_are_read(tmp_path, size):
    root = class_folders(tmp_path / "set", {"a": 12, "b": 12}, size=size, suffix=".jpg")
    bad = [root / "a" / "a003.jpg", root / "b" / "b007.jpg"]
    for file in bad:
        file.write_bytes(file.read_bytes()[:400])
    data = Images(root, input_size=100 if size[0] > 96 else 20, max_corrupt=2).open()
    (note,) = [note for note in data.notes if "skipped 2 unreadable images" in note]
    assert all(str(file) in note for file in bad)
    stored = json.loads(data.split.to_json())
    assert stored["skipped"] == {"train": [3, 19]}
    assert sum(len(part) for part in data.parts.values()) == 22
    again = reopened(data.description, split=Split.from_json(data.split.to_json()))
    assert again.split.to_json() == data.split.to_json()
    assert "skipped 2" in again.corruption.note()
    with pytest.raises(FrugalnasError, match="2 unreadable images, 1 may be skipped"):
        Images(root, input_size=100 if size[0] > 96 else 20, max_corrupt=1).open()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares any size."""
    stream = io.BytesIO()
    Image.new("L", (1, 1)).save(stream, "png")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


def test_what_a_file_declares_is_checked_before_memory_is_taken(tmp_path, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(bomb(30_000, 30_000))
    how = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}
    with pytest.raises(CorruptImage, match=r"exceeds limit of 200000000.*FRUGALNAS_LIMIT_IMAGE_PIXELS to raise"):
        preprocess(tmp_path / "bomb.png", how)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**5)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(FrugalnasError, match=r"images.npy asks for 100,000,000,000 bytes of an array"):
        Images(tmp_path / "bomb.npz").open()
    np.savez(tmp_path / "set.npz", images=EIGHT.reshape(12, 12, 12), labels=np.arange(12) % 2)
    monkeypatch.setenv("FRUGALNAS_LIMIT_ARRAY_BYTES", "100")
    with pytest.raises(FrugalnasError, match="the limit is 100"):
        Images(tmp_path / "set.npz").open()
    with pytest.raises(FrugalnasError, match="input_size asks for"):
        Images("digits", input_size=10**6).open()


def test_faults_of_the_machine_are_no_unreadable_images(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 12, "b": 12}, size=(130, 110), suffix=".jpg")
    data = Images(root, input_size=100, max_corrupt=24).open()

    def full(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", full)
        with pytest.raises(Surroundings, match=r"Too many open files.*ulimit -n"):
            list(Loader(data.train, batch_size=8).epoch(0))
    root.rename(tmp_path / "moved")
    with pytest.raises(Surroundings, match="no longer there"):
        list(Loader(data.train, batch_size=8).epoch(0))
    with pytest.raises(Surroundings, match="is not there"):
        Images(root).open()
