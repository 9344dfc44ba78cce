"""How many damaged or odd inputs bring out an error that is not the library's own, and how much memory they take.

Valid files of every kind are made, damaged at random (bytes, cuts, splices, numbers grown, pieces repeated), and given to what
reads them, in child processes whose address space is limited: whatever passes is counted by reader and by kind of error.

    python benchmarks/fuzz.py --inputs 100000 --jobs 2
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import yaml

GIGABYTE = 2**30
SECONDS = 20
"""After which an input counts as one that hangs."""
Read = Callable[[Path], Any]


def valid_files(root: Path) -> dict[str, tuple[list[bytes], str, Read]]:
    """For each reader: valid contents to damage, the name that its file has, and the reader, which gets the file's path."""
    import pyarrow as pa
    import pyarrow.parquet
    import torch
    from PIL import Image

    import frugalnas as fn
    from frugalnas.data.preprocessing import preprocess
    from frugalnas.data.splits import Split
    from frugalnas.networks.checkpoints import import_weights
    from frugalnas.networks.latency import LatencyTable
    from frugalnas.networks.models import ModelCard, load, save_model
    from frugalnas.pickles import read_pickle, read_torch
    from frugalnas.registry import SPACES
    from frugalnas.searches import load_search
    from frugalnas.spaces.constraint import Constraint
    from frugalnas.tables import Table, import_benchmark, import_table, read_labels
    from frugalnas.training import Recipe

    space = fn.NASBench201(cells=1, width=2, input_size=8)
    codes = space.enumerate()[::1500]
    texts, values = [space.format(code) for code in codes], np.linspace(50, 90, len(codes))
    found: dict[str, tuple[list[bytes], str, Read]] = {}

    def importing(file: Path) -> None:
        name = f"fuzzed{time.monotonic_ns()}"
        import_table(file, name=name, space="nasbench201")

    rows = "architecture,validation\n" + "".join(f"{text},{value}\n" for text, value in zip(texts, values, strict=True))
    found["table.csv"] = [rows.encode()], "table.csv", importing
    found["labels.csv"] = (
        [rows.replace("validation", "value").encode()],
        "labels.csv",
        lambda file: read_labels(file, space),
    )
    pyarrow.parquet.write_table(pa.table({"architecture": texts, "validation": values}), root / "t.parquet")
    found["table.parquet"] = [(root / "t.parquet").read_bytes()], "table.parquet", importing
    for suffix, content in (
        ("pickle", pickle.dumps({"a": [{"x": np.arange(3), "y": (1, None, b"z")}], "b": 1.5})),
        ("old.pickle", pickle.dumps({"a": [1, 2, {3}], "b": "text"}, protocol=0)),
    ):
        found[suffix] = [content], suffix, lambda file: read_pickle(file.open("rb"), name="fuzzed")
    torch.save({"arch2infos": {0: {"full": torch.zeros(2), "less": [1]}}, "meta_archs": texts}, root / "t.pth")
    found["torch.pth"] = [(root / "t.pth").read_bytes()], "t.pth", read_torch
    benchmark = lambda file: import_benchmark(file, name=f"bench{time.monotonic_ns()}")  # noqa: E731
    found["benchmark.pth"] = [(root / "t.pth").read_bytes()], "NAS-Bench-201-v1_1-096897.pth", benchmark
    record = json.dumps([texts[0], 108, "0" * 49, "input,output", "AAAA"]).encode()
    found["benchmark.tfrecord"] = [_framed(record) * 3], "nasbench_only108.tfrecord", benchmark
    folder = save_model(root / "model", fn.build(space, codes[3]), ModelCard(_described(space), texts[3]))
    weights, card = (folder / "model.safetensors").read_bytes(), (folder / "architecture.json").read_bytes()
    found["safetensors"] = [weights], "model.safetensors", load
    found["weights"] = [weights], "w.safetensors", lambda file: import_weights(file, space, codes[3])
    found["card"] = [card], "architecture.json", lambda file: _with(file, root / "model", "model.safetensors", load)
    table = fn.tables.write_table(
        root / "table",
        fn.tables.Contents(
            name="own/t",
            space=space,
            codes=codes,
            columns=[fn.tables.Column("validation", values[:, None], "cifar10", (), 12)],
            source={},
            licence="none",
        ),
    )
    manifest = (table.folder / "manifest.json").read_bytes()
    found["manifest"] = [manifest], "manifest.json", lambda file: _sealed(file, table.folder, Table)
    found["npy"] = (
        [(table.folder / "codes.npy").read_bytes()],
        "codes.npy",
        lambda file: _sealed(file, table.folder, Table),
    )
    recipe = {
        "base": "default",
        "epochs": 3,
        "lr": 1e-2,
        "augmentation": {"flip": 0.5},
        "optimizer_options": {"eps": 1e-3},
    }
    anchors = b"a: &a [1, 2]\nb: *a\nepochs: 3\n"
    found["recipe"] = [yaml.safe_dump(recipe).encode(), anchors], "recipe.yaml", Recipe.load
    latency = {"blocks": {"a": 1.5, "b": 2}, "fixed": 0.1, "space": {"name": "mobilenet"}, "unit": "ms"}
    found["latency"] = [json.dumps(latency).encode()], "latency.json", LatencyTable.load
    fn.search(fn.RandomSearch(space), fn.FunctionEvaluator(space, function="builtins:len"), 12, run_dir=root / "run")
    for name in ("config.yaml", "journal.jsonl", "timing.jsonl", "seal.json", "state/strategy.json"):
        content = (root / "run" / name).read_bytes()
        found[f"run {name}"] = (
            [content],
            Path(name).name,
            lambda file, name=name: _in_run(file, root / "run", name, load_search),
        )
    for name in SPACES.targets:
        space_, rng = SPACES.create(name), np.random.default_rng(0)
        spelt = [space_.format(code).encode() for code in space_.sample(4, rng)]
        found[f"architecture {name}"] = spelt, "a.txt", lambda file, space_=space_: space_.parse(_text(file))
    limits = [b"macs<=475e6", b"params<=0.5M,macs>=1e6", b"latency<=5ms"]
    found["constraint"] = limits, "c.txt", lambda file: Constraint.parse(_text(file))
    part = {"from": "train", "images": [0, 1, 2]}
    split = {"name": "default", "seed": 0, "val": 0.1, "test": 0.1, "sizes": {"train": 5}, "parts": {"train": part}}
    found["split"] = [json.dumps(split).encode()], "split.json", lambda file: Split.from_json(_text(file))
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    looks = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": 8, "resize": 8, "interpolation": "bilinear"}
    for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp"):
        Image.fromarray(pixels).save(root / f"i.{kind}")
        found[f"image {kind}"] = [(root / f"i.{kind}").read_bytes()], f"i.{kind}", lambda file: preprocess(file, looks)
    np.savez(root / "d.npz", x_train=np.zeros((6, 8, 8, 3), np.uint8), y_train=np.arange(6) % 2)
    found["data.npz"] = [(root / "d.npz").read_bytes()], "d.npz", lambda file: fn.Images(file).open()
    return found


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _described(space: Any) -> dict[str, Any]:
    from frugalnas.networks.models import described

    return described(space)


def _framed(record: bytes) -> bytes:
    import google_crc32c

    def masked(data: bytes) -> bytes:
        value = google_crc32c.value(data)
        return ((((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")

    length = len(record).to_bytes(8, "little")
    return length + masked(length) + record + masked(record)


def _with(file: Path, other: Path, name: str, read: Read) -> Any:
    """Read the file's folder with a good file of another folder beside it."""
    (file.parent / name).write_bytes((other / name).read_bytes())
    return read(file.parent)


def _sealed(file: Path, whole: Path, read: Read) -> Any:
    """Read a table of which one file was exchanged by somebody who seals it again."""
    import hashlib

    for good in whole.iterdir():
        if good.name != file.name:
            (file.parent / good.name).write_bytes(good.read_bytes())
    manifest = file.parent / "manifest.json"
    if file != manifest:
        content, said = file.read_bytes(), json.loads(manifest.read_bytes())
        said["files"][file.stem].update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        manifest.write_text(json.dumps(said))
    (file.parent / "manifest.sha256").write_text(hashlib.sha256(manifest.read_bytes()).hexdigest())
    return read(file.parent)


def _in_run(file: Path, whole: Path, name: str, read: Read) -> Any:
    """Read a run of which one file was exchanged; but for the seal itself, without the seal that would refuse it."""
    content = file.read_bytes()
    file.unlink()
    for good in whole.rglob("*"):
        if good.is_file() and (good.name != "seal.json" or name == "seal.json"):
            target = file.parent / good.relative_to(whole)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(good.read_bytes())
    if name == "journal.jsonl":
        content = re.sub(rb', "sum": "[0-9a-f]{8}"', b"", content)
    (file.parent / name).write_bytes(content)
    return read(file.parent)


WORDS = (
    *(
        b"null",
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e309",
        b"99999999999999999999",
        b"true",
        b"[]",
        b"{}",
        b'""',
        b"&a",
        b"*a",
    ),
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xf0\x9f\x98\x80",
        b"a:b",
        b"~",
        b"|",
        b"+",
        b",",
        b"\n",
        b"'",
        b"[[[[[[[[",
        b"\x7f\xff\xff\xff",
    ),
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four damages."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(len(content) + 1), rng.randrange(8)
        if kind == 0:
            content = content[:at]
        elif kind == 1 and content:
            at %= len(content)
            content = content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + rng.randbytes(rng.choice((1, 2, 4, 8))) + content[at + rng.choice((0, 1, 4, 8)) :]
        elif kind == 3:
            content = content[:at] + rng.choice(WORDS) + content[at + rng.choice((0, 1, 3, 6)) :]
        elif kind == 4:
            end = min(len(content), at + rng.choice((1, 3, 10, 50)))
            content = (
                content[:end]
                + content[at:end] * min(rng.choice((1, 5, 100, 5000)), 200_000 // max(end - at, 1))
                + content[end:]
            )
        elif kind == 5:
            numbers = list(re.finditer(rb"\d+(\.\d+)?", content))
            if numbers:
                number = rng.choice(numbers)
                content = content[: number.start()] + rng.choice(WORDS) + content[number.end() :]
        elif kind == 6:
            numbers = list(re.finditer(rb"\d+", content))
            if numbers:
                number = rng.choice(numbers)
                content = content[: number.end()] + b"0" * rng.choice((1, 4, 12, 400)) + content[number.end() :]
        else:
            other = rng.randrange(len(content) + 1)
            content = content[: min(at, other)] + content[max(at, other) :]
    return content[:1_000_000]


class Hangs(Exception):  # it is what an input does
    """An input that takes too long."""


def _alarm(*_: object) -> None:
    raise Hangs


def part(task: tuple[int, int, str]) -> tuple[int, Counter[str], dict[str, str], float]:
    """Inputs read, errors that are not ours by reader and kind, an example of each, and the most memory taken, bytes."""
    seed, inputs, only = task
    sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # what readers say is not looked at
    warnings.simplefilter("ignore")
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["FRUGALNAS_CACHE"] = str(root / "cache")
    from frugalnas.errors import FrugalnasError

    files = {name: found for name, found in valid_files(root).items() if only in name}
    rng, errors, examples = random.Random(seed), Counter[str](), {}
    for contents, called, read in files.values():  # whatever is loaded late is loaded now
        _once(root, called, contents[0], read, FrugalnasError)
    own = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_AS, (own + GIGABYTE, own + GIGABYTE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, _alarm)
    names = list(files)
    for count in range(inputs):
        name = names[count % len(names)]
        contents, called, read = files[name]
        content = damaged(rng.choice(contents), rng)
        signal.alarm(SECONDS)
        error = _once(root, called, content, read, FrugalnasError)
        signal.alarm(0)
        if error is not None:
            key = f"{name}: {error}"
            errors[key] += 1
            examples.setdefault(key, repr(content[:300]))
    most = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return inputs, errors, examples, most


def _once(root: Path, called: str, content: bytes, read: Read, ours: type[Exception]) -> str | None:
    """The kind and place of an error that is not ours; memory that was refused by the limit is one."""
    import shutil
    import traceback

    folder = root / "input"
    folder.mkdir()
    try:
        file = folder / called
        file.write_bytes(content)
        read(file)
    except ours as error:
        return "memory: " + str(error)[:80] if "memory is used up" in str(error) else None
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "frugalnas" in frame.filename]
        place = f"{frames[-1].filename.rpartition('frugalnas/')[2]}:{frames[-1].lineno}" if frames else "?"
        return f"{type(error).__name__} at {place}: {str(error)[:60]}"
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
    return None


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="readers with this in their name")
    parsed = parser.parse_args()
    each = 2_000
    tasks = [
        (parsed.seed + place, min(each, parsed.inputs - each * place), parsed.only)
        for place in range(-(-parsed.inputs // each))
    ]
    total, errors, examples, most, started = 0, Counter[str](), {}, 0.0, time.perf_counter()
    with get_context("spawn").Pool(parsed.jobs, maxtasksperchild=1) as pool:
        for count, found, shown, memory in pool.imap_unordered(part, tasks):
            total, most = total + count, max(most, memory)
            errors += found
            examples = {**shown, **examples}
            print(f"{total:,} inputs, {sum(errors.values())} other errors of {len(errors)} kinds", flush=True)
    print(
        f"{total:,} inputs in {time.perf_counter() - started:.0f} s; most memory taken by one process: {most / 1e6:.0f} MB"
    )
    for key, count in errors.most_common():
        print(count, key, "\n   ", examples[key])
    sys.exit(bool(errors))


if __name__ == "__main__":
    main()
