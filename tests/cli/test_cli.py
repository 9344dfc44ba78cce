"""The command line: what it says, what it leaves behind, and that bad input is one message and never a traceback."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import user_code
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import frugalnas
from frugalnas.searches import load_search
from frugalnas.spaces import NASBench201
from frugalnas.spaces.constraint import Constraint
from frugalnas.tables import open_table

SPACE = NASBench201()
COMMANDS = [
    *([], ["search"], ["resume"], ["show"], ["runs"], ["runs", "list"], ["compare"], ["list"]),
    *(["table"], ["table", "list"], ["table", "info"], ["table", "import"], ["table", "doctor"]),
    *(["search", name] for name in ("random", "evolution", "local-search", "weaknas", "weaknas-paper")),
]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def config(folder: str | Path) -> dict[str, object]:
    return yaml.safe_load((Path(folder) / "config.yaml").read_text())


def journal(folder: str | Path) -> bytes:
    return (Path(folder) / "journal.jsonl").read_bytes()


def left_behind() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*"))


# -- the commands of the README ----------------------------------------------------------------------------------------


@pytest.mark.pictures
def test_search_alone_does_the_main_job(cli):
    said = cli("search")
    assert said.code == 0
    (run,) = Path("runs").iterdir()
    result = load_search(run)
    assert len(result.queries) == 200
    labels = open_table().labels()
    rank = 1 + int((labels > result.best.value).sum())
    for part in (
        result.architecture,
        f"{result.best.value:.3f}",
        f"{rank:,} of 15,625 in nasbench201/cifar10",
        "no test results",
        "200 queries",
        str(run),
    ):
        assert part in said.out
    for picture in ("cell.svg", "cell.png", "progress.svg", "progress.png"):
        assert (run / "report" / picture).stat().st_size > 1_000
    assert (run / "report" / "cell.png").read_bytes().startswith(b"\x89PNG")
    assert "best 9" in said.err  # the progress bar


@pytest.mark.slow
def test_search_with_everything_said(cli):
    said = cli(
        *("search", "weaknas", "--table", "nasbench201/cifar100", "--queries", 30, "--seed", 7),
        *("--predictor", "boosting", "--acquisition", "ei", "--set", "predictor.trees=20", "--quiet"),
    )
    assert said.code == 0
    assert said.err == ""
    (run,) = Path("runs").iterdir()
    assert run.name == "weaknas-nasbench201-cifar100-seed7"
    written = config(run)
    assert written["frugalnas"] == frugalnas.__version__
    assert written["strategy"]["options"]["predictor"]["name"] == "boosting"
    assert written["strategy"]["options"]["predictor"]["options"]["trees"] == 20
    assert written["evaluator"]["options"]["table"] == "nasbench201/cifar100"
    assert cli("resume", run).code == 0
    shown = cli("show", run)
    assert "nasbench201/cifar100" in shown.out
    listed = cli("runs", "list")
    assert "30 of 30 queries" in listed.out
    assert str(run) in listed.out


def test_show_as_json(cli):
    assert cli("search", "evolution", "--queries", 25, "--quiet", "--run-dir", "run").code == 0
    said = json.loads(cli("show", "run", "--json").out)
    result = load_search("run")
    assert said["architecture"] == result.architecture
    assert said["value"] == result.best.value
    assert (said["queries"], said["failed"], said["strategy"], said["seed"]) == (25, 0, "evolution", 0)
    assert said["best_query"] == int(np.argmax(result.values)) + 1
    assert said["counts"]["params"] == SPACE.count("params", result.best.code[None])[0]
    assert said["standing"]["regret"] == pytest.approx(open_table().labels().max() - result.best.value)
    hours = open_table().labels("training_seconds")[open_table().rows(result.codes)].sum()
    assert said["metric_totals"]["training_seconds"] == pytest.approx(hours)


@pytest.mark.slow
def test_compare_and_what_it_leaves(cli):
    said = cli(
        *("compare", "random,evolution,weaknas", "--queries", 20, "--seeds", "4", "--jobs", 1, "--budgets", "10,20"),
        *("--set", "weaknas.round_size=5", "--set", "evolution.population=8", "--quiet"),
    )
    assert said.code == 0, said.err
    assert "| strategy" in said.out
    assert "Queries to the optimum" in said.out
    assert "Wilcoxon" in said.out
    (run,) = Path("runs").iterdir()
    written = config(run)
    assert written["seeds"] == [0, 1, 2, 3]
    assert {entry["name"]: entry["options"] for entry in written["strategies"]} == {
        "random": {},
        "evolution": {"population": 8},
        "weaknas": {"round_size": 5},
    }
    for name in ("comparison.md", "queries.parquet", "regret.svg", "regret.png"):
        assert (run / "report" / name).exists()
        assert str(run / "report" / name) in said.out
    numbers = json.loads(cli("show", run, "--json").out)
    assert list(numbers["values"]) == ["random", "evolution", "weaknas"]
    assert "12 of 12 searches" in cli("runs", "list").out
    before = journal(run)
    assert cli("resume", run, "--quiet").code == 0
    assert journal(run) == before


@pytest.mark.parametrize(("text", "seeds"), [("3", [0, 1, 2]), ("5:8", [5, 6, 7]), ("4,2,9", [4, 2, 9]), ("7,", None)])
def test_seeds(cli, text, seeds):
    said = cli("compare", "random", "--queries", 10, "--seeds", text, "--quiet", "--run-dir", "run")
    if seeds is None:
        assert said.code == 2
    else:
        assert said.code == 0
        assert config("run")["seeds"] == seeds


def test_list_has_a_line_for_everything(cli):
    said = cli("list")
    assert said.code == 0
    for name in ("nasbench201", "weaknas", "weaknas-paper", "regularized-evolution", "gaussian-process", "mlp-paper"):
        (line,) = [line for line in said.out.splitlines() if line.split()[:1] == [name]]
        assert len(line.split()) > 3, f"{name} is not described"
    assert "nasbench201/imagenet16-120" in said.out
    assert "ei" in said.out


def test_table_commands(cli):
    assert "nasbench201/cifar100" in cli("table", "list").out
    assert json.loads(cli("table", "info", "nasbench201/cifar10").out)["name"] == "nasbench201/cifar10"
    assert cli("table", "doctor").code == 0


def test_runs_list_says_when_there_are_none(cli):
    said = cli("runs", "list")
    assert said.code == 0
    assert "no runs" in said.out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(cli, words):
    said = cli(*words, "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: frugalnas {' '.join(words[:1])}".strip())
    assert "Traceback" not in said.err


def test_help_of_search_has_the_options_of_the_strategy(cli):
    assert "--tournament" in cli("search", "evolution", "--help").out
    assert "--acquisition" in cli("search", "--help").out
    assert "--tournament" not in cli("search", "random", "--help").out
    assert cli("--version").out.strip() == f"frugalnas {frugalnas.__version__}"


def test_the_strategy_may_be_named_after_the_options(cli):
    said = cli("search", "--queries", 12, "evolution", "--tournament", 3, "--quiet", "--run-dir", "run")
    assert said.code == 0, said.err
    assert config("run")["strategy"]["options"]["tournament"] == 3


@pytest.mark.typical("arguments0-*", "arguments2-*", "arguments7-*", "arguments8-*")
@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [
        (["weaknas", "--predictor", "mlp", "--set", "predictor.hidden=8,4"], "hidden", [8, 4]),
        (["weaknas", "--predictor", "mlp", "--set", "predictor.hidden=8"], "hidden", [8]),
        (["weaknas", "--predictor", "forest", "--set", "predictor.depth=none"], "depth", None),
        (["weaknas", "--predictor", "forest", "--set", "predictor.depth=4"], "depth", 4),
        (["weaknas", "--predictor", "boosting", "--set", "predictor.learning_rate=0.3"], "learning_rate", 0.3),
        (["weaknas", "--predictor", "ridge", "--set", "predictor.encoding=onehot"], "encoding", "onehot"),
        (["weaknas", "--set", "predictor.smoothness=0.5"], "smoothness", 0.5),
        (["local-search", "--whole-neighbourhood"], "whole_neighbourhood", True),
        (["weaknas", "--top-end", "none", "--keep-old", "top"], "keep_old", "top"),
    ],
)
def test_options_become_what_they_mean(cli, arguments, option, value):
    said = cli("search", *arguments, "--queries", 10, "--quiet", "--run-dir", "run")
    assert said.code == 0, said.err
    options = config("run")["strategy"]["options"]
    if any("predictor." in argument for argument in arguments):
        options = options["predictor"]["options"]
    assert options[option] == value
    assert type(options[option]) is type(value)


def test_a_label_and_a_limit(cli):
    said = cli("search", "random", "--queries", 20, "--where", "params<=0.5e6,macs<=8e7", "--label", "0", "--quiet")
    assert said.code == 0
    (run,) = Path("runs").iterdir()
    result = load_search(run)
    assert (SPACE.count("params", result.codes) <= 0.5e6).all()
    table = open_table()
    np.testing.assert_array_equal(result.values, table.labels(mode="0")[table.rows(result.codes)])


def test_the_next_run_has_a_folder_of_its_own(cli):
    for _ in range(2):
        assert cli("search", "random", "--queries", 10, "--quiet").code == 0
    names = {path.name for path in Path("runs").iterdir()}
    assert names == {"random-nasbench201-cifar10-seed0", "random-nasbench201-cifar10-seed0-2"}


# -- one's own evaluator -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["function", "class"])
def test_ones_own_evaluator_in_the_current_folder(command, name, tmp_path):
    here = tmp_path / "here"
    shutil.copy(user_code.__file__, here / "my_code.py")
    target = {"function": ["my_code:worth"], "class": ["my_code:Shifted", "--set", "evaluator.shift=1.5"]}[name]
    said = command("search", "evolution", "--evaluator", *target, "--queries", 20, "--quiet", cwd=here).end()
    assert said.code == 0, said.err
    (run,) = (here / "runs").iterdir()
    expected = journal(run)
    shift = 1.5 if name == "class" else 0.0
    lines = [json.loads(line) for line in expected.splitlines()]
    assert [line["value"] for line in lines] == [user_code.worth(line["architecture"]) + shift for line in lines]
    (run / "journal.jsonl").write_bytes(expected[: len(expected) // 2])
    assert command("resume", run.relative_to(here), "--quiet", cwd=here).end().code == 0
    assert journal(run) == expected


def test_resuming_where_the_evaluator_is_not_found_says_so(cli, tmp_path):
    assert cli("search", "random", "--evaluator", "user_code:worth", "--queries", 12, "--quiet").code == 0
    (run,) = Path("runs").iterdir()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("user_code", "lost_code"))
    (run / "seal.json").unlink()  # an older version made the run
    said = cli("resume", run)
    assert said.code == 2
    assert "lost_code" in said.err
    assert "PYTHONPATH" in said.err


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(x:\n", "SyntaxError"),
        ("raise RuntimeError('no licence')\n", "no licence"),
        ("import not_installed_xyz\n", "not_installed_xyz"),
    ],
)
def test_a_module_that_cannot_be_imported_is_said(cli, source, expected):
    Path("broken_code.py").write_text(source)
    said = cli("search", "random", "--evaluator", "broken_code:f", "--queries", 12, "--run-dir", "run")
    assert said.code == 2
    assert "broken_code" in said.err
    assert expected in said.err
    assert not Path("run").exists()


def test_numbers_are_read_as_people_write_them(cli):
    assert cli("search", "random", "--queries", "0.02k", "--seed", "1_0", "--seconds", "5min", "--initial", "1e1",
               "--where", "params<=0.5M, macs<=80 MMACs", "--quiet", "--run-dir", "run").code == 0  # fmt: skip
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["budget"] == {"queries": 20, "seconds": 300.0, "until_optimum": False, "failures": 20}
    assert (config["strategy"]["options"]["seed"], config["strategy"]["options"]["initial"]) == (10, 10)
    assert config["space"]["limits"]["where"] == "params<=500000,macs<=80000000"
    assert str(Constraint.parse("latency<=0.005s")[0]) == "latency<=5"


@pytest.mark.parametrize("words", [[], ["table"], ["runs"], ["report"]])
def test_a_command_that_is_left_out_is_asked_for_with_help(cli, words):
    said = cli(*words)
    assert said.code == 0
    assert "COMMAND" in said.out
    assert not said.err


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD_INPUT = {
    # unknown names list the choices
    "search nothing": "unknown strategy 'nothing'; choose one of: random, evolution",
    "search evolutoin": "did you mean 'evolution'",
    "search --table nb201": "unknown table 'nb201'.*nasbench201/cifar10",
    "search --space nb301": "unknown space 'nb301'.*nasbench201",
    "search --predictor gp": "unknown predictor 'gp'.*gaussian-process",
    "search --acquisition best": "ei, ucb, pi",
    "search --keep-old some": "all, top, none",
    "search --label 3": "mean, random, 0, 1, 2",
    "search --evaluator nothing": "unknown evaluator",
    "compare random,nothing": "unknown strategy 'nothing'",
    "table info nothing": "unknown table",
    "table info ../../etc": "cannot name a table",
    "nothing": "nothing",
    "search random --tournament 3": "--tournament",
    "search --set predictor.membres=3": "membres",
    "search --querys 20": "did you mean --queries",
    "search --space darts": "--evaluator training or your own function",
    "search --set acquisition.x=3": "unknown part of --set 'acquisition'.*predictor, space, evaluator",
    "compare random,weaknas --set wekanas.initial=5": "wekanas",
    "compare random --set random.initail=5": "random.initial",
    # values
    "search --queries many": "many",
    "search --queries 0": "budget",
    "search --queries -3": "budget",
    "search --queries 5": "initial sample of 10",
    "search --queries 6000": "5,044",
    "search --queries 20 --initial 30": "initial sample of 30",
    "search --initial 0": "initial is 0; it is at least 1",
    "search --initial 100000": "initial|networks",
    "search --initial ten": "--initial: 'ten' is not INTEGER",
    "search --initial 1.5": "INTEGER",
    "search --seed -1": "seed",
    "search --seed x": "INTEGER",
    "search --seconds 0": "budget",
    "search --seconds nan --queries 20": "budget|seconds",
    "search --seconds soon": "soon",
    "search --round-size 0": "round_size",
    "search --pool 3": "pool",
    "search --top-start 0": "top_start",
    "search --top-end 1000": "top_end",
    "search --top-decay 2": "top_decay",
    "search evolution --population 0": "population",
    "search evolution --edits 0": "edits",
    "search local-search --whole-neighbourhood perhaps": "perhaps",
    "search --workers 0": "workers",
    "search --timeout 0": "limit",
    "search --timeout nan": "limit|timeout",
    "search --predictor forest --set predictor.trees=0": "trees",
    "search --predictor forest --set predictor.depth=0": "depth",
    "search --predictor boosting --set predictor.members=0": "members",
    "search --predictor boosting --set predictor.learning_rate=-1": "learning_rate",
    "search --predictor mlp --set predictor.members=0": "members",
    "search --predictor mlp --set predictor.hidden=0": "hidden",
    "search --predictor mlp --set predictor.hidden=": "hidden",
    "search --predictor mlp --set predictor.hidden=8,x": "hidden",
    "search --predictor mlp --set predictor.epochs=0": "epochs",
    "search --predictor ridge --set predictor.encoding=paths": "encoding.*path",
    "search --set predictor.smoothness=2": "smoothness",
    "search --set predictor": "PART.NAME=VALUE",
    "search --set =": "PART.NAME=VALUE",
    "search random --set predictor.members=3": "no predictor",
    "search --set evaluator.shift=3": "--evaluator",
    # where
    "search --where params": "cannot read the limit 'params'",
    "search --where params<=": "cannot read the limit",
    "search --budget 100": "a search's queries are --queries",
    "search --where params<=1m": "'m' is not understood; k, M",
    "search --where macs<=80MFLOPs": "write MACs, such as 475MMACs",
    "search --where params<=1": "params lie between",
    "search --where latency<3": "latency lie between 7",
    "search --where energy<3": "cannot count 'energy'; it counts params, macs",
    # what is not what it should be
    "search --table nasbench201/cifar10 --evaluator user_code:worth": "give one",
    "search --evaluator user_code:nothing": "no 'nothing'",
    "search --evaluator user_code:NOT_CALLABLE": "not an? evaluator",
    "search --evaluator user_code:NotAnEvaluator": "not an evaluator",
    "search --evaluator user_code:Shifted --set evaluator.shitf=3": "evaluator.shift",
    "search --evaluator user_code:Shifted --set evaluator.shift=far": "NUMBER",
    "search --evaluator user_code:Counting --workers 2": "stateful",
    "search --evaluator frugalnas:Budget": "not an evaluator",
    "search --evaluator collections:OrderedDict": "not an evaluator",
    "search --evaluator no_such_module:f": "cannot import 'no_such_module'",
    "search --evaluator .user_code:f": "import path",
    "search --evaluator user_code:": "import path",
    "search --evaluator :f": "import path",
    "search --until-optimum --evaluator user_code:worth": "knows the optimum",
    "search math:sqrt": "not a strategy",
    "search builtins:dict": "not a strategy",
    "search frugalnas:NASBench201": "not a strategy",
    "search user_code:NOT_CALLABLE": "not a strategy",
    "search --predictor math:sqrt": "not a predictor",
    "search --predictor user_code:NotAnEvaluator": "not a predictor",
    "search --space os:getcwd": "not a space",
    "search --space user_code:NotAnEvaluator": "not a space",
    # comparisons
    "compare": "strategies",
    "compare ,": "at least one strategy",
    "compare random,random": "compared with itself",
    "compare random --seeds 0": "names no seeds",
    "compare random --seeds 5:5": "names no seeds",
    "compare random --seeds -4": "names no seeds|--seeds",
    "compare random --seeds 1,1": "no seed twice",
    "compare random --seeds 1,x": "whole numbers",
    "compare random --seeds 1:2:3": "names no seeds",
    "compare random --budgets 0": "between 1 and",
    "compare random --budgets 500 --queries 100": "between 1 and",
    "compare random --budgets a": "whole numbers",
    "compare random --jobs 0": "jobs|processes",
    "compare random --jobs -1": "jobs|processes",
    "compare random --queries 5": "initial sample",
    "compare random --evaluator user_code:worth --until-optimum": "knows the optimum",
    # runs
    "resume nothing": "no run at nothing",
    "show nothing": "no run at nothing",
    "show": "RUN",
    "table import": "file",
}


@pytest.mark.parametrize("line", BAD_INPUT)
def test_bad_input_is_one_message_and_leaves_nothing(cli, line):
    words = line.split()
    said = cli(*words, *(["--run-dir", "run"] if words[0] in ("search", "compare") else []))
    assert said.code == 2, said.out
    message = said.err.strip()
    assert any_of(BAD_INPUT[line], message), message
    lines = message.splitlines()
    assert lines[-1].startswith("frugalnas") or lines[0].startswith("frugalnas: ")
    assert not any(line.startswith("Traceback") for line in lines)
    assert left_behind() == []


def any_of(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text, re.DOTALL) is not None


def test_a_cell_that_does_not_parse_is_shown_with_the_place(cli):
    Path("results.csv").write_text("architecture,validation\n|nor_conv_3x3~0|+|conv_7x7~0|nor_conv_1x1~1|,90\n")
    said = cli("table", "import", "results.csv", "--name", "mine")
    assert said.code == 2
    lines = said.err.splitlines()
    assert "row 1" in lines[0]
    assert "unknown operation 'conv_7x7'" in lines[0]
    assert lines[1][lines[2].index("^")] == "c"


def test_an_existing_folder_is_never_overwritten(cli):
    assert cli("search", "random", "--queries", 12, "--quiet", "--run-dir", "run").code == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    for command in (["search", "evolution"], ["compare", "random"]):
        said = cli(*command, "--queries", 12, "--run-dir", "run")
        assert said.code == 2
        assert "already there" in said.err
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}


def test_a_comparison_keeps_its_budget(cli):
    assert cli("compare", "random", "--queries", 12, "--seeds", 2, "--quiet", "--run-dir", "run").code == 0
    said = cli("resume", "run", "--queries", 20)
    assert said.code == 2
    assert "run is a comparison, which cannot change --queries; it keeps its budget; start another one" in said.err
    assert "cannot change --epochs; it takes --jobs" in cli("resume", "run", "--epochs", 20).err


OPTIONS = [
    "--where",
    "--label",
    "--table",
    "--space",
    "--predictor",
    "--evaluator",
    "--set",
    "--seed",
    "--initial",
    "--timeout",
]


@pytest.mark.slow
@settings(max_examples=3 * settings().max_examples)
@given(option=st.sampled_from(OPTIONS), text=st.text(st.characters(exclude_categories=["Cs"]), max_size=25))
def test_no_option_value_makes_a_traceback(cli, option, text):
    # Five queries are fewer than the initial sample: nothing runs, unless the option makes the sample as small.
    if option == "--initial":
        with suppress(ValueError):
            assume(int(text) > 5)
    said = cli("search", f"{option}={text}", "--queries", 5, "--run-dir", "run")
    assert said.code == 2
    assert said.err
    assert left_behind() == []


@pytest.mark.slow
@given(
    setting=st.from_regex(r"(predictor|evaluator|x)\.[a-z_]{1,10}=.{0,8}", fullmatch=True),
    predictor=st.sampled_from(["mlp", "forest", "boosting", "ridge", "gaussian-process"]),
)
def test_no_setting_makes_a_traceback(cli, setting, predictor):
    said = cli("search", "--predictor", predictor, "--set", setting, "--queries", 5, "--run-dir", "run")
    assert said.code == 2
    assert said.err


# -- real processes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_installed_command_searches_and_shows(command):
    here = Path.cwd()
    said = command("search", "--queries", 20, cwd=here).end()
    assert said.code == 0, said.err
    assert "15,625" in said.out
    (run,) = (here / "runs").iterdir()
    shown = command("show", run.relative_to(here), "--json", cwd=here).end()
    assert json.loads(shown.out)["queries"] == 20


def test_a_reader_that_leaves_early_is_no_error(python):
    call = "import sys; from frugalnas.cli import main; sys.exit(main())"
    process = python("-c", call, "list")
    process.child.stdout.close()
    process.child.stdout = None
    said = process.end()
    assert "Traceback" not in said.err
    assert said.code == 0


def test_errors_of_the_command_go_to_standard_error(command):
    said = command("search", "nothing").end()
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("frugalnas: unknown strategy")
