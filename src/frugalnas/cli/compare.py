"""`frugalnas compare` and `compare-predictors`: strategies over seeds, predictors over labels, with statistics."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from frugalnas.cli import search
from frugalnas.cli.options import (
    Settings,
    add_evaluator,
    add_operators,
    converted,
    labelled_names,
    numbers,
    settings_of,
)
from frugalnas.cli.parsing import option
from frugalnas.cli.text import carried_out, watched
from frugalnas.errors import FrugalnasError, one_of
from frugalnas.registry import PREDICTORS, STRATEGIES, constructor_options

DEFAULT_PREDICTORS = "gaussian-process,ridge,forest,mlp,gin"
DEFAULT_TRIALS = 40


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Run strategies over the same seeds and initial samples; print accuracy at budgets, queries to the "
        "optimum and tests, and write them with every query (Parquet) and figures."
    )
    option(
        parser, "strategies", "names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart", nargs="?"
    )
    option(
        parser,
        "--read FILE",
        "in place of strategies: pickled result files of NPENAS, SSNENAS or BANANAS, or folders of them, one trial each",
        Path,
        nargs="+",
    )
    option(parser, "--queries N", f"budget of each search [{search.DEFAULT_QUERIES}]", int)
    option(
        parser,
        "--seeds N|A:B|A,B,...",
        "a number of seeds from 0, a range A to B-1, or a list [10]",
        _seeds,
        default="10",
    )
    option(parser, "--jobs N", "processes [1]", int, default=1)
    option(parser, "--until-optimum", "end each search at the optimum", bool)
    option(
        parser, "--budgets A,B,...", "queries at which values are reported [an eighth, quarter, half and all]", numbers
    )
    add_evaluator(parser)
    option(
        parser,
        "--set STRATEGY.NAME=VALUE",
        "an option of one strategy or its predictor, such as weaknas.round_size=5 or npenas.predictor.members=3, or of "
        "space or evaluator",
        list,
    )
    option(
        parser,
        "--pretrained [STRATEGY=]RUN",
        f"{search.PRETRAINED_HELP}. With a strategy's name its alone, otherwise of those that have a pre-trained one anyway",
        list,
    )
    option(parser, "--run-dir FOLDER", "new folder for the comparison [runs/compare-<subject>]", Path)
    option(parser, "--quiet", "no progress, only the result", bool)
    parser.set_defaults(run=_compare)


def _compare(parsed: argparse.Namespace) -> None:
    from frugalnas.runs.descriptions import build_space
    from frugalnas.runs.folder import unused_name
    from frugalnas.strategies.objectives import parse_objectives
    from frugalnas.studies import compare

    if parsed.read:
        _read(parsed)
        return
    if not parsed.strategies:
        raise FrugalnasError("which strategies? Name some, such as weaknas,random, or give result files to --read")
    named = labelled_names(parsed.strategies, "strategy")
    settings = settings_of(parsed.set, (*named, *(f"{label}.predictor" for label in named), "space", "evaluator"))
    _settle_pretrained(parsed.pretrained, named, settings)
    if parse_objectives(parsed.objectives)[1] or any("costs" in settings.get(label, {}) for label in named):
        raise FrugalnasError(
            "compare ranks searches by one number; search for a Pareto front with: frugalnas search --objectives ..."
        )
    strategies = []
    for label, name in named.items():
        options = settings.get(label, {})
        shown = {key: f"{label}.{key}" for key in options}
        description = search.strategy_description(name, options, settings.get(f"{label}.predictor", {}), shown)
        strategies.append({**description, "label": label})
    space, evaluator = search.describe_subject(parsed, settings)
    for strategy in strategies:
        search.complete(strategy, evaluator)
    if parsed.queries is None:
        parsed.queries = search.default_queries(build_space(space))
    _check_budgets(parsed.budgets, parsed.queries, "--queries, {}")
    run_dir = (parsed.run_dir or unused_name(Path("runs"), f"compare-{search.subject_slug(evaluator)}")).absolute()
    how: dict[str, Any] = {name: getattr(parsed, name) for name in ("queries", "seeds", "jobs", "until_optimum")}
    with watched(run_dir, parsed.quiet, "searches") as callbacks:
        how |= {"evaluator": evaluator, "space": space, "run_dir": run_dir, "callbacks": callbacks}
        found = compare(strategies, **how)
    from frugalnas.report.comparisons import study_page  # with matplotlib, now that there is something to draw

    print(study_page(found, run_dir, parsed.budgets).beneath)


def _read(parsed: argparse.Namespace) -> None:
    """Show the result files of other programs, with the statistics of our own comparisons."""
    from frugalnas.report.comparisons import study_page
    from frugalnas.runs.folder import unused_name
    from frugalnas.studies.references import ReadComparison, read_references

    if parsed.strategies:
        raise FrugalnasError(f"--read shows what files say and runs nothing; leave {parsed.strategies} out")
    read = read_references(parsed.read)
    folder = parsed.run_dir or unused_name(Path("runs"), "compare-read")
    if folder.exists():
        raise FrugalnasError(f"{folder} is already there; choose another --run-dir")
    if isinstance(read, ReadComparison):
        _check_budgets(parsed.budgets, read.queries, "the {} queries of these searches")
    elif parsed.budgets:
        raise FrugalnasError("--budgets are of searches, but these files are about fitted predictors; leave it out")
    print(study_page(read, folder, parsed.budgets).beneath)


def _check_budgets(budgets: list[int] | None, most: int, of: str) -> None:
    if budgets and not all(1 <= budget <= most for budget in budgets):
        raise FrugalnasError(f"--budgets {','.join(map(str, budgets))} lie between 1 and {of.format(most)}")


def _settle_pretrained(texts: Sequence[str], named: dict[str, str], settings: Settings) -> None:
    """Write what --pretrained says into the settings of the strategies that it means."""
    own = {}  # the pretext task of those that have a pre-trained encoder anyway
    for label, name in named.items():
        option = constructor_options(STRATEGIES.resolve(name)).get("pretrained")
        if option is not None:
            own[label] = option.default
    for text in texts:
        label, equals, run_dir = text.partition("=")
        if equals and label in named:
            part = label if label in own else f"{label}.predictor"
            settings.setdefault(part, {}).setdefault("pretrained", run_dir)
            continue
        if len(set(own.values())) != 1:
            which = (
                "they have encoders of different tasks" if own else "none of them has a pre-trained encoder of its own"
            )
            raise FrugalnasError(
                f"--pretrained {text}: which of {', '.join(own or named)} starts from it? {which}; write "
                f"--pretrained {next(iter(own or named))}={text}"
            )
        for label in own:
            settings.setdefault(label, {}).setdefault("pretrained", text)


def _seeds(text: str) -> list[int]:
    """`100`, `100:200` or `1,2,3` as a list of seeds."""
    parts = numbers(text.replace(":", ","))
    ranged = range(*parts) if ":" in text and len(parts) == 2 else range(parts[0] if len(parts) == 1 else 0)
    seeds = list(ranged) if ":" in text or len(parts) == 1 else parts
    if not seeds or min(seeds) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} names no seeds; write 100, 100:200 or 1,2,3")
    return seeds


# -- predictors --------------------------------------------------------------------------------------------------------


def add_compare_predictors(parser: argparse.ArgumentParser) -> None:
    """Add what `compare-predictors` takes."""
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    parser.description = (
        "Fit predictors to the same random networks of a table, or of your own labelled architectures, and hold "
        "what they say of all others against the truth: Kendall's tau, Spearman's correlation, how many of the best are "
        "among the first, errors, whether intervals hold, and tests of every pair."
    )
    option(
        parser,
        "predictors",
        f"names joined by commas (frugalnas list); LABEL=NAME tells two of a name apart [{DEFAULT_PREDICTORS}, and with "
        "--pretrained a second gin, which starts from that encoder]",
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
    parser.set_defaults(run=_compare_predictors)


def _compare_predictors(parsed: argparse.Namespace) -> None:
    from frugalnas.studies.assessment import AssessmentRun, assess
    from frugalnas.studies.labelled import Labelled
    from frugalnas.tables.catalogue import DEFAULT_TABLE

    if parsed.labels is not None and parsed.table is not None:
        raise FrugalnasError("--table and --labels both say what is predicted; give one")
    if parsed.labels is not None and parsed.label is not None:
        raise FrugalnasError("--label chooses among a table's runs; --labels FILE has a value for each architecture")
    named, learnt = labelled_names(parsed.predictors or DEFAULT_PREDICTORS, "predictor"), None
    if parsed.predictors is None and parsed.pretrained is not None:
        learnt = f"gin-{Path(parsed.pretrained).name}"
        named[learnt] = "gin"
    settings = settings_of(parsed.set, (*named, "space"))
    predictors = _with_targets(predictor_descriptions(named, settings, parsed.pretrained, learnt), parsed.targets)
    table = None if parsed.labels is not None else parsed.table or DEFAULT_TABLE
    said = {name: getattr(parsed, name) for name in ("labels", "space", "column", "architecture", "split", "held_out")}
    labelled = Labelled(table, label=parsed.label or "mean", **said)
    if parsed.space is not None or parsed.operators is not None or "space" in settings:
        labelled = replace(labelled, space=search.described_subject(parsed, labelled.described()["space"], settings))
    if not parsed.no_baselines:
        predictors += _baselines(labelled.described()["space"], predictors)
    subject = parsed.labels.stem if table is None else table.replace("/", "-")
    options = {name: getattr(parsed, name) for name in ("budgets", "trials", "seed", "jobs")}
    carried_out(AssessmentRun(), partial(assess, predictors, labelled, **options), parsed, f"predictors-{subject}")


def predictor_descriptions(
    named: dict[str, str], settings: Settings, pretrained: str | None, learnt: str | None = None
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
        one_of("--targets", how, LABELS)
        if equals:
            one_of("predictor in --targets", label, labels)
        chosen.update({label: how} if equals else dict.fromkeys(labels, how))
    return [{**predictor, "targets": chosen.get(predictor["label"])} for predictor in predictors]
