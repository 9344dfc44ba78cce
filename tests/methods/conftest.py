"""What tests of methods share: images of three kinds, and a machine that exports in no time."""

from __future__ import annotations

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.methods import conclusion


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Squares, bars and dots, with labels and without."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pictures = rng.integers(0, 60, (90, 8, 8, 3), np.uint8)
    pictures[labels == 0, 2:6, 2:6] += 150
    pictures[labels == 1, :, 3:5] += 150
    folder = tmp_path_factory.mktemp("images")
    np.savez(folder / "shapes.npz", images=pictures, labels=labels)
    np.savez(folder / "unlabelled.npz", images=pictures)
    return folder


@pytest.fixture(scope="module")
def without_onnx():
    """A machine that cannot write ONNX, which takes longer than all the rest."""
    write = conclusion.export

    def refusing(network, card, path, format="onnx"):
        if format == "onnx":
            raise FrugalnasError("export to ONNX needs onnx")
        return write(network, card, path, format)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conclusion, "export", refusing)
        yield
