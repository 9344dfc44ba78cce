"""Latency tables: measured, written down, read back, and what they refuse."""

from __future__ import annotations

import json
import math
import re
import sys

import numpy as np
import pytest
import torch
import yaml

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.networks import LayerNetwork, latency, skeleton_of
from frugalnas.networks.latency import LatencyTable, latency_table, measure_latency
from frugalnas.networks.mobilenet import CHOICES, MobileNetSkeleton
from frugalnas.networks.runtimes import runner
from frugalnas.searches import Budget, search
from frugalnas.spaces import DARTS, MobileNet, NASBench101, NASBench201, OnceForAll, ShuffleNet
from frugalnas.strategies import RandomSearch


def small(**options) -> MobileNet:
    return MobileNet(**{"width": 0.35, "input_size": 32, "classes": 10} | options)


def written(path, **changes) -> str:
    """A table of the small space in which the block of each value takes as many milliseconds as the value says."""
    blocks = {block.key: 1.0 + block.value for block in skeleton_of(small()).blocks()}
    path.write_text(json.dumps({"unit": "ms", "fixed": 0.5, "blocks": blocks} | changes))
    return str(path)


def test_a_measured_table_predicts_and_is_read_back(tmp_path):
    told = []
    table = measure_latency(small(), repeats=2, progress=lambda done, total: told.append((done, total)))
    assert set(table.blocks) == {block.key for block in skeleton_of(small()).blocks()}
    assert all(0 < milliseconds < 1e4 for milliseconds in table.blocks.values())
    assert told[-1] == (told[-1][1], len(told))
    assert table.error is not None
    assert table.device
    assert table.runtime == "torch"
    for name in ("table.json", "table.yaml"):
        table.save(tmp_path / name)
        assert LatencyTable.load(tmp_path / name) == table
    space = small(latency=str(tmp_path / "table.json"))
    codes = space.sample(20, np.random.default_rng(0))
    keys = {(block.gene, block.value): block.key for block in skeleton_of(space).blocks()}
    sums = [
        table.fixed
        + math.fsum(table.blocks[keys[gene, value]] for gene, value in enumerate(code) if (gene, value) in keys)
        for code in codes.tolist()
    ]
    np.testing.assert_allclose(space.count("latency", codes), sums)


def test_a_block_runs_in_another_runtime_and_gives_the_same():
    block = list(skeleton_of(small()).blocks())[3]
    module, images = block.make().eval(), torch.randn(2, *block.input_shape)
    found = runner(module, images, "onnxruntime")()
    np.testing.assert_allclose(found, module(images).detach().numpy(), rtol=1e-3, atol=1e-4)


def test_a_runtime_that_is_not_there_is_refused_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(FrugalnasError, match=r"needs openvino; .*pip install 'frugalnas\[openvino\]'"):
        measure_latency(small(), runtime="openvino", repeats=1)
    with pytest.raises(
        FrugalnasError, match=r"unknown runtime 'onnx'; did you mean 'onnxruntime'\? choose one of: torch"
    ):
        measure_latency(small(), runtime="onnx", repeats=1)


@pytest.mark.slow
def test_a_table_of_another_runtime_says_so(tmp_path):
    measure_latency(small(), runtime="onnxruntime", repeats=1).save(tmp_path / "table.json")
    assert LatencyTable.load(tmp_path / "table.json").runtime == "onnxruntime"


@pytest.mark.typical("50.0-8.0")
@pytest.mark.parametrize(("whole", "fixed"), [(50.0, 8.0), (14.0, 0.0)])
def test_no_time_is_negative_where_blocks_take_longer_alone(tmp_path, monkeypatch, whole, fixed):
    """On a busy machine, or with few turns: 21 blocks of 2 ms each, in networks that take 50 or only 14 ms."""

    def run(timed, *, keep):
        timed.milliseconds = [whole if isinstance(timed.module, LayerNetwork) else 2.0]

    monkeypatch.setattr(latency.Timed, "run", run)
    space = small(widths="gpu").restrict(np.arange(7) < np.full((21, 1), 6))  # none is left out
    table = measure_latency(space, repeats=1)
    assert table.fixed == fixed
    assert table.networks == whole
    assert table.error == pytest.approx(0, abs=1e-9)
    table.save(tmp_path / "table.json")
    shortest = small(latency=str(tmp_path / "table.json"))
    added = shortest.costs("latency")[1]
    assert added.min() == 0
    np.testing.assert_allclose(shortest.count("latency", np.zeros((1, 21), np.int8)), whole)


@pytest.mark.slow
def test_a_table_is_measured_and_searched_from_any_folder(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.py").write_text("def score(text):\n    return float(len(text))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("frugalnas.report.searches.save_figure", lambda *figure: [])  # pictures take seconds
    sizes = ("--space", "fairnas", "--width", 0.1, "--input", 32)
    said = cli("measure-latency", *sizes, "--repeats", 1, "--quiet")
    assert said.code == 0, said.err
    measured = json.loads((tmp_path / "latency-fairnas-torch-cpu.json").read_text())
    assert f"{measured['error'] / measured['networks']:.0%} of that" in said.out
    assert ("The table is uncertain" in said.out) == (measured["error"] > 0.1 * measured["networks"])
    written(tmp_path / "table.json")
    options = ("width=0.35", "input_size=32", "classes=10", "latency=table.json")
    said = cli(
        *("search", "random", "--space", "mobilenet", "--evaluator", "scores:score", "--queries", 3, "--quiet"),
        *("--initial", 3, "--where", "latency>=39.5,latency<=40.5", "--run-dir", "run"),
        *(word for option in options for word in ("--set", f"space.{option}")),
    )
    assert said.code == 0, said.err
    monkeypatch.chdir(tmp_path / "run")
    shown = cli("show", tmp_path / "run")
    assert shown.code == 0, shown.err
    assert re.search(r"^latency +(39\.5|40\.5)00 ms", shown.out, re.MULTILINE)


def length(text):
    """What a network is worth here."""
    return float(len(text))


@pytest.mark.slow
def test_a_run_is_shown_when_its_table_is_gone(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("frugalnas.report.searches.save_figure", lambda *figure: [])  # pictures take seconds
    path = written(tmp_path / "table.json")
    space = small(latency=path)
    evaluator = FunctionEvaluator(space, function=length)
    search(RandomSearch(space, initial=3), evaluator, Budget(3), run_dir=tmp_path / "run")
    (tmp_path / "table.json").unlink()
    shown = cli("show", tmp_path / "run")
    assert shown.code == 0, shown.err
    assert re.search(r"^not counted +cannot read the latency table", shown.out, re.MULTILINE)
    assert re.search(r"^params +[\d.]+ M", shown.out, re.MULTILINE)


@pytest.mark.parametrize(
    "space",
    [
        DARTS(width=4, layers=5, input_size=16),
        DARTS(macro="imagenet", width=4, layers=5, input_size=64),
        NASBench201(width=4, cells=1, input_size=16),
        OnceForAll(width=0.35, input_size=32),
        ShuffleNet(width=0.35, input_size=32),
    ],
    ids=["darts", "darts-imagenet", "nasbench201", "once-for-all", "shufflenet"],
)
@pytest.mark.slow
def test_every_space_with_a_table_is_measured(space, tmp_path):
    table = measure_latency(space, repeats=2)
    table.save(tmp_path / "table.json")
    space.latency = str(tmp_path / "table.json")
    fixed, added = latency_table(space)
    assert fixed == table.fixed
    assert added.shape == space.allowed.shape
    assert (added[:, :3].max(axis=1) > 0).all()


def test_a_limit_on_latency_is_kept(tmp_path):
    space = small(latency=written(tmp_path / "table.json")).where("latency<=40.5,latency>=39.5")
    codes = space.sample(50, np.random.default_rng(0))
    latency = np.where(codes == 6, 0, codes + 1).sum(axis=1) + 0.5
    assert ((latency >= 39.5) & (latency <= 40.5)).all()


def test_units_are_converted(tmp_path):
    seconds = LatencyTable.load(written(tmp_path / "table.json", unit="s"))
    milliseconds = LatencyTable.load(written(tmp_path / "table.json"))
    assert seconds.fixed == 1e3 * milliseconds.fixed
    with pytest.raises(FrugalnasError, match="unit 'hours'; choose one of: ms, s, us"):
        LatencyTable.load(written(tmp_path / "table.json", unit="hours"))


def test_other_sizes_are_refused(tmp_path):
    path = written(tmp_path / "table.json", space={"name": "mobilenet", "options": {"width": 0.35, "classes": 100}})
    with pytest.raises(FrugalnasError, match="measured for classes=100, not 10"):
        latency_table(small(latency=path))
    with pytest.raises(FrugalnasError, match=r"no entry for 66 of the 66 blocks of mobilenet, such as 'mb3_k3 8x32x32"):
        latency_table(small(latency=written(tmp_path / "table.json"), input_size=64))
    other = ShuffleNet(latency=written(tmp_path / "table.json"))
    with pytest.raises(FrugalnasError, match="no entry for 32 of the 32"):
        latency_table(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "no latency table; it needs 'blocks'"),
        ('{"blocks": 3}', "no latency table; it needs 'blocks'"),
        ('{"blocks": {"a": -1}}', "has -1 for 'a'; times are finite numbers, 0 or more"),
        ('{"blocks": {}, "fixed": -1}', "has -1 for 'fixed'; times are finite numbers, 0 or more"),
        ('{"blocks": {"a": "fast"}}', "has 'fast' for 'a'"),
        ('{"blocks": {"a": NaN}}', "has nan for 'a'"),
        ('{"blocks": {}, "space": 3}', "describes its space as 3"),
        ("{", "neither JSON nor YAML"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(FrugalnasError, match=message):
        LatencyTable.load(path)


def test_missing_files_say_what_writes_them(tmp_path):
    with pytest.raises(FrugalnasError, match="frugalnas measure-latency writes one"):
        latency_table(small(latency=str(tmp_path / "none.json")))
    with pytest.raises(FrugalnasError, match="latency of mobilenet is 3; it is the path of a table"):
        small(latency=3)
    with pytest.raises(FrugalnasError, match="has no latency table; set its option latency"):
        latency_table(small())
    table = LatencyTable.load(written(tmp_path / "table.json"))
    with pytest.raises(FrugalnasError, match="is not there; make it"):
        table.save(tmp_path / "no" / "such" / "table.json")


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(FrugalnasError, match="device 'tpu9' is not to be had here"):
        measure_latency(small(), device="tpu9")
    with pytest.raises(FrugalnasError, match="at least 1"):
        measure_latency(small(), repeats=0)
    with pytest.raises(FrugalnasError, match="no table by block"):
        measure_latency(NASBench101(), repeats=1)


def test_proxylessnas_lookup_table_is_read(tmp_path):
    """Its keys name heights, widths and channels; its times are means in milliseconds."""
    space = MobileNet(widths="mobile_search")
    skeleton = skeleton_of(space)
    assert isinstance(skeleton, MobileNetSkeleton)
    entries = {
        "Conv-input:224x224x3-output:112x112x32": 1.0,
        "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0": 2.0,
        "Conv_1-input:7x7x320-output:7x7x1280": 3.0,
        "Logits-input:7x7x1280-output:1000": 4.0,
    }
    for place in skeleton.places:
        for kernel, expansion in CHOICES:
            out = place.size // place.stride
            entries[
                f"expanded_conv-input:{place.size}x{place.size}x{place.inputs}-output:{out}x{out}x{place.outputs}"
                f"-expand:{expansion}-kernel:{kernel}-stride:{place.stride}-idskip:{int(place.keeps_shape)}"
            ] = kernel + expansion / 10
    path = tmp_path / "phone.yaml"
    path.write_text(yaml.safe_dump({key: {"count": 3, "mean": mean, "var": 0.1} for key, mean in entries.items()}))
    space = MobileNet(widths="mobile_search", latency=str(path))
    code = space.parse("2 0 -1 -1 4 0 2 2 5 2 2 2 3 2 2 2 5 5 4 4 5")
    built = [CHOICES[value] for value in code if value < 6]
    assert space.count("latency", code[None])[0] == pytest.approx(10 + sum(k + e / 10 for k, e in built))
    with pytest.raises(FrugalnasError, match="made for other widths or another input size"):
        latency_table(MobileNet(latency=str(path)))
    with pytest.raises(FrugalnasError, match="MobileNet blocks, which shufflenet has not"):
        latency_table(ShuffleNet(latency=str(path)))
