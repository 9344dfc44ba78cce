"""What a user did that cannot work, said with the way out.

Everything that a person can mend derives from `FrugalnasError`; the command line prints such an error as one line and
exits with 2. Anything else that escapes is a bug in frugalnas.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["DamagedTable", "FrugalnasError", "RunFolderError", "SpaceTooLarge", "missing_extra", "unknown_name"]

_EXTRAS = {
    **dict.fromkeys(
        ("lightning_fabric", "lmdb", "safetensors", "tensorboard", "timm", "torch", "torchvision"), "torch"
    ),
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
}
"""Which extra of the package brings a module."""


class FrugalnasError(ValueError):
    """A request that cannot be met; the message says what to do instead."""


class SpaceTooLarge(FrugalnasError):
    """The space has too many architectures to list them all."""


class DamagedTable(FrugalnasError):
    """A table's files are not what its manifest says."""


class RunFolderError(FrugalnasError):
    """A run folder that is missing, taken, or does not fit the request."""


def unknown_name(kind: str, name: object, choices: Iterable[str], hint: str = "") -> FrugalnasError:
    """The error for a name that is not among `choices`: it lists them, nearest first where one is close."""
    listed = list(choices)
    near = get_close_matches(str(name), listed, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return FrugalnasError(f"unknown {kind} {name!r}; {guess}choose one of: {', '.join(listed)}{hint}")


def missing_extra(error: ModuleNotFoundError) -> FrugalnasError | None:
    """The error that says which line installs a module that is not there; None where no extra of frugalnas brings it."""
    module = (error.name or "").partition(".")[0]
    if module not in _EXTRAS:
        return None
    return FrugalnasError(f"this needs {module}; install it with: python -m pip install 'frugalnas[{_EXTRAS[module]}]'")
