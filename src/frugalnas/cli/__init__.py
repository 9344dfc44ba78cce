"""The command line: one file per group of commands, each of which says what it adds and does it.

Commands import what they need when they run, so that `frugalnas --help` is instant.
"""

from frugalnas.cli.main import main

__all__ = ["main"]
