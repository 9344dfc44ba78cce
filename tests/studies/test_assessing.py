"""Predictors that learn from the same labels and are judged on what they have not seen."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import Prediction
from frugalnas.report.comparisons import assessment_table
from frugalnas.runs.folder import RunFolder
from frugalnas.runs.kinds import load_run, resume_run
from frugalnas.runs.progress import Callback
from frugalnas.scores.calibration import coverage, gaussian_nll
from frugalnas.scores.correlation import kendall_tau, top_precision
from frugalnas.searches import search
from frugalnas.spaces import NASBench201
from frugalnas.strategies import RandomSearch
from frugalnas.strategies.labels import LABELS
from frugalnas.studies import Labelled, assess
from frugalnas.studies.labelled import Subject
from frugalnas.studies.metrics import calibrated, in_units, judged
from frugalnas.tables import TableEvaluator, open_table
from frugalnas.tables.labels import read_labels
from frugalnas.testing import KindConformance

SCALED, FLAT, FUSSY = (f"user_predictors:{name}" for name in ("Scaled", "Flat", "Fussy"))
SMALL = {"labelled": Labelled("nasbench201/cifar10", held_out=300), "budgets": [20, 40], "trials": 3}


def lines(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def write_labels(path, rows, header=("architecture", "value")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def labelled(n, seed=0):
    """Architectures of NAS-Bench-201 as text, no network twice, with values."""
    space, rng = NASBench201(), np.random.default_rng(seed)
    codes = space.sample(4 * n, rng)
    codes = codes[np.unique(space.network_ids(codes), return_index=True)[1]][:n]
    return [
        (space.format(code), round(float(value), 3)) for code, value in zip(codes, 60 + 30 * rng.random(n), strict=True)
    ]


# -- what is measured ------------------------------------------------------------------------------------------------------


def test_a_perfect_prediction_is_perfect():
    truth = np.random.default_rng(0).normal(size=1000)
    found = judged(truth.copy(), truth)
    assert found["tau"] == pytest.approx(1)
    assert found["spearman"] == pytest.approx(1)
    assert (found["top10"], found["top50"], found["top100"]) == (1, 1, 1)
    assert (found["rank"], found["regret"], found["mae"], found["rmse"]) == (1, 0, 0, 0)


def test_the_predicted_best_has_its_true_rank():
    found = judged(np.array([0.0, 5.0, 1.0, 2.0]), np.array([40.0, 10.0, 30.0, 20.0]))
    assert (found["rank"], found["regret"]) == (4, 30)
    assert "top10" not in found  # ten of four say nothing


def test_a_constant_prediction_ranks_nothing_and_is_not_left_out():
    truth = np.random.default_rng(0).normal(size=400)
    found = judged(np.zeros(400), truth)
    assert (found["tau"], found["spearman"]) == (0, 0)
    assert found["top10"] == pytest.approx(10 / 400)
    assert found["rank"] == pytest.approx(200.5)


def test_tops_may_be_held_against_a_larger_top():
    scores, truth = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 9.0, 8.0, 7.0])
    assert top_precision(scores, truth, 1) == 0
    assert top_precision(scores, truth, 2, best=3) == 0.5
    with pytest.raises(FrugalnasError, match="the top 5 of 4"):
        top_precision(scores, truth, 1, best=5)


def test_intervals_of_the_true_distribution_hold():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=50_000), rng.uniform(0.5, 2, size=50_000)
    truth = rng.normal(mean, std)
    for level in (0.5, 0.8, 0.95):
        assert coverage(mean, std, truth, level) == pytest.approx(level, abs=0.01)
    assert gaussian_nll(mean, std, truth) == pytest.approx(-norm.logpdf(truth, mean, std).mean())
    assert gaussian_nll(mean, std, truth) < gaussian_nll(mean, 3 * std, truth)
    assert np.isfinite(gaussian_nll(mean, np.zeros_like(mean), truth))
    few = truth[:50]
    assert set(calibrated(Prediction(mean, std), truth, few, few)) == {"cover50", "cover80", "cover95", "nll"}
    assert calibrated(Prediction(mean, np.zeros_like(mean)), truth, few, few) == {}


def test_intervals_of_ranks_hold_too_where_the_ranks_are_right():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000)
    mean = scores + rng.normal(size=20_000)
    labels = rng.normal(size=2_000)
    found = calibrated(
        Prediction(mean, np.ones(20_000)), np.exp(scores), LABELS["rank"](labels), np.exp(labels), "rank"
    )
    assert set(found) == {"cover50", "cover80", "cover95"}
    assert [found[name] for name in ("cover50", "cover80", "cover95")] == pytest.approx([0.5, 0.8, 0.95], abs=0.02)


# -- what is compared ------------------------------------------------------------------------------------------------------


def test_all_learn_from_the_same_nested_samples_and_none_sees_what_it_predicts():
    config = {
        "space": {"name": "nasbench201"},
        "truth": {"table": "nasbench201/cifar10", "label": "mean", "column": None},
    }
    subject = Subject.open({**config, "held_out": None, "seed": 0}, None)
    small, large = (subject.draw(subject.values(0), budget, 0, 0) for budget in (20, 50))
    assert large[:20].tolist() == small.tolist()
    networks = subject.population.network_ids
    assert len(np.unique(networks[large])) == 50
    other = subject.draw(subject.values(1), 20, 0, 1)
    assert other.tolist() != small.tolist()


def test_an_assessment_is_a_function_of_its_seed_and_resumes_exactly(tmp_path):
    predictors = [{"name": SCALED}, {"name": FLAT}, {"name": SCALED, "label": "pooling", "options": {"value": 4}}]
    assess(predictors, **SMALL, run_dir=tmp_path / "whole")
    again = assess(predictors, **SMALL)
    whole = lines(tmp_path / "whole")
    assert len(whole) == 3 * 2 * 3
    assert [row["tau"] for row in again.rows] == [line["metrics"]["tau"] for line in whole]
    RunFolder.create(tmp_path / "cut", RunFolder(tmp_path / "whole").config)
    journal = (tmp_path / "whole" / "journal.jsonl").read_text()
    (tmp_path / "cut" / "journal.jsonl").write_text(journal[: len(journal) // 2])
    with pytest.raises(FrugalnasError, match="frugalnas resume"):
        load_run(tmp_path / "cut", "assessment")
    resume_run(tmp_path / "cut")
    assert lines(tmp_path / "cut") == whole
    other = assess(predictors, **SMALL, seed=1)
    assert [row["tau"] for row in other.rows] != [row["tau"] for row in again.rows]


def test_targets_change_what_is_learned_and_errors_stay_in_the_values_units():
    values = np.array([90.0, 10.0, 94.0])
    for how in ("raw", "standard", "rank"):
        targets = LABELS[how](values)
        assert in_units(targets, targets, values, how) == pytest.approx(values)
    assert in_units(np.array([9.0]), targets, values, "rank") == 94  # none is beyond the best
    names = [{"name": SCALED, "label": how, "targets": how} for how in ("raw", "standard", "rank")]
    found = assess(names, **{**SMALL, "trials": 1})
    for row in found.rows:
        assert "cover80" in row
        assert ("nll" in row) == (row["predictor"] != "rank")
        assert row["mae"] < 12
    assert "to normal scores of the labels' ranks (rank)" in assessment_table(found)


@pytest.mark.slow
def test_predictors_of_papers_are_fitted_to_values_and_others_to_ranks(tmp_path):
    found = assess(["mlp-paper", "linear"], **{**SMALL, "budgets": [5], "trials": 1}, run_dir=tmp_path / "run")
    assert found.targets == ("raw", "rank")
    assert [entry["targets"] for entry in RunFolder(tmp_path / "run").config["predictors"]] == ["raw", "rank"]


def test_a_failure_is_a_row_and_is_told():
    found = assess([{"name": SCALED, "label": "all"}, {"name": FUSSY, "label": "late"}], **{**SMALL, "trials": 2})
    said = assessment_table(found)
    assert "late failed in 2 of 4 fits, the last time: 20 labels are too few" in said
    assert "every evaluation failed" in said
    numbers = found.to_json()
    assert numbers["metrics"]["late"][20]["tau"] is None
    assert numbers["metrics"]["late"][40]["tau"] == numbers["metrics"]["all"][40]["tau"]
    assert numbers["failures"] == {"all": 0, "late": 2}
    nothing = assess([FUSSY], **{**SMALL, "budgets": [20]})
    with pytest.raises(FrugalnasError, match="no predictor could be fitted; the last one said: 20 labels"):
        nothing.to_json()


@pytest.mark.pictures
def test_the_command_writes_tables_and_figures_and_lists_the_run(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("compare-predictors", f"one={SCALED},two={SCALED}", "--set", "two.value=4", "--trials", "2", "--targets", "raw",
               "--budgets", "5,10", "--held-out", "200", "--quiet")  # fmt: skip
    assert said.code == 0, said.err
    report = tmp_path / "runs" / "predictors-nasbench201-cifar10" / "report"
    names = {
        "assessment.md",
        "assessment.csv",
        "fits.parquet",
        "tau.svg",
        "tau.png",
        "calibration.svg",
        "calibration.png",
    }
    assert {path.name for path in report.iterdir()} == names
    with (report / "assessment.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} >= {"tau", "spearman", "top10", "mae", "cover80", "nll", "fit_seconds"}
    assert {row["predictor"] for row in rows} == {"one", "two", "params", "macs", "random-order"}
    assert "4 of 4" not in said.out
    assert "20 of 20 fits" in cli("runs", "list").out


@pytest.mark.slow
def test_a_finished_assessment_is_shown_again(tmp_path, cli):
    assess([SCALED], **SMALL, run_dir=tmp_path / "run")
    numbers = json.loads(cli("show", tmp_path / "run", "--json").out)
    assert numbers["budgets"] == [20, 40]
    assert cli("resume", tmp_path / "run", "--quiet").out == cli("show", tmp_path / "run").out


@pytest.mark.slow
def test_processes_give_what_one_gives(tmp_path):
    one = assess(["gaussian-process"], **SMALL)
    two = assess(["gaussian-process"], **SMALL, jobs=2)
    assert [row["tau"] for row in one.rows] == [row["tau"] for row in two.rows]


@pytest.mark.slow
def test_a_gaussian_process_ranks_as_measured_before():
    found = assess(["gaussian-process"], "nasbench201/cifar10", budgets=[20, 50], trials=10)
    assert found.sample("tau", 20)["gaussian-process"].mean() == pytest.approx(0.65, abs=0.05)
    assert found.sample("tau", 50)["gaussian-process"].mean() == pytest.approx(0.72, abs=0.04)


# -- a user's own labels ---------------------------------------------------------------------------------------------------


def test_own_labels_are_split_and_kept_with_the_run(tmp_path):
    file = write_labels(tmp_path / "mine.csv", labelled(60))
    whole = assess([SCALED], Labelled(labels=file, space="nasbench201"), trials=2, run_dir=tmp_path / "run")
    assert (whole.budgets, whole.architectures, whole.subject) == ((20, 48), 60, "mine.csv")
    file.unlink()
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    (tmp_path / "run" / "journal.jsonl").write_text("".join(journal.splitlines(keepends=True)[:1]))
    resume_run(tmp_path / "run")
    assert (tmp_path / "run" / "journal.jsonl").read_text() == journal


def test_a_network_labelled_twice_has_the_mean(tmp_path):
    rows = labelled(30)
    rows += [(rows[0][0], rows[0][1] + 2)]
    file = write_labels(tmp_path / "mine.csv", rows)
    found = read_labels(file, NASBench201())
    assert (len(found.codes), found.repeated) == (30, 1)
    assert found.values[0] == pytest.approx(rows[0][1] + 1)
    said = assessment_table(assess([SCALED], Labelled(labels=file, space="nasbench201"), budgets=[10], trials=1))
    assert "1 row of mine.csv named a network again: its label is the mean" in said


def test_the_evaluations_of_a_search_are_labels_too(tmp_path, cli):
    run = tmp_path / "search"
    search(RandomSearch(NASBench201()), TableEvaluator(), 40, run_dir=run)
    found = assess([SCALED], Labelled(labels=run), trials=1, run_dir=tmp_path / "run")
    assert (found.subject, found.architectures, found.budgets) == ("search", 40, (20, 30))
    said = cli("compare-predictors", SCALED, "--labels", run, "--space", "darts", "--run-dir", tmp_path / "other")
    assert said.code == 2
    assert "is a search of nasbench201, not of darts; leave --space out" in said.err


def test_labels_that_were_changed_are_read_again(tmp_path):
    file = write_labels(tmp_path / "mine.csv", labelled(30))
    assert assess([SCALED], Labelled(labels=file, space="nasbench201"), budgets=[10], trials=1).architectures == 30
    write_labels(file, labelled(40))
    os.utime(file, (1, 1))
    assert assess([SCALED], Labelled(labels=file, space="nasbench201"), budgets=[10], trials=1).architectures == 40


BROKEN = {
    "nan": (
        lambda rows: [*rows[:4], (rows[4][0], "nan"), *rows[5:]],
        "row 5: value is nan, not a number to learn from",
    ),
    "no architecture": (lambda rows: [*rows[:2], ("|conv~0|", 1.0), *rows[3:]], "row 3:"),
    "text": (lambda rows: [(rows[0][0], "good"), *rows[1:]], "not a number"),
    "constant": (
        lambda rows: [(text, 5.0) for text, _ in rows],
        "all 30 labels of mine.csv are 5; there is nothing to rank",
    ),
    "few": (lambda rows: rows[:8], "has labels of 8 networks; label 12 at least"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_labels_that_cannot_be_used_are_refused_in_one_line(tmp_path, cli, what):
    change, expected = BROKEN[what]
    file = write_labels(tmp_path / "mine.csv", change(labelled(30)))
    said = cli("compare-predictors", SCALED, "--labels", file, "--space", "nasbench201", "--run-dir", tmp_path / "run")
    assert said.code == 2
    assert expected in said.err
    assert len(said.err.splitlines()) == (3 if what == "no architecture" else 1)  # which is pointed at
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--budgets", "20,15610"], "budget is 2 to 5,034"),
        (["--budgets", "1,20"], "budget is 2 to"),
        (["--seed", "-1"], "a seed is 0 or more"),
        (["--trials", "0"], "at least one predictor and one trial"),
        (["--held-out", "100", "--budgets", "95"], "predict 105 architectures at least"),
        (["--held-out", "-5"], "predict 10 architectures at least"),
        (["--column", "test"], "unknown column of accuracies"),
        (["--label", "9"], "unknown label"),
        (["--pretrained", "ss-ccl"], "takes an encoder; add gin"),
        (["--targets", "log"], "unknown --targets 'log'"),
        (["--targets", "else=rank"], "unknown predictor in --targets 'else'"),
        (["--set", "else.value=3"], "unknown part of --set 'else'"),
        (["--space", "darts"], "describes nasbench201, not darts"),
        (["--labels", "mine.csv"], "give one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_refused_before_anything_runs(tmp_path, cli, options, expected):
    table = ["--table", "nasbench201/cifar10", "--run-dir", tmp_path / "run"]
    said = cli("compare-predictors", f"it={SCALED}", *table, *options)
    assert said.code == 2
    assert expected in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["search", "npenas", "--queries", "25"],
        ["compare-predictors", "gin", "--budgets", "20", "--trials", "1", "--held-out", "200"],
    ],
    ids=lambda command: command[0],
)
def test_what_a_graph_network_learns_does_not_depend_on_how_many_threads_there_are(python, tmp_path, command):
    for threads in ("1", "2"):
        call = f"from frugalnas.cli import main\nassert main({[*command, '--quiet', '--run-dir', threads]!r}) == 0"
        said = python("-c", call, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads).end()
        assert said.code == 0, said.err
    one, two = ((tmp_path / threads / "journal.jsonl").read_text() for threads in ("1", "2"))
    assert one == two


def test_a_split_by_codes_meets_known_networks_again():
    apart, together = (
        np.mean([row["tau"] for row in assess(["nearest"], labelled, budgets=[200], trials=2).rows])
        for labelled in (Labelled("nasbench201/cifar10", split=split, held_out=3000) for split in ("networks", "codes"))
    )
    assert 0.005 < together - apart < 0.1
    with pytest.raises(FrugalnasError, match="unknown split 'cells'"):
        Labelled("nasbench201/cifar10", split="cells")


def test_baselines_order_by_what_they_say():
    found = assess(["params", "macs", "random-order"], "nasbench201/cifar10", budgets=[20], trials=2)
    tau = found.sample("tau", 20)
    assert tau["params"] == pytest.approx(0.55, abs=0.05)
    assert np.abs(tau["random-order"]).max() < 0.03
    table = open_table("nasbench201/cifar10")
    counted = table.space.count("params", table.codes)
    assert tau["params"][0] == pytest.approx(kendall_tau(counted, table.labels()), abs=0.01)


def test_the_column_of_architectures_is_named(tmp_path):
    space = NASBench201()
    codes = space.sample(3, np.random.default_rng(0))
    file = tmp_path / "mine.csv"
    file.write_text("cell,value\n" + "".join(f"{space.format(code)},{n}\n" for n, code in enumerate(codes)))
    np.testing.assert_array_equal(read_labels(file, space, architecture="cell").codes, codes)
    with pytest.raises(FrugalnasError, match="`architecture`"):
        read_labels(file, space)
    with pytest.raises(FrugalnasError, match="a table has no columns"):
        Labelled("nasbench201/cifar10", architecture="cell")


class TestAssessment(KindConformance):
    """Two predictors on two samples each."""

    kills = 3

    def begin(self, run_dir: Path, callbacks: Sequence[Callback]) -> object:
        how = {**SMALL, "budgets": [20], "trials": 2}
        return assess(["ridge", "nearest"], run_dir=run_dir, callbacks=callbacks, **how)
