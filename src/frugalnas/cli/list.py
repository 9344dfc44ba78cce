"""`frugalnas list`: what there is, one line each."""

from __future__ import annotations

import argparse

from frugalnas.cli.parsing import option
from frugalnas.cli.table import table_states
from frugalnas.cli.text import print_columns

RECIPES = {
    "frugalnas.training": "",
    "frugalnas.supernets": "for supernets (frugalnas supernet train)",
    "frugalnas.encoders": "for encoders (frugalnas pretrain)",
    "frugalnas.methods": "for methods (frugalnas rlnas)",
}
"""Folders that have some, and what these are for."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "What there is, one line each."
    option(parser, "--architectures", "the published architectures that have a name", bool)
    option(parser, "--recipes", "the recipes for training, with their sources", bool)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Print every registered name with the first line of its documentation."""
    if parsed.architectures:
        from frugalnas.spaces import KNOWN

        print_columns([(each.name, each.space, each.source) for each in KNOWN.values()], ("name", "space", "source"))
        return
    if parsed.recipes:
        from frugalnas.recipe_files import recipe_sources  # which does not import the rooms, and so no torch

        for room, purpose in RECIPES.items():
            print(f"\n{purpose}:" if purpose else "", end="\n" * bool(purpose))
            print_columns(list(recipe_sources(room).items()), ("recipe", "source"))
        return
    from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES
    from frugalnas.searches.scoring import SCORES
    from frugalnas.strategies.acquisition import ACQUISITIONS

    for registry, heading in ((SPACES, "spaces"), (STRATEGIES, "strategies"), (PREDICTORS, "predictors")):
        print(f"{heading}:")
        print_columns([[f"  {name}", registry.summary(name)] for name in registry.targets])
        print()
    print("tables:")
    print_columns([[f"  {name}", detail] for name, _, detail in table_states()])
    print(f"\nacquisitions: {', '.join([*ACQUISITIONS, 'uniform'])}")
    print(f"scores: {', '.join(SCORES)}, and sums such as angle+accuracy; these two need a supernet, the others none")
    print("\nfrugalnas list --architectures has published architectures, --recipes settings for training")
