"""`frugalnas resume`, `show` and `runs list`: what happens to a run once it exists."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.cli import compare, pretrain, ranking, rlnas, search, train
from frugalnas.cli.compare_predictors import show_assessment
from frugalnas.cli.options import add_budget, add_limit
from frugalnas.cli.showing import show_comparison, show_run, show_training
from frugalnas.cli.supernet import show_supernet
from frugalnas.cli.text import print_columns
from frugalnas.errors import FrugalnasError, surroundings
from frugalnas.trust import Untrusted, looking

if TYPE_CHECKING:
    from frugalnas.runs import RunFolder

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the commands."""
    resume = commands.add_parser(
        "resume",
        help="continue an interrupted search, comparison, training or method",
        description="Continue a run: its journal ends as if it had never been interrupted.",
    )
    resume.add_argument("run_dir", type=Path, metavar="RUN")
    add_budget(resume, None)
    resume.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STAGE.NAME=VALUE",
        help="for a method: another setting of a stage that has not begun, such as search.generations=5",
    )
    add_limit(resume, "for a method whose search has not begun: another limit")
    resume.add_argument(
        "--epochs", type=int, metavar="N", help="for a training: go on to so many in all, also when finished"
    )
    resume.add_argument(
        "--lr", type=float, metavar="X", help="for a training: the rate at which its schedule starts anew"
    )
    resume.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, for comparisons [1]")
    resume.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), help="for a training: go on there [where it began]"
    )
    edited = resume.add_mutually_exclusive_group()
    edited.add_argument(
        "--accept-config", action="store_true", help="go on with config.yaml as it was edited, where the run can"
    )
    edited.add_argument("--restore-config", action="store_true", help="undo what was edited in config.yaml first")
    resume.add_argument("--quiet", action="store_true", help="no progress, only the result")
    resume.set_defaults(run=_resume)
    show = commands.add_parser(
        "show", help="what a run found", description="What a run or comparison found, read from its folder."
    )
    show.add_argument("run_dir", type=Path, metavar="RUN")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(run=_show)
    runs = commands.add_parser(
        "runs",
        help="list runs, rank what one found",
        description="List the runs in a folder, or rank what a search found.",
    )
    kinds = runs.add_subparsers(metavar="COMMAND")
    listed = kinds.add_parser("list", help="one line each")
    listed.add_argument("--root", type=Path, default=Path("runs"), metavar="FOLDER", help="where the runs are [runs]")
    listed.set_defaults(run=_list)
    ranking.add(kinds)


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


def _show(parsed: argparse.Namespace) -> int:
    from frugalnas.runs import RunFolder

    folder = RunFolder(parsed.run_dir)
    try:
        with looking():
            return _shown(folder.config["kind"], parsed)
    except Untrusted as why:
        return _shown_unopened(folder, str(why), as_json=parsed.json)


def _shown(kind: str, parsed: argparse.Namespace) -> int:
    if kind == "comparison":
        return show_comparison(parsed.run_dir, as_json=parsed.json)
    if kind == "assessment":
        return show_assessment(parsed.run_dir, as_json=parsed.json)
    if kind == "training":
        return show_training(parsed.run_dir, as_json=parsed.json)
    if kind == "supernet":
        return show_supernet(parsed.run_dir, as_json=parsed.json)
    if kind == "pretraining":
        return pretrain.show_pretraining(parsed.run_dir, as_json=parsed.json)
    if kind == "method":
        return rlnas.show_method(parsed.run_dir, as_json=parsed.json)
    return show_run(parsed.run_dir, as_json=parsed.json)


def _list(parsed: argparse.Namespace) -> int:
    from frugalnas.runs import list_runs

    unreadable: dict[Path, Exception] = {}
    rows = []
    for folder in list_runs(parsed.root, unreadable):
        try:
            rows.append(_limited(folder))
        except (FrugalnasError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:  # was edited
            unreadable[folder.path] = error
    if not rows and not unreadable:
        print(f"no runs in {parsed.root}; `frugalnas search` and `frugalnas train` make one")
        return 0
    rows += [[str(path), "unreadable", *[""] * 4] for path in unreadable]
    print_columns(rows, (*_COLUMNS, "limits"))
    for path, why in unreadable.items():
        said = str(why) if isinstance(why, FrugalnasError) else f"{path}: {surroundings(why) or repr(why)}"
        print(f"\nunreadable: {said}")
    return 0


_COLUMNS = ("run", "kind", "on", "done", "best")


def _shown_unopened(folder: RunFolder, why: str, *, as_json: bool) -> int:
    """Print what a run of somebody's own parts says by itself, without importing these."""
    rows = list(zip(_COLUMNS, _row(folder), strict=True))
    queries = [line for line in folder.lines() if line.get("value") is not None and "architecture" in line]
    if queries:
        rows.append(("architecture", str(max(queries, key=lambda line: line["value"])["architecture"])))
    if as_json:
        print(json.dumps(dict(rows), indent=2))
        return 0
    rows.append(("not opened", why))
    if folder.report.is_dir():
        rows.append(("pictures", ", ".join(sorted(f"report/{path.name}" for path in folder.report.iterdir()))))
    print_columns(rows)
    return 0


def _limited(folder: RunFolder) -> list[str]:
    """A run's line in the list, with what it may not exceed: networks by their costs, a search by its time."""
    config = folder.config
    limits = (config.get("space") or {}).get("limits") or {}
    where = limits.get("where") or (config.get("method") or {}).get("options", {}).get("recipe", {}).get("where")
    seconds = (config.get("budget") or {}).get("seconds")
    said = [where, "fewer choices" if "allowed" in limits else None, None if seconds is None else f"{seconds:g} s"]
    return [*_row(folder), "; ".join(str(limit) for limit in said if limit)]


def _row(folder: RunFolder) -> list[str]:
    """A run's line in the list."""
    from frugalnas.runs.descriptions import subject_of

    config, lines = folder.config, list(folder.lines())
    of_training = {"supernet": _supernet_row, "pretraining": pretrain.pretraining_row, "training": _training_row}
    if config["kind"] in of_training:
        return of_training[config["kind"]](folder)
    if config["kind"] in ("method", "assessment"):
        return (_method_row if config["kind"] == "method" else _assessment_row)(folder, lines)
    subject = subject_of(config["evaluator"])
    if config["kind"] == "comparison":
        total = len(config["strategies"]) * len(config["seeds"])
        return [str(folder.path), "comparison", subject, f"{len(lines)} of {total} searches", ""]
    values = [line["value"] for line in lines if line["value"] is not None]
    budget = config["budget"]["queries"]
    done = f"{len(lines)} queries" if budget is None else f"{len(lines)} of {budget} queries"
    best = f"{max(values):.3f}" if values else ""
    return [str(folder.path), config["strategy"]["name"], subject, done, best]


def _assessment_row(folder: RunFolder, fits: list[dict[str, Any]]) -> list[str]:
    """The line in the list of predictors that are compared."""
    config = folder.config
    subject = config["truth"].get("table") or Path(config["truth"]["labels"]).name
    total = len(config["predictors"]) * len(config["budgets"]) * config["trials"]
    return [str(folder.path), "assessment", subject, f"{len(fits)} of {total} fits", ""]


def _method_row(folder: RunFolder, stages: list[dict[str, Any]]) -> list[str]:
    """A method's line in the list: the stages that are finished, and the test accuracy of its network."""
    from frugalnas.runs.stages import read_result

    method = folder.config["method"]
    done = ", ".join(stage["stage"] for stage in stages) or "begun"
    result = read_result(folder.path)
    test = None if result is None else result["candidates"][result["winner"]].get("test")
    best = "" if test is None else f"{test:.2f} % test"
    return [str(folder.path), method["name"], Path(method["options"]["recipe"]["data"]).name, done, best]


def _supernet_row(folder: RunFolder) -> list[str]:
    """A supernet's line in the list: in place of a best value, how far its weights have turned."""
    config = folder.config
    epochs, diverged = folder.epochs()
    turned = f"{epochs[-1]['angle']:.3f} rad" if epochs else ""
    done = f"{len(epochs)} of {config['recipe']['epochs']} epochs{', diverged' if diverged else ''}"
    on = f"{config['space']['name']}, {Path(config['data']['spec']).name}"
    return [str(folder.path), "supernet", on, done, turned]


def _training_row(folder: RunFolder) -> list[str]:
    """A training's line in the list: its best is the test accuracy, or so far the best on the validation images."""
    config = folder.config
    epochs, diverged = folder.epochs()
    validation = [record["val_accuracy"] for record in epochs if record.get("val_accuracy") is not None]
    best = f"{max(validation):.2f} % val" if validation else ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        test = json.loads((folder.path / "test.json").read_text(encoding="utf-8"))["test"]
        best = f"{test['top1']:.2f} % test"
    done = f"{len(epochs)} of {config['recipe']['epochs']} epochs{', diverged' if diverged else ''}"
    return [str(folder.path), "training", Path(config["data"]["spec"]).name, done, best]
