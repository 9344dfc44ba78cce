"""Every field of what is read, given wrong types and sizes: only the library's own error comes out."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from frugalnas.cli import main
from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.runs.kinds import load_run, resume_run
from frugalnas.searches import Budget, load_search, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import WeakNAS
from frugalnas.studies import Labelled, assess, compare
from frugalnas.tables import Column, Contents, Table, write_table
from frugalnas.training import Recipe

SPACE = NASBench201(cells=1, width=2, input_size=8)
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**70), 10**30, 0.5, -0.5, 1e308, float("inf"), float("nan")),
    *("", "x", "nasbench201", "a:b", "\x00", "\udcff", "../..", "é" * 300, "9" * 5000, "w" * 100_000, "1e999"),
    *(
        [],
        [None],
        [[]],
        [0] * 1000,
        [-1],
        ["x"],
        [1e30],
        [[[[[]]]]],
        {},
        {"name": 3},
        {"name": "random"},
        {"": {}},
        {"a": {"b": [1]}},
    ),
)


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in plain data, outermost first."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place, or without what is there where the value is `...`."""
    if not place:
        return None if value is ... else value
    made = copy.deepcopy(document)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return made


def written(document: Any, as_yaml: bool) -> bytes:
    text = yaml.safe_dump(document) if as_yaml else json.dumps(document)
    return text.encode("utf-8", "surrogatepass")


class Reader:
    """A file of plain data, and what opens it.

    Args:
        file: which holds the document, or one a line.
        opened: is called with the folder; whatever it raises is looked at.
    """

    def __init__(self, file: Path, *opened: Callable[[Path], Any]) -> None:
        self.file, self.opened, self.before = file, opened, file.read_bytes()
        self.folder = file.parent
        self.kind = file.suffix
        text = self.before.decode()
        lines = text.splitlines() if self.kind == ".jsonl" else [text]
        self.documents = [yaml.safe_load(line) for line in lines]
        if self.kind == ".jsonl":
            for record in self.documents:
                record.pop("sum", None)

    def check(self, line: int, place: tuple[Any, ...], value: Any) -> None:
        """Write a changed document, open it, and put back what was there."""
        document = changed(self.documents[line], place, value)
        if self.kind == ".jsonl":
            lines = [json.dumps(each) for each in (*self.documents[:line], document, *self.documents[line + 1 :])]
            content = "".join(f"{each}\n" for each in lines).encode()
        else:
            content = written(document, self.kind != ".json")
        copied = Path(f"{self.folder}-{time.monotonic_ns()}")
        shutil.copytree(self.folder, copied)
        try:
            (copied / self.file.name).write_bytes(content)
            if self.file.name == "manifest.json":
                (copied / "manifest.sha256").write_text(hashlib.sha256(content).hexdigest())
            for opened in self.opened:
                with suppress(FrugalnasError), redirect_stdout(StringIO()):
                    opened(copied)
        finally:
            shutil.rmtree(copied)


def shown(run: Path) -> None:
    main(["show", str(run), "--json"])


def runs_of(root: Path) -> Iterator[Reader]:
    """Small runs of kinds that need no torch, each with its configuration and journal."""
    evaluator = FunctionEvaluator(SPACE, function="builtins:len")
    search(WeakNAS(SPACE, predictor="ridge", pool=20), evaluator, 12, run_dir=root / "search")
    table = {"name": "table", "options": {"table": "nasbench201/cifar10"}}
    compare(["random", "evolution"], evaluator=table, queries=12, seeds=[0, 1], run_dir=root / "comparison")
    assess(["ridge"], Labelled("nasbench201/cifar10", held_out=60), budgets=[20], trials=1, run_dir=root / "assessment")
    opened = {
        "search": (load_search, lambda run: resume(run, budget=Budget(queries=13)), shown),
        "comparison": (load_run, resume_run),
        "assessment": (load_run,),
    }
    for kind, openers in opened.items():
        for name in ("config.yaml", "journal.jsonl"):
            yield Reader(root / kind / name, *openers)
    yield Reader(root / "search" / "state" / "strategy.json", lambda state: None)


def files_of(root: Path) -> Iterator[Reader]:
    """A table's manifest and a recipe."""
    codes = SPACE.enumerate()[:30]
    column = Column("validation", np.linspace(50, 90, 30)[:, None], "cifar10", (), 12)
    write_table(
        root / "table", Contents(name="own/t", space=SPACE, codes=codes, columns=[column], source={}, licence="none")
    )
    yield Reader(
        root / "table" / "manifest.json",
        lambda folder: Table(folder).labels("mean") if hasattr(Table, "labels") else Table(folder),
    )
    (root / "recipe").mkdir()
    recipe = {"base": "default", "epochs": 3, "lr": 0.1, "augmentation": {"flip": 0.5}, "optimizer": "sgd", "ema": None}
    (root / "recipe" / "own.yaml").write_text(yaml.safe_dump(recipe))
    yield Reader(root / "recipe" / "own.yaml", lambda folder: Recipe.load(folder / "own.yaml"))


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> list[Reader]:
    root = tmp_path_factory.mktemp("read")
    return [*runs_of(root), *files_of(root)]


def walk(readers: list[Reader], data: st.DataObject) -> None:
    reader = data.draw(st.sampled_from(readers), label="file")
    line = data.draw(st.integers(0, len(reader.documents) - 1))
    place = data.draw(st.sampled_from(places(reader.documents[line])), label="place")
    value = data.draw(
        st.sampled_from((*HOSTILE, ...)) | st.text(max_size=5) | st.floats() | st.integers(), label="value"
    )
    reader.check(line, place, value)


@given(data=st.data())
def test_a_wrong_field_is_the_librarys_own_error(readers, data):
    walk(readers, data)


@pytest.mark.slow
@settings(max_examples=25 * settings().max_examples)
@given(data=st.data())
def test_wrong_fields_are_the_librarys_own_error(readers, data):
    walk(readers, data)
