"""`frugalnas completion`: what a shell needs to complete commands, options and names."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli.parsing import inner_commands, option, overview, parser_of
from frugalnas.registry import STRATEGIES


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Print a script with which a shell completes commands, options and the names of strategies."
    parser.epilog = (
        'bash: eval "$(frugalnas completion bash)" in ~/.bashrc; zsh: frugalnas completion zsh > ~/.zfunc/_frugalnas, with '
        "that folder in fpath; tcsh: frugalnas completion tcsh > ~/.frugalnas.tcsh, which ~/.tcshrc sources."
    )
    option(parser, "shell", "whose script it is", ("bash", "zsh", "tcsh"))
    parser.set_defaults(run=_completion)


def _completion(parsed: argparse.Namespace) -> None:
    import shtab

    whole = overview(filled=True)
    search = inner_commands(whole)["search"]
    next(action for action in search._actions if action.dest == "strategy").choices = list(STRATEGIES.targets)
    for strategy in STRATEGIES.targets:  # a shell cannot know which of them will be named
        for action in parser_of("search", strategy)._actions:
            if not set(action.option_strings) & set(search._option_string_actions) and action.option_strings:
                search._add_action(action)
    _name_files(whole)
    print(shtab.complete(whole, shell=parsed.shell))


def _name_files(parser: argparse.ArgumentParser) -> None:
    """Have arguments that are paths completed by the names of files."""
    import shtab

    for action in parser._actions:
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    for command in inner_commands(parser).values():
        _name_files(command)
