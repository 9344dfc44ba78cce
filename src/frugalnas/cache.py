"""Where frugalnas keeps what is costly to make and can be made again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.errors import Surroundings
from frugalnas.files import draft, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def cache_folder() -> Path:
    """`$FRUGALNAS_CACHE`, or `frugalnas` in the user's cache folder."""
    chosen = os.environ.get("FRUGALNAS_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "frugalnas"


def cached_array(name: str, make: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """The array that `make` returns, read-only; made once and kept in the cache from then on.

    A file that is damaged is made again. Where the cache cannot be written the array is made each time.

    Args:
        name: of the file, without suffix; whatever the array depends on, a version of its making included, is in the name.
        make: takes long.
    """
    import numpy as np

    path = cache_folder() / "arrays" / f"{name}.npy"
    seal = path.with_suffix(".sha256")
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() == seal.read_text().strip():
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception:  # a header may be wrong in any way
        pass
    array = np.ascontiguousarray(make())
    array.setflags(write=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path, sync=False) as made:
            np.save(made, array, allow_pickle=False)
            digest = hashlib.sha256(made.read_bytes()).hexdigest()
        write_atomically(seal, digest + "\n", sync=False)
    except (OSError, Surroundings):
        pass  # what has no seal, or another's, is made again
    return array
