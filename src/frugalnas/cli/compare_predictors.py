"""`frugalnas compare-predictors`: predictors that learn from the same labels, judged on what they have not seen."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from frugalnas.cli.options import add_operators, converted, labelled_names, numbers, settings_of
from frugalnas.cli.parsing import option
from frugalnas.cli.text import carried_out
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.registry import PREDICTORS, constructor_options

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
    option(
        parser,
        "predictors",
        f"names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart [{DEFAULT}, and with --pretrained "
        "a second gin, which starts from that encoder]",
        nargs="?",
    )
    group = parser.add_argument_group("what is predicted")
    option(group, "--table NAME", f"table that knows the values [{DEFAULT_TABLE}]")
    option(
        group,
        "--labels FILE|RUN",
        "your own: CSV or Parquet with columns architecture and value, or the folder of a search",
        Path,
    )
    option(group, "--space NAME", "space of the architectures in --labels")
    add_operators(group)
    option(group, "--column NAME", "validation, test or whole_test of a table; a column of --labels [the first]")
    option(group, "--architecture COLUMN", "column of architectures in --labels FILE [architecture, arch_str or arch]")
    option(
        group,
        "--split",
        "networks: what is predicted are other networks than those learned from; codes: other spellings, as papers draw "
        "NAS-Bench-201's codes, some of which are networks learned from: this flatters tau by 0.03 to 0.06 [networks]",
        ("networks", "codes"),
        default="networks",
    )
    option(group, "--label WHICH", "of a table, what is learned: mean over seeds, random, or a seed's place [mean]")
    option(
        group,
        "--targets HOW",
        "what predictors are fitted to: rank, as searches do, standard, or the raw values; for some of them as "
        "LABEL=HOW,LABEL=HOW,... [rank; raw for those of papers, and for outputs in percent]",
    )
    option(group, "--held-out N", "predict N architectures, drawn once, in place of all others", int)
    option(parser, "--budgets A,B,...", "numbers of labels [20,50,100,150,200, as far as there are labels]", numbers)
    option(parser, "--trials N", f"random samples [{DEFAULT_TRIALS}]", int, default=DEFAULT_TRIALS)
    option(parser, "--seed N", "of the samples and of the predictors [0]", int, default=0)
    option(parser, "--jobs N", "processes [1]", int, default=1)
    option(
        parser,
        "--pretrained RUN",
        "encoder of every predictor that takes one and has no other set: ss-ccl or ss-rl, which are pre-trained the first "
        "time, or a run of frugalnas pretrain",
    )
    option(
        parser, "--set PREDICTOR.NAME=VALUE", "an option of one predictor, such as mlp.members=5, or of the space", list
    )
    option(
        parser,
        "--no-baselines",
        "leave out parameters, MACs (where the space counts them) and a random order, which every predictor has to beat",
        bool,
    )
    option(parser, "--run-dir FOLDER", "new folder [runs/predictors-<subject>]", Path)
    option(parser, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> None:
    """Assess, then show."""
    from frugalnas.cli.search import described_subject
    from frugalnas.studies.assessment import AssessmentRun, assess
    from frugalnas.studies.labelled import Labelled
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    if parsed.labels is not None and parsed.table is not None:
        raise FrugalnasError("--table and --labels both say what is predicted; give one")
    if parsed.labels is not None and parsed.label is not None:
        raise FrugalnasError("--label chooses among a table's runs; --labels FILE has a value for each architecture")
    named, learnt = labelled_names(parsed.predictors or DEFAULT, "predictor"), None
    if parsed.predictors is None and parsed.pretrained is not None:
        learnt = f"gin-{Path(parsed.pretrained).name}"
        named[learnt] = "gin"
    settings = settings_of(parsed.set, (*named, "space"))
    predictors = _with_targets(predictor_descriptions(named, settings, parsed.pretrained, learnt), parsed.targets)
    table = None if parsed.labels is not None else parsed.table or DEFAULT_TABLE
    said = {name: getattr(parsed, name) for name in ("labels", "space", "column", "architecture", "split", "held_out")}
    labelled = Labelled(table, label=parsed.label or "mean", **said)
    if parsed.space is not None or parsed.operators is not None or "space" in settings:
        labelled = replace(labelled, space=described_subject(parsed, labelled.described()["space"], settings))
    if not parsed.no_baselines:
        predictors += _baselines(labelled.described()["space"], predictors)
    subject = parsed.labels.stem if table is None else table.replace("/", "-")
    options = {name: getattr(parsed, name) for name in ("budgets", "trials", "seed", "jobs")}
    carried_out(AssessmentRun(), partial(assess, predictors, labelled, **options), parsed, f"predictors-{subject}")


def predictor_descriptions(
    named: dict[str, str], settings: dict[str, dict[str, str]], pretrained: str | None, learnt: str | None = None
) -> list[dict[str, Any]]:
    """The predictors that names and settings mean; an encoder goes to the one called `learnt`, or to all that take one."""
    described, takes = [], 0
    for label, name in named.items():
        constructor, own = PREDICTORS.resolve(name), settings.get(label, {})
        options = converted(constructor, own, label)
        if (
            pretrained is not None
            and label in ([learnt] if learnt else named)
            and "pretrained" in constructor_options(constructor)
        ):
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
