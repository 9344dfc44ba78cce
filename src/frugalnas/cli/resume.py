"""`frugalnas resume`: a run goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalnas.cli import compare, pretrain, rlnas, search, train
from frugalnas.cli.compare_predictors import show_assessment
from frugalnas.cli.options import add_budget, add_limit
from frugalnas.cli.showing import show_comparison, show_run, show_training
from frugalnas.cli.supernet import show_supernet
from frugalnas.errors import FrugalnasError

__all__ = ["add"]


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = "Continue a run: its journal ends as if it had never been interrupted."
    parser.add_argument("run_dir", type=Path, metavar="RUN")
    add_budget(parser, None)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.NAME=VALUE",
        help="for a method: another setting of a stage that has not begun, such as search.generations=5",
    )
    add_limit(parser, "for a method whose search has not begun: another limit")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="for a training: go on to so many in all, also when finished"
    )
    parser.add_argument(
        "--lr", type=float, metavar="X", help="for a training: the rate at which its schedule starts anew"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, for comparisons [1]")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), help="for a training: go on there [where it began]"
    )
    edited = parser.add_mutually_exclusive_group()
    edited.add_argument(
        "--accept-config", action="store_true", help="go on with config.yaml as it was edited, where the run can"
    )
    edited.add_argument("--restore-config", action="store_true", help="undo what was edited in config.yaml first")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=_resume)


def _resume(parsed: argparse.Namespace) -> int:
    from frugalnas.runs import RunFolder, accept_config, restore_config
    from frugalnas.searches import Budget, resume
    from frugalnas.studies import resume_comparison
    from frugalnas.studies.assessment import resume_assessment

    run_dir, quiet = parsed.run_dir, parsed.quiet
    if parsed.restore_config:
        restore_config(run_dir)
    elif parsed.accept_config:
        accept_config(run_dir)
    config = RunFolder(run_dir).config
    if parsed.device is not None and config["kind"] not in ("training", "supernet", "pretraining", "method"):
        raise FrugalnasError(f"{run_dir} is a {config['kind']}: only a training can change its --device; leave it out")
    if (parsed.set or parsed.where) and config["kind"] != "method":
        raise FrugalnasError(
            f"{run_dir} is a {config['kind']}, which keeps its settings; leave --set and --where out, or start another run"
        )
    if (parsed.epochs, parsed.lr) != (None, None) and config["kind"] not in ("training", "supernet"):
        more = "--queries gives it a larger budget" if config["kind"] == "search" else "start another one for more"
        raise FrugalnasError(f"{run_dir} is a {config['kind']}: only trainings go on for --epochs or at --lr; {more}")
    if config["kind"] == "comparison":
        if parsed.queries is not None or parsed.seconds is not None:
            raise FrugalnasError("a comparison keeps its budget; start another one for a larger budget")
        here = run_dir.absolute()
        with compare.watched(run_dir, quiet) as callbacks:
            resume_comparison(here, jobs=parsed.jobs, callbacks=callbacks)
        return show_comparison(here)
    if config["kind"] == "assessment":
        if parsed.queries is not None or parsed.seconds is not None:
            raise FrugalnasError("predictors are compared at budgets of labels; start another one for other budgets")
        with compare.watched(run_dir, quiet, "fits") as callbacks:
            resume_assessment(run_dir, jobs=parsed.jobs, callbacks=callbacks)
        return show_assessment(run_dir)
    if config["kind"] == "method":
        if parsed.queries is not None or parsed.seconds is not None:
            raise FrugalnasError(
                "a method's search ends with its generations: --set search.generations=N, as long as it has not begun"
            )
        settings = {**rlnas.stage_settings(parsed.set), **({"where": parsed.where} if parsed.where else {})}
        return rlnas.resume_rlnas(run_dir, None, parsed.device, quiet, settings)
    if config["kind"] == "pretraining":
        return pretrain.resume_run(run_dir, parsed)
    if config["kind"] in ("training", "supernet"):
        return _resume_training(run_dir, config["kind"], parsed)
    changed = {"queries": parsed.queries, "seconds": parsed.seconds, "failures": parsed.max_failures}
    changed = {name: value for name, value in changed.items() if value is not None}
    budget = Budget(**{**config["budget"], **changed}) if changed else None
    here = run_dir.absolute()  # an evaluator may change the working folder
    with search.watched(run_dir, quiet) as callbacks:
        resume(here, budget=budget, callbacks=callbacks)
    return show_run(here)


def _resume_training(run_dir: Path, kind: str, parsed: argparse.Namespace) -> int:
    from frugalnas.runs.supernets import resume_supernet
    from frugalnas.runs.training import resume_training

    if parsed.queries is not None or parsed.seconds is not None:
        raise FrugalnasError("a training has no queries; --epochs has it go on for longer")
    options = {"device": parsed.device, "epochs": parsed.epochs, "lr": parsed.lr}
    with train.watched(run_dir, parsed.quiet) as callbacks:
        if kind == "supernet":
            resume_supernet(run_dir, **options, callbacks=callbacks)
        else:
            resume_training(run_dir, **options, callbacks=callbacks)
    return show_supernet(run_dir) if kind == "supernet" else show_training(run_dir)
