"""What binds the files of a run to each other, so that a damaged or foreign one is never believed.

- `seal.json` holds the configuration again, and digests of what else was written with the folder. A configuration that was
  edited is refused, in words, until the edit is undone (`restore_config`) or, where that is possible, accepted (`accept_config`).
- Every line of the journal ends with a sum of itself and of all lines before it, and so does the state, of the configuration and
  the journal up to where it was taken. Checkpoints carry their own digest and all records (see `frugalnas.tensors`).

Folders of older versions have none of this; they are sealed, as they are, when they are resumed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from frugalnas.documents import read_yaml
from frugalnas.errors import RunFolderError
from frugalnas.files import write_atomically
from frugalnas.strict_json import to_json

CONFIG = "config.yaml"
_SEAL = "seal.json"
FREE = (
    "frugalnas",
    "name",
    "notes",
    "budget",
    "executor",
    "device",
    "data.spec",
    "data.root",
    "data.download",
    "data.workers",
)
"""Settings that may change while a run goes on. Where data are is free, as what they are has a fingerprint."""
_ENDING = ', "sum": "{:08x}"}}'
_LENGTH = len(_ENDING.format(0))


def summed(record: Mapping[str, Any], before: int) -> tuple[bytes, int]:
    """A record as a line of JSON that ends with its sum, and that sum.

    Args:
        record: not empty.
        before: the sum of what it follows; 0 at the beginning.
    """
    body = to_json(record)[:-1].encode()
    total = zlib.crc32(body, before)
    return body + _ENDING.format(total).encode(), total


def is_summed(line: bytes) -> bool:
    """Whether a line ends with a sum, be it the right one."""
    return line[-_LENGTH:].startswith(b', "sum": "') and line.endswith(b'"}')


def follows(line: bytes, before: int) -> bool:
    """Whether a line ends with its sum, after what has the sum `before`."""
    return line[-_LENGTH:] == _ENDING.format(zlib.crc32(line[:-_LENGTH], before)).encode()


def unsummed(line: bytes, before: int, bare: bool = False) -> tuple[Any, int]:
    """The record in a line that `summed` wrote, and its sum.

    Args:
        line: without its end.
        before: the sum of what it follows.
        bare: whether it may be a line without a sum, of an older version.

    Raises:
        ValueError: where the line is not what was written, or followed something else.
    """
    body, ending = line[:-_LENGTH], line[-_LENGTH:]
    total = zlib.crc32(body, before)
    if ending == _ENDING.format(total).encode():
        return json.loads(body + b"}"), total
    if not bare or is_summed(line):
        raise ValueError("its sum differs")
    return json.loads(line), zlib.crc32(line, before)


def unsummed_lines(lines: Sequence[bytes], before: int) -> tuple[list[Any], list[int]]:
    """The records in lines that `summed` wrote one after another, parsed all at once, and the sum of each line.

    Args:
        lines: one or more, without their ends.
        before: the sum of what they follow.

    Raises:
        ValueError: where one of them is not what was written; `unsummed`, line by line, tells which.
    """
    bodies, sums = [line[:-_LENGTH] for line in lines], []
    for body in bodies:
        before = zlib.crc32(body, before)
        sums.append(before)
    if any(line[-_LENGTH:] != _ENDING.format(total).encode() for line, total in zip(lines, sums, strict=True)):
        raise ValueError("a sum differs")
    records: list[Any] = json.loads(b"[" + b"},".join(bodies) + b"}]")
    if len(records) != len(lines):
        raise ValueError("a line is not one record")
    return records, sums


@dataclass(frozen=True)
class Seal:
    """What a run's folder was when it was last written to on purpose.

    Attributes:
        config: what config.yaml says.
        before: what it said until then, as a kill may have come between writing this file and that one.
        files: SHA-256 of files that were written with the folder, by name.
        bare: lines at the journal's beginning that have no sum, as an older version wrote them.
    """

    config: dict[str, Any]
    before: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)
    bare: int = 0

    def write(self, folder: Path) -> None:
        """Put it into a run's folder."""
        line, _ = summed(asdict(self), 0)
        write_atomically(folder / _SEAL, line + b"\n")

    @property
    def identity(self) -> int:
        """A sum of all settings that cannot change."""
        kept = {name: value for name, value in _leaves(self.config).items() if not _among(FREE, name)}
        return zlib.crc32(json.dumps(sorted(kept.items())).encode())

    def check(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Refuse a configuration that was edited.

        Raises:
            RunFolderError: naming a setting, what it was and what it is, and both ways out.
        """
        found = _leaves(config)
        if found == _leaves(self.config) or (self.before is not None and found == _leaves(self.before)):
            return
        name, was, now = next(self._changes(config))
        raise RunFolderError(
            f"{folder / CONFIG} was edited: {name or 'the whole'} was {was} and is {now}; put it back with: frugalnas resume "
            f"{folder} --restore-config, or keep it, if the run can go on with it: frugalnas resume {folder} --accept-config"
        )

    def accept(self, folder: Path, config: dict[str, Any], begun: bool) -> None:
        """Take an edited configuration for the run's own from now on.

        Args:
            folder: the run's.
            config: what config.yaml says now.
            begun: whether something has come of the configuration.

        Raises:
            RunFolderError: naming the first setting that cannot change.
        """
        for name, was, now in self._changes(config):
            if begun and not _among(FREE, name):
                stages = ", and give stages that have not begun other settings with: frugalnas resume RUN --set STAGE.NAME=VALUE"
                raise RunFolderError(
                    f"{name} was {was} and is {now}, which the run cannot go on with; put it back with: "
                    f"frugalnas resume {folder} --restore-config"
                    f"{stages if config['kind'] == 'method' else ''}"
                )
        Seal(config, self.config, self.files, self.bare).write(folder)

    def checked(self, path: Path, name: str) -> Path:
        """The path of a file that was written with the folder.

        Raises:
            RunFolderError: where it has changed since.
        """
        found = path / name
        if name in self.files and found.is_file() and _digest(found) != self.files[name]:
            raise RunFolderError(
                f"{found} is damaged: it is not what the run began with; put it back, or begin another run"
            )
        return found

    def _changes(self, config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        ours, theirs = _leaves(self.config), _leaves(config)
        for name in dict.fromkeys([*theirs, *ours]):
            was, now = ours.get(name, "not there"), theirs.get(name, "not there")
            if was != now:
                yield name, _short(was), _short(now)


def seal_of(draft: Path, config: dict[str, Any]) -> Seal:
    """The seal of a new folder with all that was written into it; tensors carry their own digests."""
    files = [
        path for path in draft.rglob("*") if path.is_file() and path.suffix != ".safetensors" and path.name != CONFIG
    ]
    return Seal(config, files={path.relative_to(draft).as_posix(): _digest(path) for path in files})


def read_seal(folder: Path) -> Seal | None:
    """The seal of a run's folder; None for one that an older version made.

    Raises:
        RunFolderError: where it is damaged.
    """
    path = folder / _SEAL
    try:
        record, _ = unsummed(path.read_bytes().rstrip(b"\n"), 0)
        return Seal(**record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, IsADirectoryError):
        raise RunFolderError(f"{path} is damaged; remove it to take {folder} for what it is now") from None


def read_config(folder: Path) -> Any:
    """What a run's config.yaml says, whatever it is.

    Raises:
        RunFolderError: where it cannot be read.
    """
    path = folder / CONFIG
    try:
        return read_yaml(path.read_bytes(), str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise RunFolderError(f"there is no run at {folder}; frugalnas runs list shows the runs here") from None
    except IsADirectoryError:
        raise RunFolderError(f"{path} is a folder; move it away, and put back the file that was there") from None
    except ValueError as error:
        way = f"; put it back with: frugalnas resume {folder} --restore-config" if (folder / _SEAL).exists() else ""
        raise RunFolderError(f"{' '.join(str(error).split())}{way}") from None


def _leaves(value: Any, name: str = "") -> dict[str, str]:
    """Every setting by its dotted name, as text that compares equal after a journey through YAML or JSON."""
    if isinstance(value, Mapping) and value:
        texts = {key if isinstance(key, str) else json.dumps(key, default=str): item for key, item in value.items()}
        inner = {f"{name}.{key}" if name else key: item for key, item in texts.items()}
        return {leaf: text for key, item in inner.items() for leaf, text in _leaves(item, key).items()}
    return {name: json.dumps(value, default=str)}


def _among(names: tuple[str, ...], name: str) -> bool:
    return any(name == known or name.startswith(f"{known}.") for known in names)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
