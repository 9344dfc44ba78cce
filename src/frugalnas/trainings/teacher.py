"""The network that another one learns from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from frugalnas.errors import FrugalnasError
from frugalnas.networks.models import load
from frugalnas.trust import import_own


def load_teacher(source: str) -> nn.Module:
    """The network to distil from: a model's folder, or `package.module:function` that makes one."""
    teacher = import_own("teacher", source)() if is_import_path(source) else load(source)
    if not isinstance(teacher, nn.Module):
        raise FrugalnasError(f"the teacher {source} is a {type(teacher).__name__}, not a torch module")
    return teacher.eval().requires_grad_(False)


def is_import_path(teacher: str) -> bool:
    """Whether a teacher is named by where its function is."""
    return ":" in teacher and not Path(teacher).exists()
