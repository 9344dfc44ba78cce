"""`frugalnas table`: list, info, import and doctor."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from frugalnas.cli.parsing import option
from frugalnas.cli.text import print_columns, print_json
from frugalnas.errors import FrugalnasError
from frugalnas.progress import Bar

if TYPE_CHECKING:
    from frugalnas.tables import Table


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Tabular benchmarks."
    kinds = parser.add_subparsers(metavar="COMMAND")
    listed = kinds.add_parser("list", help="the tables that can be searched")
    listed.set_defaults(run=_list)
    info = kinds.add_parser("info", help="columns, source, licence and units of a table")
    option(info, "name NAME")
    info.set_defaults(run=_info)
    doctor = kinds.add_parser("doctor", help="what is installed, cached or damaged, and the next step")
    doctor.set_defaults(run=_doctor)
    imported = kinds.add_parser(
        "import",
        help="make tables from a benchmark file, or from a Parquet, CSV or TSV file of your own",
        description="Make tables from an official benchmark file, which is recognised by its content "
        "(nasbench_only108.tfrecord, NATS-tss-v1_0-3ffb9-simple/, NAS-Bench-201-v1_1-096897.pth, ...), or from a Parquet, "
        "CSV or TSV file of your own results.",
        epilog="Example: frugalnas table import results.parquet --name nasbench201/mine --architecture arch_str "
        "--column validation=val200 --column test=test_seed0,test_seed1 --column params=params_M --scale params=1e6",
    )
    option(imported, "file", kind=Path)
    option(imported, "--name", "of the new table; needed for a file of your own, and put in front of several tables")
    option(imported, "--jobs N", "processes, for a folder with a file per architecture [all cores]", int)
    option(imported, "--quiet", "no progress, only the result", bool)
    own = imported.add_argument_group("for a file of your own")
    option(own, "--space NAME", "of its architectures, or your own as MODULE:CLASS [nasbench201]")
    option(own, "--set space.NAME=VALUE", "an option of the space", list, default=None)
    option(own, "--architecture COLUMN", "column that holds the architectures [architecture, arch_str or arch]")
    option(
        own,
        "--column ROLE=A,B,...",
        "what a column is, one name per seed: validation, test, training_seconds, latency_ms, params, macs",
        list,
        dest="columns",
        default=None,
    )
    option(own, "--scale ROLE=FACTOR", "factor to the role's unit: %% for accuracies, s, ms, 1", list, default=None)
    option(own, "--epochs", "of the trainings", int)
    option(own, "--split", "the data that validation and test were measured on")
    option(own, "--licence", "of the numbers")
    imported.set_defaults(run=_import)


def table_states() -> list[tuple[str, str, str]]:
    """Name, state and description of every table."""
    from frugalnas.tables import examine, table_names

    names = table_names()
    return [(found.subject, found.state, found.detail) for found in examine() if found.subject in names]


def _list(parsed: argparse.Namespace) -> None:
    print_columns(table_states(), ("table", "state", "what it has"))


def _info(parsed: argparse.Namespace) -> None:
    from frugalnas.tables import open_table
    from frugalnas.tables.repeats import repeat_notes

    table = open_table(parsed.name)
    manifest = {key: value for key, value in table.manifest.items() if key not in ("files", "format")}
    notes = {role: said for role in ("validation", "test") if (said := repeat_notes(table, role))}
    print_json({**manifest, "notes": notes, "folder": str(table.folder)})


def _doctor(parsed: argparse.Namespace) -> int:
    from frugalnas.tables import examine

    found = examine()
    rows = [(finding.subject, finding.state, finding.detail) for finding in found]
    print_columns(rows, ("what", "state", "found"))
    for finding in found:
        for note in finding.notes:
            print(f"  {finding.subject}: {note}")
    steps = [f"{finding.subject}: {finding.next_step}" for finding in found if finding.next_step]
    print("\nnext steps:" if steps else "\nnothing to be done")
    for step in steps:
        print(f"  {step}")
    return int(any(finding.state == "damaged" for finding in found))


OWN = ("space", "set", "architecture", "columns", "scale", "epochs", "split", "licence")
"""Options that say what an official file says itself."""


def _import(parsed: argparse.Namespace) -> None:
    from frugalnas.tables import import_benchmark, is_benchmark

    if is_benchmark(parsed.file):
        given = [f"`{name}`" for name in OWN if getattr(parsed, name) is not None]
        if given:
            raise FrugalnasError(f"{parsed.file} is a benchmark file and says so itself: leave {', '.join(given)} out")
        jobs = os.cpu_count() or 1 if parsed.jobs is None else parsed.jobs
        if jobs < 1:
            raise FrugalnasError(f"--jobs {jobs}: at least one process is needed")
        with closing(Bar(parsed.file.name, quiet=parsed.quiet, share=True)) as bar:
            tables = import_benchmark(parsed.file, name=parsed.name, jobs=jobs, on_progress=bar.update)
    else:
        tables = [_import_columns(parsed)]
    for table in tables:
        print(f"{table}\n  {_how_to_search(table)}")


def _import_columns(parsed: argparse.Namespace) -> Table:
    from frugalnas.cli.options import matched, settings_of
    from frugalnas.cli.search import describe_space_option
    from frugalnas.tables import import_table
    from frugalnas.tables.importing import SUFFIXES
    from frugalnas.tables.official import not_known

    if parsed.file.suffix.lower() not in SUFFIXES:
        raise not_known(parsed.file)
    if parsed.name is None:
        raise FrugalnasError(f"{parsed.file}: what is the new table called? Add --name, such as nasbench201/mine")
    if parsed.jobs is not None:
        raise FrugalnasError("--jobs is for a folder with a file per architecture; leave it out")
    try:
        scaled = matched(parsed.scale or (), "([^=]+)=(.+)", "ROLE=VALUE", "--scale")
        scale = {role: float(factor) for role, factor in scaled}
    except ValueError as error:
        raise FrugalnasError(f"--scale: {error}") from None
    settings = settings_of(parsed.set or (), ("space",))
    columns = matched(parsed.columns or (), "([^=]+)=(.+)", "ROLE=VALUE", "--column")
    return import_table(
        parsed.file,
        name=parsed.name,
        space=describe_space_option(parsed.space or "nasbench201", settings),
        architecture=parsed.architecture,
        columns={role: used.split(",") for role, used in columns},
        scale=scale,
        epochs=parsed.epochs,
        split=parsed.split or "",
        licence=parsed.licence or "not stated",
    )


def _how_to_search(table: Table) -> str:
    partial = ""
    if table.partial:
        partial = f"\n  It has {len(table):,} of {table.space.size:,} architectures: only these are searched"
    if "validation" in table.columns:
        return f"Search it with: frugalnas search --table {table.name}{partial}"
    if table.has_test:
        return f"No validation results: an oracle study at most, frugalnas search --table {table.name} --objectives oracle-test"
    return "It has no accuracies to search by"
