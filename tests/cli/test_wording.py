"""What messages call arguments: every name in backticks is one that somebody can type, and commands word it as it is typed."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

import frugalnas
from frugalnas.cli.parsing import command_actions, inner_commands, overview, parse
from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES, constructor_options

SOURCE = Path(frugalnas.__file__).parent
NAMED = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)`")


def names_in_messages():
    """(name, where) of all that library strings which are no documentation have in backticks."""
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                for name in NAMED.findall(node.value):
                    yield name, f"{path.relative_to(SOURCE)}:{node.lineno}"


def commands(parser, typed=()):
    """Every command as it is typed, those beneath others too."""
    for name, inner in inner_commands(parser).items():
        yield (*typed, name)
        yield from commands(inner, (*typed, name))


def typed_names():
    """What commands take by name, and the values of recipes."""
    from frugalnas.data import Augmentation
    from frugalnas.encoders.recipe import PretrainingRecipe
    from frugalnas.methods.abs import ABS
    from frugalnas.methods.recipe import MethodRecipe
    from frugalnas.methods.rlnas import RLNAS
    from frugalnas.supernets import SupernetRecipe
    from frugalnas.training import Recipe

    names: set[str] = set()
    for command in commands(overview(filled=True)):
        for action in command_actions(command):
            names |= {option.lstrip("-").replace("-", "_") for option in action.option_strings} | {action.dest}
    for record in (Recipe, SupernetRecipe, PretrainingRecipe, MethodRecipe, Augmentation):
        names |= {field.name for field in fields(record)}
    names |= {setting for method in (RLNAS, ABS) for part in method.parts.values() for setting in part.known or ()}
    for registry in (STRATEGIES, SPACES, PREDICTORS):
        names |= {option for name in registry.targets for option in constructor_options(registry.resolve(name))}
    return names


@pytest.mark.slow
def test_what_messages_name_in_backticks_can_be_typed():
    known = typed_names()
    wrong = [f"{where}: {name}" for name, where in names_in_messages() if name.rpartition(".")[2] not in known]
    assert not wrong


@pytest.mark.parametrize(
    ("command", "message", "worded"),
    [
        ("train 0", "take `drop_path_ramp`=false or `compile`", "take --set drop_path_ramp=false or --compile"),
        ("train 0", "`input_size` 0: give the side", "--input 0: give the side"),
        ("train 0", "take `input_size`=17 or more", "take --input 17 or more"),
        ("resume run", "run `stage` supernet first", "run --stage supernet first"),
        ("resume run", "`search.generations`=9, not `epochs`", "--set search.generations=9, not --epochs"),
        ("search --budget macs<=80M", "`where` macs<=80M", "--where macs<=80M"),
    ],
)
def test_a_command_words_arguments_as_they_are_typed(command, message, worded):
    assert parse(command.split()).wording(message) == worded


def test_pages_show_arguments_as_code():
    from frugalnas.report.page import listing, tag

    assert listing(["let it look longer: `search.generations`=N < 9"]).count("`") == 0
    assert tag("p", "with `width`=4 & more") == "<p>with <code>width=4</code> &amp; more</p>"
    assert tag("pre", "`width`") == "<pre>`width`</pre>"
