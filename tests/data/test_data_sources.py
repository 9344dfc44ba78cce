"""Images are found wherever users have them, and what cannot be used is refused with the way out."""

from __future__ import annotations

import json
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import class_folders, picture
from PIL import Image

from frugalnas.data import CorruptImage, Images, Loader, Split, SplitSpec, preprocess, reopened
from frugalnas.errors import FrugalnasError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "pets", {"cat": 20, "dog": 30})


def sizes(data) -> dict[str, int]:
    return {name: len(part) for name, part in data.parts.items()}


# -- what is read ------------------------------------------------------------------------------------------------------


def test_digits_are_always_there():
    data = Images("digits").open()
    assert data.classes == tuple("0123456789")
    assert data.input_size == 8
    assert any("`input_size`=16, at 4 times the work" in note for note in data.notes)
    assert not any("times the work" in note for note in Images("digits", input_size=8).open().notes)
    assert sizes(data) == {"train": 1455, "val": 162, "test": 180}
    assert data.train.read([0, 1]).shape == (2, 3, 8, 8)
    assert data.suggested.flip == 0  # a mirrored digit is no digit


def test_a_folder_of_class_folders(folder):
    data = Images(folder).open()
    assert data.classes == ("cat", "dog")
    assert sizes(data) == {"train": 41, "val": 4, "test": 5}
    assert data.input_size == 20  # all images are small and of one size
    assert data.class_counts().tolist() == [16, 25]
    assert data.class_weights() == pytest.approx([41 / 32, 41 / 50])
    assert data.train.in_memory


def test_that_small_photos_are_enlarged_is_said_with_what_would_do(tmp_path):
    data = Images(class_folders(tmp_path / "photos", {"a": 6, "b": 6}, size=(120, 70), suffix=".jpg")).open()
    assert data.input_size == 224
    said = "half of the images are 70 pixels or less on their short side, and are enlarged: `input_size`=64 takes 8 % of the work"
    assert said in data.notes


def test_photos_are_brought_to_224_and_that_is_said(tmp_path):
    data = Images(class_folders(tmp_path / "photos", {"a": 6, "b": 6}, size=(320, 240), suffix=".jpg")).open()
    assert data.input_size == 224
    assert data.preprocessing["resize"] == 256
    assert any("224 x 224" in note for note in data.notes)
    assert not any("enlarged" in note for note in data.notes)
    assert not data.train.in_memory
    assert data.train.read([0]).shape == (1, 3, 224, 224)


def test_folders_that_come_split_stay_split(tmp_path):
    for part, count in (("train", 10), ("val", 3), ("test", 4)):
        class_folders(tmp_path / "set" / part, {"a": count, "b": count})
    data = Images(tmp_path / "set").open()
    assert sizes(data) == {"train": 20, "val": 6, "test": 8}


def test_validation_comes_out_of_training_where_only_the_test_is_apart(tmp_path):
    for part, count in (("train", 20), ("test", 4)):
        class_folders(tmp_path / "set" / part, {"a": count, "b": count})
    assert sizes(Images(tmp_path / "set").open()) == {"train": 36, "val": 4, "test": 8}


def test_imagenets_public_validation_images_are_the_test(tmp_path):
    for part, count in (("train", 20), ("val", 4)):
        class_folders(tmp_path / part, {"n01440764": count, "n01443537": count})
    data = Images("imagenet", root=tmp_path).open()
    assert sizes(data) == {"train": 36, "val": 4, "test": 8}
    assert data.input_size == 224
    assert data.mean == (0.485, 0.456, 0.406)


def test_a_flat_folder_has_no_labels(tmp_path):
    flat = class_folders(tmp_path, {"images": 7}) / "images"
    data = Images(flat).open()
    assert not data.labelled
    assert data.classes == ()
    assert sizes(data) == {"train": 7}
    images, labels = next(Loader(data.train, batch_size=4).epoch(0))
    assert images.shape == (4, 3, 20, 20)
    assert labels.tolist() == [-1] * 4
    with pytest.raises(FrugalnasError, match="has no labels"):
        data.class_weights()


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "grey", "floats"])
def test_npz_files(tmp_path, layout):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    written = {
        "nhwc": images,
        "nchw": images.transpose(0, 3, 1, 2),
        "grey": images[..., 0],
        "floats": images.astype(np.float32) / 255,
    }[layout]
    np.savez(tmp_path / "set.npz", images=written, labels=np.arange(40) % 4)
    data = Images(tmp_path / "set.npz", split="all").open()
    assert data.classes == ("0", "1", "2", "3")
    first = int(data.train.indices[0])
    expected = np.repeat(images[first][..., :1], 3, axis=2) if layout == "grey" else images[first]
    assert np.array_equal(data.train.read([0])[0].permute(1, 2, 0).numpy(), expected)


def test_npz_files_with_parts(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    labels = np.arange(30)[:, None] % 3
    np.savez(
        tmp_path / "med.npz", train_images=images, train_labels=labels, test_images=images[:9], test_labels=labels[:9]
    )
    assert sizes(Images(tmp_path / "med.npz").open()) == {"train": 27, "val": 3, "test": 9}


def test_cifar_in_parquet(shared_data, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "cifar10").mkdir()
    shutil.copy(shared_data / "cifar10" / "test-00000-of-00001.parquet", tmp_path / "cifar10" / "train-00000.parquet")
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "cifar10" / "train-00000.parquet").slice(0, 600)
    pq.write_table(table, tmp_path / "cifar10" / "train-00000.parquet")
    pq.write_table(table.slice(0, 100), tmp_path / "cifar10" / "test-00000.parquet")
    data = Images("cifar10", root=tmp_path).open()
    assert sizes(data) == {"train": 540, "val": 60, "test": 100}
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.02)
    again = Images(tmp_path / "cifar10").open()  # from the cache this time
    assert again.fingerprint == data.fingerprint
    assert torch.equal(again.train.read(range(9)), data.train.read(range(9)))


@pytest.mark.slow
def test_the_published_statistics_of_cifar10(shared_data):
    data = Images(shared_data / "cifar10", split="all", workers=2).open()
    assert sizes(data) == {"train": 50_000, "test": 10_000}
    assert data.mean == pytest.approx((0.49139968, 0.48215827, 0.44653124), abs=1e-6)
    assert data.std == pytest.approx((0.24703233, 0.24348505, 0.26158768), abs=1e-6)


def official_cifar(root: Path, monkeypatch) -> None:
    """A miniature of CIFAR-10's official archive; torchvision compares checksums, so these are patched to its."""
    from torchvision.datasets import CIFAR10

    rng = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = {"data": rng.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, None] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, None] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": None})
    monkeypatch.setattr(CIFAR10, "tgz_md5", None)


@pytest.mark.parametrize("packed", [False, True])
def test_cifars_official_archive_and_the_benchmarks_split(tmp_path, monkeypatch, packed):
    official_cifar(tmp_path, monkeypatch)
    if packed:
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
        shutil.rmtree(tmp_path / "cifar-10-batches-py")
    lists = {"train": ["int", [str(i) for i in range(0, 100, 2)]], "valid": ["int", [str(i) for i in range(1, 100, 2)]]}
    (tmp_path / "cifar-split.txt").write_text(json.dumps(lists))
    data = Images("cifar10", root=tmp_path, split=tmp_path / "cifar-split.txt").open()
    assert sizes(data) == {"train": 50, "val": 50, "test": 20}
    assert data.train.indices.tolist() == list(range(0, 100, 2))
    assert data.classes[3] == "cat"


def downsampled(root: Path) -> np.ndarray:
    rng = np.random.default_rng(0)
    first = None
    for name in [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]:
        pixels = rng.integers(0, 256, (60, 768), dtype=np.uint8)
        first = pixels if first is None else first
        content = {"data": pixels, "labels": [1 + i * 20 % 1000 for i in range(60)], "mean": pixels.mean(0)}
        (root / name).write_bytes(pickle.dumps(content, protocol=2))
    return first


def test_imagenet16_120(tmp_path):
    first = downsampled(tmp_path)
    data = Images("ImageNet16-120", root=tmp_path, split="all").open()
    # Of the labels 1, 21, 41, ... those up to 120 stay, and count from 0.
    assert len(data.classes) == 120
    assert set(data.train.labels.tolist()) == {0, 20, 40, 60, 80, 100}
    assert data.input_size == 16
    assert np.array_equal(data.train.read([1])[0].numpy().reshape(-1), first[1])
    halves = {"xvalid": ["int", ["0", "2", "4"]], "xtest": ["int", ["1", "3", "5"]]}
    (tmp_path / "imagenet-16-120-test-split.txt").write_text(json.dumps(halves))
    split = Images("imagenet16-120", root=tmp_path, split=tmp_path / "imagenet-16-120-test-split.txt").open()
    assert sizes(split) == {"train": len(data.train), "val": 3, "test": 3}


# -- one picture -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(20, 20), (160, 90)])
def test_a_picture_is_preprocessed_as_evaluation_saw_it(tmp_path, size):
    data = Images(class_folders(tmp_path / "set", {"a": 10, "b": 10}, size=size), input_size=32).open()
    file = Path(data.test.name_of(0))
    images, _ = next(Loader(data.test, batch_size=1).epoch(0))
    for form in (file, str(file), Image.open(file), np.asarray(Image.open(file))):
        assert torch.equal(preprocess(form, data.preprocessing), images[0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "CMYK", "1", "I;16", "I", "F"])
def test_pictures_of_any_mode_become_rgb(tmp_path, mode):
    how = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}
    if mode == "I;16":
        image = Image.fromarray(np.full((9, 12), 128 * 256, dtype=np.uint16))
    else:
        image = Image.new("L", (12, 9), 128).convert(mode)
        image = image.point(lambda value: value * 256) if mode == "I" else image
    result = preprocess(image, how)
    assert result.shape == (3, 8, 8)
    assert torch.isfinite(result).all()
    if mode not in ("1",):
        assert result.mean() == pytest.approx(128 / 255, abs=0.02)


def test_a_camera_held_upright_gives_an_upright_picture():
    how = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}
    image = Image.fromarray(np.vstack([np.zeros((4, 8, 3)), np.full((4, 8, 3), 255)]).astype(np.uint8))
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # shown turned by 90 degrees clockwise
    assert torch.equal(preprocess(turned, how), preprocess(image, how))


def test_blue_first_and_up_to_255_as_abs_trained(folder):
    data = Images(folder).open(normalisation="bgr255")
    images, _ = next(Loader(data.test, batch_size=2).epoch(0))
    assert torch.allclose(images, data.test.read([0, 1]).flip(1).float(), atol=1e-4)


# -- splits ------------------------------------------------------------------------------------------------------------


def test_a_split_is_stratified_disjoint_and_complete(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (1000, 4, 4), dtype=np.uint8)
    labels = np.repeat(np.arange(5), [400, 300, 200, 90, 10])
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    data = Images(tmp_path / "set.npz", split=SplitSpec(val=0.2, test=0.1)).open()
    together = np.concatenate([part.indices for part in data.parts.values()])
    assert sorted(together.tolist()) == list(range(1000))
    assert data.class_counts("test").tolist() == [40, 30, 20, 9, 1]
    assert data.class_counts("val").sum() == 180
    assert abs(data.class_counts("val") - [72, 54, 36, 16.2, 1.8]).max() < 1
    other = Images(tmp_path / "set.npz", split=SplitSpec(seed=1, val=0.2, test=0.1)).open()
    assert set(other.test.indices.tolist()) != set(data.test.indices.tolist())
    assert other.class_counts("test").tolist() == [40, 30, 20, 9, 1]


def test_a_stored_split_is_the_same_split(folder):
    data = Images(folder).open()
    stored = data.split.to_json()
    assert len(stored) < 400  # what trains is "the rest"
    again = reopened(data.description, split=Split.from_json(stored))
    for name, part in data.parts.items():
        assert np.array_equal(again.parts[name].indices, part.indices)
    assert again.preprocessing == data.preprocessing
    assert again.fingerprint == data.fingerprint
    assert again.split.to_json() == stored


def test_other_data_have_another_fingerprint_and_refuse_the_split(folder, tmp_path):
    data = Images(folder).open()
    moved = shutil.copytree(folder, tmp_path / "moved" / "pets")
    assert Images(moved).open().fingerprint == data.fingerprint
    picture(np.random.default_rng(5)).save(folder / "cat" / "one_more.png")
    assert Images(folder).open().fingerprint != data.fingerprint
    with pytest.raises(FrugalnasError, match="with 50 train images, here are 51 train; put back"):
        Images(folder, split=data.split).open()


def test_half_of_the_training_images_for_search_and_50_of_every_class(tmp_path):
    images = np.zeros((600, 4, 4), dtype=np.uint8)
    images[::2] = 9
    np.savez(
        tmp_path / "set.npz", x_train=images, y_train=np.arange(600) % 6, x_test=images[:12], y_test=np.arange(12) % 6
    )
    half = Images(tmp_path / "set.npz", split="half").open()
    assert half.class_counts().tolist() == half.class_counts("val").tolist() == [50] * 6
    held = Images(tmp_path / "set.npz", split="imagenet-50k").open()
    assert held.class_counts("val").tolist() == [50] * 6
    assert len(held.test) == 12


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_unreadable_images_are_named_counted_and_skipped_up_to_a_limit(folder):
    (folder / "cat" / "cat003.png").write_bytes(b"not an image")
    whole = (folder / "dog" / "dog007.png").read_bytes()
    (folder / "dog" / "dog007.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FrugalnasError, match=r"2 unreadable images, 0 may be skipped: .*cat003.png.*`max_corrupt`"):
        Images(folder).open()
    with pytest.raises(FrugalnasError, match="2 unreadable images, 1 may be skipped"):
        Images(folder, max_corrupt=1).open()
    data = Images(folder, max_corrupt=2).open()
    assert sum(sizes(data).values()) == 48
    assert any("skipped 2 unreadable images" in note and "dog007.png" in note for note in data.notes)
    again = reopened(data.description, split=Split.from_json(data.split.to_json()))
    assert np.array_equal(again.train.indices, data.train.indices)


def test_a_folder_without_a_readable_image_is_refused_whatever_may_be_skipped(folder):
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"not an image")
    with pytest.raises(FrugalnasError, match=r"none of the training images of .* can be read; skipped 50 unreadable"):
        Images(folder, max_corrupt=100, input_size=16).open()


@pytest.mark.typical("0")
@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_photos_are_met_while_training(tmp_path, workers):
    folder = class_folders(tmp_path / "photos", {"a": 20, "b": 20}, size=(130, 110), suffix=".jpg")
    data = Images(folder, input_size=100, max_corrupt=1).open()
    bad = Path(data.train.name_of(3))
    bad.write_bytes(bad.read_bytes()[:500])
    with pytest.warns(UserWarning, match=f"skipped an image that cannot be read: .*{bad.name}"):
        batches = list(Loader(data.train, batch_size=8, augmentation=data.suggested, workers=workers).epoch(0))
    assert sum(len(images) for images, _ in batches) == len(data.train) - 1
    assert sum(len(labels) for _, labels in batches) == len(data.train) - 1
    assert bad.name in data.corruption.note()
    assert len(data.train.check()) == 1
    list(Loader(data.train, batch_size=8).epoch(1))  # the same image is not counted again
    other = Path(data.train.name_of(5))
    other.write_bytes(b"")
    with pytest.raises(FrugalnasError, match="2 unreadable images, 1 may be skipped"):
        list(Loader(data.train, batch_size=8, workers=workers).epoch(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root.mkdir(), "no images in it"),
        (lambda root: class_folders(root, {"only": 3}), "only one class folder, 'only'"),
        (lambda root: (class_folders(root, {"a": 2, "b": 2}), (root / "c").mkdir()), "a class folder without images"),
        (
            lambda root: [class_folders(root / part, {"a": 2, part: 2}) for part in ("train", "test")],
            "class folder 'test' is not",
        ),
        (lambda root: class_folders(root, {"a": 1, "b": 1}), "too few to hold a share"),
        (lambda root: (root.mkdir(), (root / "train-0.parquet").write_bytes(b"PAR1")), "not a Parquet file"),
        (lambda root: (root.mkdir(), (root / "data.mdb").write_bytes(b"\0" * 99)), "not an LMDB that can be read"),
    ],
    ids=["empty", "one class", "empty class", "new class", "two images", "parquet", "lmdb"],
)
def test_folders_that_cannot_be_used_say_why(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(FrugalnasError, match=message):
        Images(tmp_path / "set").open()


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("cifar10", {}, "or `download`=True"),
        ("cifar10", {"root": "."}, "or add `download`=True"),
        ("imagenet", {}, "needs `root`"),
        ("imagenet16-120", {}, "needs `root`"),
        ("imagenet16-5000", {"root": "."}, "downsampled ImageNets are"),
        ("digitz", {}, "did you mean 'digits'"),
        ("./nowhere", {}, "is not there"),
        ("digits", {"split": "thirds"}, "unknown split 'thirds'"),
        ("digits", {"input_size": 0}, "`input_size` 0: give the side"),
        ("digits", {"normalisation": "z"}, "unknown normalisation"),
        ("digits", {"interpolation": "nearest"}, "unknown interpolation"),
        ("digits", {"max_corrupt": -1}, "max_corrupt is -1"),
        ("digits", {"input_size": 16, "resize": 8}, "resize is 8, below"),
    ],
)
def test_requests_that_cannot_be_met_say_what_to_do(tmp_path, monkeypatch, spec, options, message):
    monkeypatch.chdir(tmp_path)
    how = {name: options[name] for name in ("normalisation", "interpolation", "resize") if name in options}
    which = {name: value for name, value in options.items() if name not in how}
    with pytest.raises(FrugalnasError, match=message):
        Images(spec, **which).open(**how)


def test_arrays_that_are_no_images_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 2)), labels=np.arange(4))
    np.savez(tmp_path / "b.npz", images=np.full((4, 2, 2), 1j), labels=np.arange(4))
    np.savez(tmp_path / "c.npz", numbers=np.zeros(4))
    np.savez(tmp_path / "d.npz", images=np.array([None, 1]))
    for name, message in {"a": "shape", "b": "store uint8", "c": "give arrays images", "d": "not an .npz"}.items():
        with pytest.raises(FrugalnasError, match=message):
            Images(tmp_path / f"{name}.npz").open()


def test_a_file_that_is_no_picture(tmp_path):
    (tmp_path / "x.jpg").write_text("hello")
    how = {"input_size": 8, "mean": [0.0] * 3, "std": [1.0] * 3}
    with pytest.raises(CorruptImage, match=r"x\.jpg: not an image"):
        preprocess(tmp_path / "x.jpg", how)
    with pytest.raises(CorruptImage, match="cannot be read"):
        preprocess(tmp_path / "y.jpg", how)


def test_the_benchmarks_split_needs_the_official_order(tmp_path, folder):
    (tmp_path / "cifar-split.txt").write_text(json.dumps({"train": ["0"], "valid": ["1"]}))
    with pytest.raises(FrugalnasError, match="official archive's order"):
        Images(folder, split=tmp_path / "cifar-split.txt").open()


def test_small_pictures_of_many_shapes_get_their_median_size(tmp_path):
    rng = np.random.default_rng(0)
    class_folders(tmp_path / "set", {"a": 10, "b": 10}, size=(24, 40))
    for index in range(6):
        picture(rng, (30 + index, 28)).save(tmp_path / "set" / "a" / f"other{index}.png")
    data = Images(tmp_path / "set").open()
    assert data.input_size == 24
    assert any("24 x 24 pixels" in note for note in data.notes)


def test_a_part_of_parquet_files_without_labels_is_left_alone(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files = sorted(class_folders(tmp_path / "set", {"a": 20, "b": 20}).glob("*/*.png"))
    rows = [
        {"image": {"bytes": file.read_bytes(), "path": None}, "label": index % 2} for index, file in enumerate(files)
    ]
    (tmp_path / "hub").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "hub" / "train-0.parquet")
    hidden = [{**row, "label": -1} for row in rows[:5]]
    pq.write_table(pa.Table.from_pylist(hidden), tmp_path / "hub" / "test-0.parquet")
    data = Images(tmp_path / "hub").open()
    assert sizes(data) == {"train": 32, "val": 4, "test": 4}
    assert any("no labels" in note for note in data.notes)


def test_data_are_described_where_they_lie(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    data = Images("pets").open()
    monkeypatch.chdir("/")
    assert reopened(data.description).fingerprint == data.fingerprint
