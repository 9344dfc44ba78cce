"""Nothing that is loaded may call anything: what is imported, when it is asked about, and what opens without asking."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import yaml

from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import FunctionEvaluator
from frugalnas.registry import EVALUATORS, EXECUTORS, PREDICTORS, SPACES, STRATEGIES
from frugalnas.searches import load_search, resume, search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch, WeakNAS
from frugalnas.tables import Table, import_table, open_table
from frugalnas.trust import Untrusted, command_line, import_paths

MODULE = """
from pathlib import Path
from frugalnas.spaces import NASBench201

Path("imported").touch()

class Space(NASBench201):
    name = "own"
from frugalnas.spaces import NASBench201 as Cells

def worth(architecture):
    return float(len(architecture))

def touch(*_arguments, **_options):
    Path("called").touch()
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The name of a module in the current folder that tells whether it was imported; it is forgotten in between."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    name = f"stranger_{abs(hash(tmp_path))}"
    Path(f"{name}.py").write_text(MODULE)
    yield name
    sys.modules.pop(name, None)


def untouched() -> bool:
    return not Path("imported").exists() and not Path("called").exists()


def edited(run: Path, change) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    change(config)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "seal.json").unlink(missing_ok=True)  # whoever sends a run can seal it


@pytest.fixture
def run(tmp_path) -> Path:
    space = NASBench201()
    evaluator = FunctionEvaluator(space, function="builtins:len")
    search(RandomSearch(space), evaluator, 12, run_dir=tmp_path / "run")
    return tmp_path / "run"


def training(config, settings) -> None:
    options = {"settings": settings, "select": "best", "data": "digits", "recipe": "default"}
    config["evaluator"].update(name="training", options=options)


PLACES = {
    "space": lambda config, path: config["space"].update(name=path, options={}),
    "strategy": lambda config, path: config["strategy"].update(name=path),
    "evaluator": lambda config, path: config["evaluator"].update(name=path),
    "function": lambda config, path: config["evaluator"].update(options={"function": path}),
    "executor": lambda config, path: config["executor"].update(name=path),
    "predictor": lambda config, path: config["strategy"].update(name="weaknas", options={"seed": 0, "predictor": path}),
    "text of settings": lambda config, path: training(config, f"teacher={path}"),
    "escaped text": lambda config, path: training(config, {"teacher": '"' + path.replace(":", r"\x3a") + '"'}),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_a_run_names_is_not_imported_by_anything_that_opens_it(cli, run, stranger, place):
    edited(run, lambda config: PLACES[place](config, f"{stranger}:touch"))
    for command in (["show", run], ["show", run, "--json"], ["runs", "list", "--root", run.parent], ["resume", run]):
        said = cli(*command)
        assert said.code == (2 if command[0] == "resume" else 0) or place != "space"
    assert "--trust" in said.err
    assert stranger in said.err
    for opened in (resume, load_search):
        if opened is resume or place == "space":
            with pytest.raises(Untrusted, match="`trust`=True"):
                opened(run)
    assert untouched()


def test_what_a_person_typed_opens_without_asking_and_other_options_do_not(cli, tmp_path, stranger):
    own = ("--space", f"{stranger}:Space", "--evaluator", f"{stranger}:worth", "--queries", 12, "--quiet")
    assert cli("search", "random", *own, "--run-dir", "run").code == 0
    Path("imported").unlink()
    sys.modules.pop(stranger)
    shown = cli("show", "run")
    assert shown.code == 0
    assert "nor_conv" in shown.out
    assert "progress.svg" in shown.out  # drawn by the search
    assert untouched()
    assert cli("resume", "run", "--queries", 14, "--quiet").code == 0
    assert Path("imported").exists()
    edited(Path("run"), lambda config: config["space"]["options"].update(cells=3))
    said = cli("resume", "run")
    assert (said.code, "--trust" in said.err) == (2, True)
    edited(Path("run"), lambda config: config["space"]["options"].update(cells=5))
    assert cli("resume", "run", "--queries", 16, "--quiet").code == 0


def test_a_strangers_run_opens_where_it_is_trusted(cli, run, stranger):
    edited(run, lambda config: config["evaluator"]["options"].update(function=f"{stranger}:worth"))
    with pytest.raises(Untrusted):
        resume(run)
    assert untouched()
    assert len(resume(run, trust=True).queries) == 12
    assert Path("imported").exists()
    assert cli("resume", run, "--quiet").code == 0  # asked once
    assert "--trust" in cli("resume", "--help").out
    assert cli("show", run, "--trust").code == 2  # it would do nothing there


def test_a_person_at_a_terminal_is_asked_once_for_everything(run, stranger, monkeypatch, capsys):
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def change(config):
        PLACES["space"](config, f"{stranger}:Cells")
        PLACES["function"](config, f"{stranger}:worth")

    edited(run, change)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for answer, opens in (("\n", False), ("no\n", False), ("y\n", True)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        with command_line(["resume", str(run)]):
            if opens:
                assert len(resume(run).queries) == 12
            else:
                with pytest.raises(Untrusted):
                    resume(run)
        said = capsys.readouterr().err
        for name in ("Cells", "worth"):
            assert f"{stranger}:{name} ({Path(stranger).resolve()}.py)" in said
        assert said.count("[y/N]") == 1


def test_a_table_names_a_registered_space_only(tmp_path, stranger, monkeypatch):
    monkeypatch.setenv("FRUGALNAS_CACHE", str(tmp_path / "cache"))
    space = NASBench201()
    rows = "\n".join(f"{space.format(code)},{50 + place}" for place, code in enumerate(space.enumerate()[:20]))
    Path("mine.csv").write_text(f"architecture,validation\n{rows}\n")
    folder = import_table("mine.csv", name="theirs", space="nasbench201").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["space"] = {"name": f"{stranger}:Space"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "manifest.sha256").write_text(hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest())
    for opened in (open_table, Table):
        with pytest.raises(Untrusted, match=stranger):
            opened("theirs" if opened is open_table else folder)
    assert untouched()
    assert open_table("theirs", trust=True).space.name == "own"


def test_a_card_and_a_recipe_name_registered_parts_only(tmp_path, stranger):
    torch = pytest.importorskip("torch")
    import frugalnas as fn
    from frugalnas.networks.models import ModelCard, save_model

    space = NASBench201(cells=1, width=2)
    network = fn.build(space, space.enumerate()[0])
    card = ModelCard(
        {"name": f"{stranger}:Space", "options": {"cells": 1, "width": 2}}, space.format(space.enumerate()[0])
    )
    save_model("model", network, card)
    with pytest.raises(Untrusted, match="model"):
        fn.load("model")
    Path("recipe.yaml").write_text(f"base: default\nteacher: {stranger}:touch\n")
    with pytest.raises(Untrusted):
        fn.train(fn.Architecture(space, space.enumerate()[0]), "digits", "recipe.yaml", run_dir="training")
    assert untouched()
    assert isinstance(fn.load("model", trust=True), torch.nn.Module)


def test_what_is_passed_in_python_is_the_persons_own(stranger):
    with pytest.raises(Untrusted):
        SPACES.create(f"{stranger}:Cells")
    assert untouched()
    space = SPACES.create(f"{stranger}:Space", given=True)
    assert FunctionEvaluator(space, function=f"{stranger}:worth").function == f"{stranger}:worth"
    assert SPACES.create(SPACES.describe(space)).name == "own"


def test_the_current_folder_is_never_first_on_the_import_path(cli, tmp_path, stranger):
    Path("colorsys.py").write_text("from pathlib import Path\nPath('called').touch()\n")
    before = list(sys.path)
    assert cli("spaces").code in (0, 2)
    assert sys.path == before
    said = cli("search", "random", "--evaluator", "colorsys:rgb_to_hsv", "--queries", 12, "--quiet")
    assert not Path("called").exists()
    assert "colorsys" in said.err or said.code == 2


@pytest.mark.parametrize(
    "registry", [SPACES, STRATEGIES, PREDICTORS, EVALUATORS, EXECUTORS], ids=lambda kind: kind.kind
)
@pytest.mark.parametrize(
    "name", ["os:getcwd", "os.path:join", "-odd:f", "json:loads", "frugalnas.runs.folder:write_atomically"]
)
def test_every_registry_asks_first(registry, name, fresh_cache):
    with pytest.raises(FrugalnasError, match=r"trust|is not an import path"):
        registry.create({"name": name, "options": {}})


def test_import_paths_are_found_wherever_they_hide():
    assert import_paths({"a": ["x.y:z", {"b": "teacher: 'm:f'"}], "p:q": 1}) == {"x.y:z", "m:f", "p:q"}
    assert import_paths(["8:00", "C:/data", "http://host", "a: b", "nasbench201/cifar10", 3, None]) == set()
    assert json.dumps(sorted(import_paths("LABEL=my.code:S,random")))


def test_a_predictor_given_by_its_path_is_resumed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = WeakNAS(NASBench201(), predictor="test_registry:Stranger")
    assert STRATEGIES.create(STRATEGIES.describe(made), NASBench201()).predictor.__class__.__name__ == "Stranger"


def test_pages_escape_every_value(tmp_path):
    from frugalnas.report.page import again, figure, html_page, key_numbers, listing, side_by_side, table, tag

    word, drawing = "<b id='x'>&</b>", tmp_path / "drawing.svg"
    drawing.write_text("<svg></svg>")
    parts = [
        *again({"frugalnas": word, "name": word}),
        key_numbers([(word, word, word)]),
        table([word, "n"], [[word, word], [tag("code", word, cls=word), "1"]], 1),
        side_by_side(listing([word]), figure(drawing, word, word)),
    ]
    page = html_page(word, word, parts, [(word, [tag("p", word)]), ("left out", [])])
    assert "<b id" not in page
    assert "left out" not in page
    assert page.count("&lt;b id") == 19
