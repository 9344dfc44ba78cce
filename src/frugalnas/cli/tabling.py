"""`frugalnas table`: list, info, import and doctor."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from frugalnas.cli.text import print_columns
from frugalnas.errors import FrugalnasError

__all__ = ["add", "table_states"]


def add(commands: Any) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "table", help="tabular benchmarks: list, info, import, doctor", description="Tabular benchmarks."
    )
    kinds = parser.add_subparsers(metavar="COMMAND", required=True)
    listed = kinds.add_parser("list", help="the tables that can be searched")
    listed.set_defaults(run=_list)
    info = kinds.add_parser("info", help="columns, source, licence and units of a table")
    info.add_argument("name", metavar="NAME")
    info.set_defaults(run=_info)
    doctor = kinds.add_parser("doctor", help="what is installed, cached or damaged, and the next step")
    doctor.set_defaults(run=_doctor)
    imported = kinds.add_parser(
        "import",
        help="make a table from a Parquet or CSV file",
        epilog="Example: frugalnas table import results.parquet --name nasbench201/mine --architecture arch_str "
        "--column validation=val200 --column test=test_seed0,test_seed1 --column params=params_M --scale params=1e6",
    )
    imported.add_argument("file", type=Path)
    imported.add_argument("--name", required=True, help="of the new table")
    imported.add_argument("--space", default="nasbench201", help="of its architectures [nasbench201]")
    imported.add_argument(
        "--architecture", metavar="COLUMN", help="column that holds the architectures [architecture, arch_str or arch]"
    )
    imported.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=A,B,...",
        help="what a column is, one name per seed: validation, test, training_seconds, latency_ms, params, macs",
    )
    imported.add_argument(
        "--scale",
        action="append",
        default=[],
        metavar="ROLE=FACTOR",
        help="factor to the role's unit: %% for accuracies, s, ms, 1",
    )
    imported.add_argument("--epochs", type=int, help="of the trainings")
    imported.add_argument("--split", default="", help="the data that validation and test were measured on")
    imported.add_argument("--licence", default="not stated", help="of the numbers")
    imported.set_defaults(run=_import)


def table_states() -> list[tuple[str, str, str]]:
    """Name, state and description of every table."""
    from frugalnas.tables import examine, table_names

    names = table_names()
    return [(found.subject, found.state, found.detail) for found in examine() if found.subject in names]


def _list(parsed: argparse.Namespace) -> int:
    print_columns(table_states(), ("table", "state", "what it has"))
    return 0


def _info(parsed: argparse.Namespace) -> int:
    from frugalnas.tables import open_table

    table = open_table(parsed.name)
    manifest = {key: value for key, value in table.manifest.items() if key not in ("files", "format")}
    print(json.dumps({**manifest, "folder": str(table.folder)}, indent=2))
    return 0


def _doctor(parsed: argparse.Namespace) -> int:
    from frugalnas.tables import examine

    found = examine()
    rows = [(finding.subject, finding.state, finding.detail) for finding in found]
    print_columns(rows, ("what", "state", "found"))
    steps = [f"{finding.subject}: {finding.next_step}" for finding in found if finding.next_step]
    print("\nnext steps:" if steps else "\nnothing to be done")
    for step in steps:
        print(f"  {step}")
    return int(any(finding.state == "damaged" for finding in found))


def _import(parsed: argparse.Namespace) -> int:
    from frugalnas.tables import import_table

    columns = {role: used.split(",") for role, used in (_pair(entry, "--column") for entry in parsed.column)}
    scale = {}
    for role, factor in (_pair(entry, "--scale") for entry in parsed.scale):
        try:
            scale[role] = float(factor)
        except ValueError:
            raise FrugalnasError(f"--scale {role}={factor}: {factor!r} is not a number") from None
    table = import_table(
        parsed.file,
        name=parsed.name,
        space=parsed.space,
        architecture=parsed.architecture,
        columns=columns,
        scale=scale,
        epochs=parsed.epochs,
        split=parsed.split,
        licence=parsed.licence,
    )
    print(f"{table}\nSearch it with: frugalnas search --table {table.name}")
    return 0


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise FrugalnasError(f"{option} {text!r} is not of the form ROLE=VALUE")
    return name, value
