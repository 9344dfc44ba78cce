"""`frugalnas compare-predictors`: predictors that learn from the same labels, judged on what they have not seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from frugalnas.cli.compare import watched
from frugalnas.cli.options import convert, parse_settings
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.registry import PREDICTORS, constructor_options
from frugalnas.strict_json import to_json

__all__ = ["add", "show_assessment"]

DEFAULT = "gaussian-process,ridge,forest,mlp,gin"
DEFAULT_TRIALS = 40


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    parser.description = (
        "Fit predictors to the same random networks of a table, or of your own labelled architectures, and hold "
        "what they say of all others against the truth: Kendall's tau, Spearman's correlation, how many of the best are "
        "among the first, errors, whether intervals hold, and tests of every pair."
    )
    parser.add_argument(
        "predictors",
        nargs="?",
        help=f"names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart [{DEFAULT}, and with --pretrained "
        "a second gin, which starts from that encoder]",
    )
    group = parser.add_argument_group("what is predicted")
    group.add_argument("--table", metavar="NAME", help=f"table that knows the values [{DEFAULT_TABLE}]")
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE|RUN",
        help="your own: CSV or Parquet with columns architecture and value, or the folder of a search",
    )
    group.add_argument("--space", metavar="NAME", help="space of the architectures in --labels")
    group.add_argument(
        "--column", metavar="NAME", help="validation, test or whole_test of a table; a column of --labels [the first]"
    )
    group.add_argument(
        "--architecture",
        metavar="COLUMN",
        help="column of architectures in --labels FILE [architecture, arch_str or arch]",
    )
    group.add_argument(
        "--split",
        choices=("networks", "codes"),
        default="networks",
        help="networks: what is predicted are other networks than those learned from; codes: other spellings, as papers draw "
        "NAS-Bench-201's codes, some of which are networks learned from: this flatters tau by 0.03 to 0.06 [networks]",
    )
    group.add_argument(
        "--label",
        metavar="WHICH",
        help="of a table, what is learned: mean over seeds, random, or a seed's place [mean]",
    )
    group.add_argument(
        "--targets",
        metavar="HOW",
        help="what predictors are fitted to: rank, as searches do, standard, or the raw values; for some of them as "
        "LABEL=HOW,LABEL=HOW,... [rank; raw for those of papers, and for outputs in percent]",
    )
    group.add_argument(
        "--held-out", type=int, metavar="N", help="predict N architectures, drawn once, in place of all others"
    )
    parser.add_argument(
        "--budgets", metavar="A,B,...", help="numbers of labels [20,50,100,150,200, as far as there are labels]"
    )
    parser.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, metavar="N", help=f"random samples [{DEFAULT_TRIALS}]"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the samples and of the predictors [0]")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes [1]")
    parser.add_argument(
        "--pretrained",
        metavar="RUN",
        help="encoder of every predictor that takes one and has no other set: ss-ccl or ss-rl, which are pre-trained the first "
        "time, or a run of frugalnas pretrain",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PREDICTOR.NAME=VALUE",
        help="an option of one predictor, such as mlp.members=5, or of the space",
    )
    parser.add_argument(
        "--no-baselines",
        action="store_true",
        help="leave out parameters, MACs (where the space counts them) and a random order, which every predictor has to beat",
    )
    parser.add_argument("--run-dir", type=Path, metavar="FOLDER", help="new folder [runs/predictors-<subject>]")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Assess, then show."""
    from frugalnas.cli.compare import numbers_in
    from frugalnas.cli.search import describe_space_option
    from frugalnas.runs.folder import unused_name
    from frugalnas.studies import Labelled, assess
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    if parsed.labels is not None and parsed.table is not None:
        raise FrugalnasError("--table and --labels both say what is predicted; give one")
    if parsed.labels is not None and parsed.label is not None:
        raise FrugalnasError("--label chooses among a table's runs; --labels FILE has a value for each architecture")
    settings = parse_settings(parsed.set)
    predictors = _with_targets(_described(parsed.predictors, settings, parsed.pretrained), parsed.targets)
    table = None if parsed.labels is not None else parsed.table or DEFAULT_TABLE
    space = None
    if parsed.space is not None or "space" in settings:
        name = parsed.space or _space_of(table, parsed.labels)
        space = describe_space_option(name, settings)
    if not parsed.no_baselines:
        predictors += _baselines(space or _space_of(table, parsed.labels), predictors)
    subject = parsed.labels.stem if table is None else table.replace("/", "-")
    run_dir = parsed.run_dir or unused_name(Path("runs"), f"predictors-{subject}")
    labelled = Labelled(
        table,
        parsed.labels,
        space,
        parsed.column,
        parsed.architecture,
        parsed.label or "mean",
        parsed.split,
        parsed.held_out,
    )
    budgets = None if parsed.budgets is None else numbers_in(parsed.budgets, "--budgets")
    options = {name: getattr(parsed, name) for name in ("trials", "seed", "jobs")}
    with watched(run_dir, parsed.quiet, "fits") as callbacks:
        assess(predictors, labelled, budgets=budgets, **options, run_dir=run_dir, callbacks=callbacks)
    return show_assessment(run_dir)


def show_assessment(run_dir: Path, *, as_json: bool = False) -> int:
    """Print a finished assessment and write its table, CSV and Parquet files and figures."""
    from frugalnas.report.assessments import assessment_report
    from frugalnas.studies.assessment import load_assessment

    assessment = load_assessment(run_dir)
    if as_json:
        print(to_json(assessment.to_json(), indent=2))
        return 0
    written = assessment_report(assessment, run_dir / "report")
    print(written[0].read_text(encoding="utf-8"))
    for path in written:
        print(path)
    return 0


def _described(text: str | None, settings: dict[str, dict[str, str]], pretrained: str | None) -> list[dict[str, Any]]:
    """The predictors that a list of names and the settings mean."""
    entries = [
        entry.strip().rpartition("=") for entry in (DEFAULT if text is None else text).split(",") if entry.strip()
    ]
    named = {label or name: name for label, _, name in entries}
    if len(named) < len(entries):
        raise FrugalnasError("a predictor is compared with itself; tell two of a name apart as LABEL=NAME")
    learnt = list(named)
    if text is None and pretrained is not None:
        learnt = [f"gin-{Path(pretrained).name}"]
        named[learnt[0]] = "gin"
    for part in settings:
        if part not in (*named, "space"):
            raise unknown_name("part of --set", part, (*named, "space"))
    described, takes = [], 0
    for label, name in named.items():
        constructor, own = PREDICTORS.resolve(name), settings.get(label, {})
        options = {key: convert(constructor, key, value, f"{label}.{key}") for key, value in own.items()}
        if pretrained is not None and label in learnt and "pretrained" in constructor_options(constructor):
            options.setdefault("pretrained", pretrained)
            takes += 1
        if options.get("pretrained") is not None and Path(options["pretrained"]).exists():
            options["pretrained"] = str(Path(options["pretrained"]).resolve())  # a run may be resumed from elsewhere
        described.append({"name": name, "label": label, "options": options})
    if pretrained is not None and not takes:
        raise FrugalnasError(f"--pretrained {pretrained}: none of {', '.join(named)} takes an encoder; add gin")
    return described


def _baselines(space: dict[str, Any], predictors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What predictors have to beat in a space, those apart that were named."""
    from frugalnas.runs.descriptions import build_space

    names = [*(name for name in ("params", "macs") if name in build_space(space).quantities), "random-order"]
    named = [predictor["label"] for predictor in predictors]
    return [{"name": name} for name in names if name not in named]


def _with_targets(predictors: list[dict[str, Any]], text: str | None) -> list[dict[str, Any]]:
    """The predictors with what each is fitted to."""
    from frugalnas.strategies.labels import LABELS

    labels = [predictor["label"] for predictor in predictors]
    chosen: dict[str, str] = {}
    for part in [] if text is None else text.split(","):
        label, equals, how = part.strip().rpartition("=")
        if how not in LABELS:
            raise unknown_name("--targets", how, LABELS)
        if equals and label not in labels:
            raise unknown_name("predictor in --targets", label, labels)
        chosen.update({label: how} if equals else dict.fromkeys(labels, how))
    return [{**predictor, "targets": chosen.get(predictor["label"])} for predictor in predictors]


def _space_of(table: str | None, labels: Path | None) -> dict[str, Any]:
    from frugalnas.runs.folder import RunFolder
    from frugalnas.tables import open_table

    if table is not None:
        return open_table(table).description
    if labels is not None and labels.is_dir():
        return dict(RunFolder(labels).config["space"])
    raise FrugalnasError("--labels need the space of their architectures, such as --space darts (frugalnas list)")
