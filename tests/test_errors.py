"""What the machine does to a run is told apart from what an architecture does, and limits say how they are raised."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import frugalnas
from frugalnas.cli.options import evaluator_settings
from frugalnas.cli.parsing import parse, parser_of, wording
from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.limits import within


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_what_the_machine_lacks_is_one_line_with_the_mend(number):
    said = str(surroundings(OSError(number, os.strerror(number), "runs/a/journal.jsonl")))
    assert said.startswith(f"runs/a/journal.jsonl: {os.strerror(number)}; ")
    assert "\n" not in said


def test_wrapped_errors_of_the_machine_are_recognised():
    wrapped = RuntimeError("I/O error: No space left on device (os error 28)")
    assert surroundings(wrapped) is not None
    outer = ValueError("cannot save")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert surroundings(outer) is not None
    assert surroundings(MemoryError()) is not None
    assert "No space left" in str(surroundings(OSError("93750 requested and 65408 written")))  # NumPy's


@pytest.mark.parametrize(
    "error", [ValueError("bad"), FileNotFoundError(errno.ENOENT, "gone"), RuntimeError("CUDA error")]
)
def test_other_errors_are_not_the_surroundings(error):
    assert surroundings(error) is None


@pytest.mark.filterwarnings("default")  # here they are errors otherwise
def test_a_warning_of_a_command_is_one_line(cli, tmp_path):
    said = cli(
        "search", "random", "--evaluator", "user_code:worded", "--queries", 10, "--quiet", "--run-dir", tmp_path / "run"
    )
    assert "frugalnas: the metric 'device' is no number, so it is not kept\n" in said.err
    assert ".py" not in said.err


def test_a_limit_names_itself_and_how_it_is_raised(monkeypatch):
    within("layers", 500, "card.json")
    with pytest.raises(FrugalnasError, match=r"card\.json asks for 501 .* limit is 500 .*FRUGALNAS_LIMIT_LAYERS"):
        within("layers", 501, "card.json")
    monkeypatch.setenv("FRUGALNAS_LIMIT_LAYERS", "2e3")
    within("layers", 501, "card.json")


# -- arguments by name -------------------------------------------------------------------------------------------------

SOURCE = Path(frugalnas.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z]")
COMMAND = re.compile(r"(frugalnas [a-z{]|python -m pip)[^;,()\n]*")


def texts(path: Path) -> Iterator[str]:
    """The strings of a file, of those with values in them `{}` in their places."""
    tree = ast.parse(path.read_text())
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in formatted for part in ast.walk(node)}
    for node in formatted:
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def test_only_the_command_line_speaks_of_options():
    """The library names arguments; a command that may be typed as it stands is named with its options."""
    speaking = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "cli"
        and OPTION.search(path.read_text())
        and any(OPTION.search(COMMAND.sub("", text)) for text in texts(path))
    }
    assert speaking == set()


@pytest.mark.parametrize(
    ("command", "message", "said"),
    [
        ("search", "raise `queries` or lower `initial`", "raise --queries or lower --initial"),
        ("search", "lower `max_failures`=3", "lower --max-failures 3"),
        ("search", "say `until_optimum`=True", "say --until-optimum"),
        ("search", "`predictor.members` is at least 1", "--set predictor.members is at least 1"),
        ("search", "choose another `stage`", "choose another stage"),
        ("search", "`frugalnas list` has `package.module:Class`", "`frugalnas list` has `package.module:Class`"),
        (
            "train",
            "choose an `input_size`; set `drop_path_ramp`=false",
            "choose an --input; set --set drop_path_ramp=false",
        ),
        ("resume", "`run_dir` keeps its `recipe`; `where` is too low", "RUN keeps its recipe; --where is too low"),
        ("show", "`json` and `queries`", "--json and queries"),
    ],
)
def test_arguments_in_backticks_become_what_is_typed(command, message, said):
    parser = parser_of(command, "weaknas" if command == "search" else None)
    assert wording(parser)(message) == said


def test_options_of_a_strategy_may_stand_anywhere():
    parsed = parse(["search", "--until-opt", "local-search", "--whole-neighbourhood"])
    assert (parsed.strategy, parsed.until_optimum, parsed.option_whole_neighbourhood) == ("local-search", True, True)
    parsed = parse(["search", "--populat", "50", "--queries", "60", "evolution", "--trust"])
    assert (parsed.strategy, parsed.option_population, parsed.queries) == ("evolution", "50", 60)
    parsed = parse(["search", "--predictor", "user_code:Mine"])  # an import path, but not of the strategy
    assert (parsed.strategy, parsed.option_predictor) == ("weaknas", "user_code:Mine")
    parsed = parse(["score", "run", "one", "--score", "angle", "another", "--top", "3", "third"])
    assert (parsed.run_dir, parsed.architectures, parsed.top) == ("run", ["one", "another", "third"], 3)
    with pytest.raises(FrugalnasError, match="unrecognized arguments: --round-size 10"):
        parse(["search", "evolution", "--round-size", "10"])  # an option of the default strategy


def test_what_trains_answers_by_the_options_of_train():
    parsed = parse(
        ["search", "random", "--evaluator", "training", "--data", "digits", "--epochs", "3", "--input-size", "8"]
    )
    settings = {"evaluator": {"layers": "1"}}
    evaluator_settings(parsed, settings)
    assert settings == {"evaluator": {"layers": "1", "data": "digits", "epochs": "3", "input_size": "8"}}
    with pytest.raises(FrugalnasError, match=r"--epochs and --set evaluator\.epochs say the same"):
        evaluator_settings(parsed, {"evaluator": {"epochs": "4"}})
    with pytest.raises(
        FrugalnasError, match="--recipe cifar goes with --score of untrained networks, or --evaluator training"
    ):
        evaluator_settings(parse(["search", "--recipe", "cifar"]), {})


def test_shells_complete_commands_strategies_and_their_options(cli):
    script = cli("completion", "bash").out
    for word in ("compare-predictors", "local-search", "--whole-neighbourhood", "--until-optimum", "doctor"):
        assert word in script
