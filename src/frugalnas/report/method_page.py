"""The page of a method that trains a supernet: what was searched, what was found, how sure it is, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.amounts import plural
from frugalnas.methods.kind import INTERVALS
from frugalnas.progress import duration
from frugalnas.report.certainty import Certainty
from frugalnas.report.page import (
    Markup,
    again,
    figure,
    html_page,
    key_numbers,
    listing,
    millions,
    side_by_side,
    table,
    tag,
)
from frugalnas.runs.folder import RunFolder
from frugalnas.spaces.known import known

if TYPE_CHECKING:
    from frugalnas.methods.kind import MethodResult
    from frugalnas.trainings.supernet import SupernetResult

LONGEST, SHOWN = 120, 64
"""Letters up to which an architecture is shown whole in a table, and how many of a longer one are."""


def method_html(run: MethodResult, sure: Certainty | None, figures: dict[str, Path]) -> str:
    """The page as HTML, with the figures that there are, by name."""
    name = run.config["method"]["name"].upper()
    on = f" on {Path(str(_recipe(run)['data'])).name}" if "data" in _recipe(run) else ""
    won = bool(run.architecture)
    top = [key_numbers(_numbers(run, sure))]
    if run.failure is not None:
        top.append(_loud(f"Stage {run.failure['stage']} failed: {run.failure['error']}"))
    if won and not run.trained:
        why = why_untrained(run).capitalize()
        top.append(_loud(f"{why}: the architecture below was found, and its network has random weights."))
    sections: dict[str, list[Markup]] = {"What was searched": [listing(_searched(run))] if _recipe(run) else []}
    if "architecture" in figures:
        drawn = figure(figures["architecture"], run.architecture)
        sections["The winner"] = [drawn, tag("pre", run.architecture)]
    if sure is not None:
        doubts = doubts_of(sure, score_unit(run)[1], won and (run.concluded or {})["winner"] > 0)
        shown = _side_by_side(figures, ("scores", "ranks", "size"))
        best = [tag("h3", "The best architectures"), *_candidates(run, sure)]
        sections["How sure the ranking is"] = [listing(doubts), *shown, *best]
    elif won:
        sections["The best architectures"] = _candidates(run, None)
    if won and not run.failure and hasattr(run.method, "baselines"):
        sections["Against what nobody searched for these images"] = _baselines(run)
    trained = [f"retrain-{place}" for place in range(1, len(run.results.get("retrain", [])) + 1)]
    if "operators" in figures:
        drawn = figure(figures["operators"], "Operators and the rounds that dropped them", _CAPTIONS["operators"])
        sections["What was dropped"] = [drawn]
    sections["Training"] = _side_by_side(figures, ("supernet", "shrunk", *trained))
    sections |= {"What it cost": [_costs(run)], "Files": _files(run)}
    told = [
        *(note for each in run.results.get("supernet", ()) for note in each.notes),
        *(run.concluded or {}).get("notes", ()),
    ]
    sections["Notes"] = [listing(dict.fromkeys(told))] if told else []
    return html_page(name + on, _subtitle(run), top, [*sections.items(), ("To do it again", again(run.config))])


def _loud(said: str) -> Markup:
    return tag("p", tag("strong", said))


_CAPTIONS = {
    "operators": "Each operator with the last score that it had, and the round that dropped it; those left have a frame.",
    "supernet": "The supernet, trained on one path a step.",
    "shrunk": "The supernet of what was left, trained anew.",
    "scores": "How the scores of all networks lie; grey: the next ones behind the winner.",
    "ranks": "Where the last epoch's best networks stood after every epoch.",
    "size": "Score against cost: how much of the ranking is size.",
}


def _side_by_side(figures: dict[str, Path], names: Sequence[str]) -> list[Markup]:
    """The figures of these that there are; nothing where there are none."""
    drawn = []
    for name in names:
        if name in figures:
            caption = _CAPTIONS.get(name, f"Network {name.rpartition('-')[2]}, trained from scratch.")
            drawn.append(figure(figures[name], caption, caption))
    return [side_by_side(*drawn)] if drawn else []


def _recipe(run: MethodResult) -> Mapping[str, Any]:
    """The recipe of a method that has one."""
    return getattr(run.method, "recipe", {})


def score_unit(run: MethodResult) -> tuple[str, str]:
    """What ranks architectures, and its unit."""
    name = getattr(run.method, "score_name", "score")
    return name, "radians" if name == "angle" else ""


def _titled(score: str) -> str:
    """The name of a score beside accuracies of trained networks."""
    return score.replace("accuracy", "supernet's accuracy")


def scored_supernets(run: MethodResult) -> Sequence[SupernetResult]:
    """Those of the part whose architectures are ranked; where it trained none, those that were shrunk."""
    found: Sequence[SupernetResult] = run.results.get(getattr(run.method, "scored", "supernet"), ())
    return found or run.results.get("supernet", ())


def trained_supernets(run: MethodResult) -> dict[str, SupernetResult]:
    """The first supernet of each part that trains one, in order."""
    parts = dict.fromkeys(("supernet", getattr(run.method, "scored", "supernet")))
    return {part: run.results[part][0] for part in parts if run.results.get(part)}


def shrinking_said(concluded: Mapping[str, Any]) -> list[str]:
    """What a method dropped before it searched, in a sentence; nothing where it dropped nothing."""
    shrunk = concluded.get("shrinking")
    if shrunk is None:
        return []
    drops, rounds = len(shrunk["drops"]), max((drop["round"] for drop in shrunk["drops"]), default=0)
    return [f"{plural(drops, 'operator')} dropped in {plural(rounds, 'round')}: {shrunk['why']}."]


def why_untrained(run: MethodResult) -> str:
    """Why nothing was retrained."""
    return "nothing was to be retrained" if getattr(run.method, "labelled", True) else "the images have no labels"


def _subtitle(run: MethodResult) -> str:
    done = "" if run.finished else "; not finished yet"
    if not _recipe(run):
        return f"{len(run.stages)} stages{done}"
    seed = run.config["method"]["options"]["seed"]
    return f"{run.space.name}, recipe {_recipe(run)['name']}, seed {seed}{done}"


def _numbers(run: MethodResult, sure: Certainty | None) -> list[tuple[str, str, str]]:
    numbers: list[tuple[str, str, str]] = []
    if run.architecture:
        if run.test is not None:
            numbers.append(("test accuracy", f"{run.test:.2f} %", _left_open(run)))
        if run.val is not None:
            numbers.append(("validation accuracy", f"{run.val:.2f} %", ""))
        name, unit = score_unit(run)
        value = f"{run.score:.2f} %" if name == "accuracy" else f"{run.score:.4g}"
        numbers += [] if math.isnan(run.score) else [(_titled(name), value, unit)]
        if sure is not None:
            of = f"of {len(sure.scores):,} networks" if sure.whole else f"among a sample of {len(sure.scores):,}"
            numbers.append(("rank", f"{sure.leaders[0].ranks[-1]:,}", of))
        numbers.append(("parameters", millions(run.params), ""))
        numbers.append(("multiply-adds", millions(run.macs), "an image"))
    return [*numbers, ("time", duration(run.seconds), "all stages")]


def _searched(run: MethodResult) -> list[str]:
    """What was searched, by what, and what was trained, a sentence or two for each stage."""
    space, recipe = run.space, _recipe(run)
    limit = f", of which only those with {recipe['where']} may win" if recipe["where"] else ""
    size = f"{space.size:,}" if space.size < 1e12 else f"{float(space.size):.3g}"
    said = [f"Space: {space.name}, {size} architectures{limit}."]
    dropped = shrinking_said(run.concluded or {})
    for part, supernet in trained_supernets(run).items():
        looked = "no label of an image was looked at" if supernet.recipe.labels != "true" else "labels of the images"
        if part != "supernet":
            said, dropped = [*said, *dropped], []
        said.append(
            f"Supernet: one network that holds {'all of them' if part == 'supernet' else 'what was left, trained anew'}, "
            f"{len(supernet.epochs)} of {supernet.total_epochs} epochs with {labels_of(supernet)} labels of "
            f"{supernet.recipe.classes} classes ({looked}); recipe {supernet.recipe.name}."
        )
    said += dropped
    for supernet in scored_supernets(run)[-1:]:
        score, (name, _) = recipe.get("score", {}), score_unit(run)
        if name == "angle":
            base = score.get("base")
            base = supernet.default_base if base is None else base
            start = "the initial weights" if base == 0 else f"the weights after epoch {base}"
            said.append(
                f"Score: the angle, in radians, between {start} and the last ones; rule {score.get('rule') or 'default'}. "
                "It stands for an accuracy that the search never saw."
            )
        else:
            of = f" in the {'last ' * (len(trained_supernets(run)) > 1)}supernet" if name == "accuracy" else ""
            said.append(f"Score: {name}{of}.")
    for search in run.results.get("search", ()):
        how = ""
        if "found_by_search" in (run.concluded or {}):
            found = "found the same first" if (run.concluded or {})["found_by_search"] else "had not found it"
            how = f" The winner is {(run.concluded or {})['how']}; the search itself {found}."
        title = getattr(getattr(run.method, "search", None), "title", "Search")
        said.append(f"{title}: {len(search.queries):,} architectures scored.{how}")
    trained = run.results.get("retrain", [])
    if trained:
        count = "The best" if len(trained) == 1 else f"The best {len(trained)}"
        chosen = "" if len(trained) == 1 else "; the winner has the highest validation accuracy"
        epochs = trained[0].total_epochs
        said.append(f"Retraining: {count.lower()} from scratch with true labels, {plural(epochs, 'epoch')}{chosen}.")
        if trained[0].test is not None:
            images = trained[0].test.images
            said.append(f"Test: {images:,} images that nothing was chosen by, looked at once, at the end. {INTERVALS}")
    return said


def _left_open(run: MethodResult) -> str:
    """How much of the winner's test accuracy the number of images leaves open."""
    result = run.concluded or {}
    interval = result["candidates"][result["winner"]].get("test_interval")
    return "" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f} (95 %)"


def compared(run: MethodResult) -> list[tuple[str, str]]:
    """The baselines, and how the winner stands to each by test accuracy."""
    result = run.concluded or {}
    if not result.get("baselines"):
        return []
    won = result["candidates"][result["winner"]].get("test_interval")
    rows = []
    for each in result["baselines"]:
        said, interval = f"{millions(each['macs'])} multiply-adds", each.get("test_interval")
        if won is not None and interval is not None:
            apart = "above" if won[0] > interval[1] else "below" if won[1] < interval[0] else ""
            stands = f"the winner is {apart} it" if apart else "the test images do not tell the winner from it"
            said = f"{each['test']:.2f} % ({interval[0]:.1f} to {interval[1]:.1f}), {said}: {stands}"
        rows.append((f"against {each['name']}", said))
    return rows


def _baselines(run: MethodResult) -> list[Markup]:
    """The winner beside what nobody searched, trained alike."""
    result = run.concluded or {}
    if not compared(run):
        said = "Nothing was trained to compare the winner with"
        return [tag("p", f"{said}: baselines were left out." if run.trained else f"{said}: it was not trained itself.")]
    rows = []
    for name, each in (
        ("the winner", result["candidates"][result["winner"]]),
        *((b["name"], b) for b in result["baselines"]),
    ):
        low, high = each.get("test_interval", (None, None))
        test = "" if low is None else f"{each['test']:.2f} % ({low:.1f} to {high:.1f})"
        val = "" if each["val"] is None else f"{each['val']:.2f} %"
        rows.append(
            [name, _notation(each["architecture"]), millions(each["params"]), millions(each["macs"]), val, test]
        )
    stands = [f"{name.capitalize()}: {said.rpartition(': ')[2]}." for name, said in compared(run) if ": " in said]
    headings = ["", "architecture", "parameters", "multiply-adds", "validation", "test (95 %)"]
    about = [
        f"{name}: an architecture drawn from the same space."
        if name == "random"
        else f"{name}: {known(name).source}; at the width at which it costs as much as the winner."
        for name in (each["name"] for each in result["baselines"])
    ]
    about += ["Each is trained as the winner was, from the same seed.", INTERVALS]
    return [table(headings, rows, len(headings) - 2), tag("p", " ".join(about), cls="sub"), listing(stands)]


def doubts_of(sure: Certainty, unit: str, by_accuracy: bool) -> list[str]:
    """What can be said of how sure the ranking is, a sentence each; a winner by accuracy need not lead it."""
    said = []
    if math.isfinite(sure.lead):
        next_one = "the next network" if sure.whole else "the next of those that were looked at"
        lead = f"The winner leads {next_one} by {sure.lead:.2g}{' ' + unit if unit else ''}"
        times = sure.lead_in_fluctuations
        if sure.lead < 0 and by_accuracy:
            lead = f"The winner has the highest validation accuracy; by score it is {-sure.lead:.2g} behind the first"
        elif sure.lead < 0:
            larger = sure.leaders[0].ranks[-1] - 1
            lead = (
                f"The search missed larger scores: {larger:,} of {len(sure.scores):,} networks drawn at random have one, by up "
                f"to {-sure.lead:.2g}; let it look longer, with `search.generations`=N"
            )
        elif sure.lead == 0:
            lead += ": both are equal to the score"
        elif math.isfinite(times):
            lead += f", {times:.1f} times what that lead fluctuated over the second half of the training"
            lead += ": the order of the first is hardly more than chance" if times < 2 else ""
            lead += "; another seed may move it by more"
        said.append(lead + ".")
    if len(sure.epochs) > 1:
        epochs = len(sure.epochs)
        said.append(
            f"It was the first after each of the last {sure.led} of {epochs} epochs."
            if sure.led
            else "It was not the first after the last epoch."
        )
        taus = [f"{sure.taus[-2]:.3f} one epoch before the last"]
        if epochs >= 6:
            taus.append(f"{sure.taus[-6]:.3f} five epochs before")
        said.append(f"Kendall tau of the whole ranking with what it was: {', '.join(taus)}.")
    named = {"params": "parameters", "macs": "multiply-adds"}
    size = [f"{value:.2f} with {named[name]}" for name, value in sure.size.items() if math.isfinite(value)]
    if size:
        said.append(f"Spearman correlation of the score: {', '.join(size)}. What it knows beyond size is what is left.")
    return said


def _candidates(run: MethodResult, sure: Certainty | None) -> list[Markup]:
    space, trained = run.space, "retrain" in run.results
    followed = {space.format(leader.code): leader for leader in sure.leaders} if sure is not None else {}
    rows = []
    for place, each in enumerate((run.concluded or {})["candidates"]):
        leader = followed.get(each["architecture"])
        text = _notation(each["architecture"])
        behind = "" if leader is None or leader.behind == 0 else f"{leader.behind:.2g}"
        if leader is not None and leader.fluctuation > 0 and leader.behind:
            behind += f" ({leader.behind / leader.fluctuation:.1f})"
        row = [str(place + 1), tag("strong", text) if place == (run.concluded or {})["winner"] else text]
        row += ["" if each["score"] is None else f"{each['score']:.5g}", *([behind] if sure is not None else [])]
        row += [millions(each["params"]), millions(each["macs"])]
        if trained:
            row += ["" if each.get(part) is None else f"{each[part]:.2f} %" for part in ("val", "test")]
        rows.append(row)
    headings = [
        "",
        "architecture",
        _titled(score_unit(run)[0]),
        *(["behind"] if sure is not None else []),
    ]
    headings += ["parameters", "multiply-adds", *(["validation", "test"] if trained else [])]
    made = [table(headings, rows, len(headings) - 2)]
    if sure is not None:
        note = "Behind the winner; in brackets in standard deviations of that over the second half of the training."
        made.append(tag("p", note, cls="sub"))
    return made


def _notation(text: str) -> Markup:
    """An architecture in a table: long ones are folded up."""
    shown = Markup(tag("code", text).replace("+", "+<wbr>"))
    if len(text) <= LONGEST:
        return shown
    return tag("details", tag("summary", tag("code", text[:SHOWN] + "…")), shown)


def _costs(run: MethodResult) -> Markup:
    total = run.seconds or 1.0
    rows = []
    for stage in run.stages:
        folder = RunFolder(stage.path)
        rows.append(
            [stage.name, folder.kind.row(folder).done, duration(stage.seconds), f"{100 * stage.seconds / total:.0f} %"]
        )
    rows.append([tag("strong", "all"), "", duration(run.seconds), ""])
    return table(["stage", "done", "time", "share"], rows, 2)


def _files(run: MethodResult) -> list[Markup]:
    rows = [
        [tag("code", str(stage.path.relative_to(run.run_dir))), f"the run of stage {stage.name}"]
        for stage in run.stages
    ]
    result = run.concluded or {}
    if "network" in result:
        takes = "the trained network: frugalnas evaluate, predict and export take it"
        untrained = "the winner with random weights: frugalnas export takes it as `untrained`"
        rows.append([tag("code", result["network"]), takes if result.get("trained", True) else untrained])
    rows += [[tag("code", path), "exported"] for path in result.get("exported", ())]
    if "shrinking" in result:
        rows.append([tag("code", result["shrinking"]["operators"]), "what is left of the space, and how it came about"])
    if result:
        rows.append([tag("code", "result.json"), "what is said here of the best architectures, as data"])
    return [tag("p", "In ", tag("code", str(run.run_dir)), ":"), table(["file", ""], rows, 0)]


def labels_of(supernet: SupernetResult) -> str:
    """What labels a supernet was trained on, for people."""
    return {"true": "true", "random": "random", "random-access": "ever new random"}[supernet.recipe.labels]
