"""Scores of a supernet's run: by name, in searches, on the command line, and held against tables."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch

import frugalnas as fn
from frugalnas.cli.options import SCORE_HELP
from frugalnas.data import Loader
from frugalnas.errors import FrugalnasError
from frugalnas.evaluation import Trials
from frugalnas.networks.weightless import weightless
from frugalnas.report.rankings import ranking_numbers
from frugalnas.runs import RunFolder
from frugalnas.runs.descriptions import build_evaluator, describe_evaluator
from frugalnas.runs.progress import Callback
from frugalnas.scores import Angle, angle_table, rule_for, zero_cost
from frugalnas.scores.correlation import kendall_tau
from frugalnas.scores.zero_cost import ZeroCost
from frugalnas.searches import Budget, resume, search
from frugalnas.searches.scoring import SCORES, ZERO_COST, ZeroCostScore, fast
from frugalnas.searches.supernet_scores import Looking, ScoreEvaluator, open_score
from frugalnas.strategies import RandomSearch
from frugalnas.studies.correlation import correlate, tables_named, transfer
from frugalnas.supernets import supernet_of
from frugalnas.tables import Column, Contents, open_table, write_table
from frugalnas.tables.catalogue import table_folder
from frugalnas.testing import EvaluatorConformance
from frugalnas.trainings.supernet import load_supernet, supernet_data, train_supernet

SPACE = fn.NASBench201(width=2, cells=1)
QUICK = {"epochs": 3, "batch_size": 512, "lr": 0.05, "base_epochs": [0, 1], "angle_base": 1}
CODES = fn.NASBench201().sample(6, np.random.default_rng(0))
ALL_3X3 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds on random labels, and one on true labels."""
    root = tmp_path_factory.mktemp("supernets")
    for seed in (0, 1):
        train_supernet(SPACE, run_dir=root / f"seed{seed}", settings=QUICK, seed=seed, compute=fn.Compute("cpu"))
    true = {**QUICK, "labels": "true", "epochs": 2}
    train_supernet(SPACE, run_dir=root / "true", settings=true, compute=fn.Compute("cpu"))
    return root


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """A cache that no other test process writes the same tables to."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FRUGALNAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tables(own_cache):
    """Small tables with known accuracies: of this space, with and without tests, and of another."""
    rng = np.random.default_rng(0)
    codes = np.unique(fn.NASBench201().sample(80, rng), axis=0)
    names = {}
    for name, roles in (("toy/a", ("validation", "test")), ("toy/b", ("validation",))):
        columns = [Column(role, rng.uniform(10, 95, (len(codes), 1)), split=f"the {role} images") for role in roles]
        names[name] = columns
        write_table(
            table_folder(name),
            Contents(
                name=name, space=fn.NASBench201(), codes=codes, columns=columns, source={"file": "none"}, licence="none"
            ),
        )
    other = fn.MobileNet()
    write_table(
        table_folder("toymobile/a"),
        Contents(
            name="toymobile/a",
            space=other,
            codes=other.sample(3, rng),
            columns=[Column("validation", rng.random((3, 1)))],
            source={"file": "none"},
            licence="none",
        ),
    )
    return sorted(names)


def angles(run, epoch, base, codes, rule=None):
    with weightless():
        supernet = supernet_of(run.space)
    return Angle(run.space, angle_table(supernet, run.triples(epoch, base), rule_for(run.space, rule)))(codes)


# -- by name -------------------------------------------------------------------------------------------------------------


def test_an_angle_is_that_of_the_epochs_and_rule_asked_for(runs):
    run = load_supernet(runs / "seed0")
    np.testing.assert_array_equal(open_score(run.run_dir)(CODES), angles(run, 3, 1, CODES))
    chosen = open_score(run.run_dir, "angle", epoch=2, base=0, rule="rlnas-nasbench201")
    np.testing.assert_array_equal(chosen(CODES), angles(run, 2, 0, CODES, "rlnas-nasbench201"))
    early = open_score(run.run_dir, epoch=1)  # before the recipe's base there is the initial one
    np.testing.assert_array_equal(early(CODES), angles(run, 1, 0, CODES))


def test_accuracy_is_that_of_the_path_on_the_images_held_out(runs):
    run = load_supernet(runs / "true")
    data = supernet_data(run.run_dir)
    images, labels = next(Loader(data.val, batch_size=len(data.val)).epoch(0))
    supernet = run.supernet()
    with torch.no_grad():
        paths = run.space.canonical(CODES)  # codes of one network have one score
        right = [(supernet(images, code).argmax(1) == labels).double().mean() for code in paths]
    score = open_score(run.run_dir, "accuracy", looking=Looking(recalibrate=False))
    np.testing.assert_allclose(score(CODES), 100 * np.array(right), atol=1e-9)
    recalibrated = open_score(run.run_dir, "accuracy", looking=Looking(images=100))
    assert recalibrated.images == 100
    assert np.ptp(recalibrated(CODES)) > 0


def test_counts_refer_to_the_space_that_is_given(runs):
    wide = SPACE.with_options(width=16, cells=5, input_size=32)
    np.testing.assert_array_equal(open_score(runs / "seed0", "params", space=wide)(CODES), wide.count("params", CODES))
    assert (open_score(runs / "seed0", "macs")(CODES) < wide.count("macs", CODES)).all()


def test_a_methods_run_stands_for_the_supernet_that_it_trained(runs, tmp_path):
    method = tmp_path / "method"
    RunFolder.create(method, {"kind": "method", "method": {"name": "rlnas", "options": {}}})
    with pytest.raises(FrugalnasError, match="has trained no supernet yet; continue it with: frugalnas resume"):
        open_score(method)
    shutil.copytree(runs / "seed0", method / "stages" / "01-supernet")
    np.testing.assert_array_equal(open_score(method)(CODES), open_score(runs / "seed0")(CODES))


@pytest.mark.slow
def test_zero_cost_scores_and_sums_by_rank(runs):
    together = open_score(runs / "seed0", "synflow+naswot+gradnorm", reference=4, looking=Looking(images=32))
    parts = together.parts(CODES)
    assert sorted(parts) == ["gradnorm", "naswot", "synflow"]
    assert all(np.isfinite(values).all() for values in parts.values())
    np.testing.assert_array_equal(together.rank(parts), together(CODES))
    cheap = open_score(runs / "seed0", "angle+params")
    everything = cheap.space.enumerate()
    ranks = cheap(everything)
    assert ranks.min() >= 0
    assert ranks.max() <= 1
    assert fast("angle+params")
    assert not fast("angle+accuracy")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "angel"}, "did you mean 'angle'"),
        ({"name": "angle+angle"}, "name each once"),
        ({"base": 2}, "from epoch 0 or 1, not 2"),
        ({"epoch": 9}, "has done 3 of 3 epochs"),
        ({"rule": "abs-darts"}, "is for darts, not for nasbench201"),
        ({"space": fn.DARTS()}, "supernet of nasbench201, but darts is scored"),
        ({"name": "accuracy", "looking": Looking(images=0)}, "at least one image"),
    ],
)
def test_what_a_run_cannot_answer_is_said_with_the_mend(runs, options, said):
    with pytest.raises(FrugalnasError, match=said):
        open_score(runs / "seed0", **options)


# -- in searches ---------------------------------------------------------------------------------------------------------


def test_an_evaluator_is_settled_and_built_again_from_its_description(runs):
    space = SPACE.where("params<=4000")
    evaluator = ScoreEvaluator(space, supernet=str(runs / "seed0"), name="angle+params", reference=50)
    description = describe_evaluator(evaluator)
    assert description["name"] == "score"
    assert [description["options"][name] for name in ("epoch", "base", "rule")] == [3, 1, "default"]
    json.dumps(description)
    codes = space.sample(20, np.random.default_rng(1))
    trials = Trials(codes, np.arange(20))
    answers = evaluator.evaluate(trials, runs)
    again = build_evaluator(description, space).evaluate(trials, runs)
    np.testing.assert_array_equal(answers.values, again.values)
    assert sorted(answers.metrics) == ["angle", "macs", "params"]
    np.testing.assert_array_equal(answers.metrics["angle"], angles(load_supernet(runs / "seed0"), 3, 1, codes))
    assert evaluator.optimum == evaluator.scored(space.enumerate()).max()


@pytest.mark.slow
class TestScoreEvaluator(EvaluatorConformance):
    """A sum, whose value may not depend on what else is scored."""

    @pytest.fixture(autouse=True)
    def trained(self, runs):
        self.supernet = str(runs / "true")

    def space(self):
        return SPACE

    def make(self):
        return ScoreEvaluator(SPACE, supernet=self.supernet, name="angle+synflow", reference=4)


class Interrupt(Callback):
    def on_query(self, query, ledger):
        if len(ledger) == 13:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_search_ends_as_if_it_had_not_been(runs, tmp_path):
    def begin(folder, callbacks=()):
        evaluator = ScoreEvaluator(SPACE, supernet=str(runs / "seed0"))
        search(RandomSearch(SPACE, seed=2), evaluator, Budget(30), run_dir=tmp_path / folder, callbacks=callbacks)

    begin("whole")
    with pytest.raises(KeyboardInterrupt):
        begin("cut", [Interrupt()])
    resume(tmp_path / "cut")
    assert (tmp_path / "cut" / "journal.jsonl").read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()


def test_options_of_older_runs_stand_in_a_row(runs):
    row = {"supernet": str(runs / "seed0"), "name": "angle", "rule": None, "base": 0, "epoch": 2, "recalibrate": False}
    row |= {"images": 1000, "reference": None, "seed": 3, "device": "cpu", "initial": None}
    built = build_evaluator({"name": "score", "options": row}, SPACE)
    assert (built.base, built.epoch, built.looking) == (0, 2, Looking(recalibrate=False, seed=3))


def test_a_search_whose_supernet_was_moved_says_where_it_was(runs, tmp_path):
    options = describe_evaluator(ScoreEvaluator(SPACE, supernet=str(runs / "seed0")))["options"]
    with pytest.raises(FrugalnasError, match=r"that the search began with, is not there; put it back"):
        ScoreEvaluator(SPACE, **{**options, "supernet": str(tmp_path / "moved")})


def test_a_search_does_not_go_on_with_another_supernet(runs, tmp_path):
    shutil.copytree(runs / "seed0", tmp_path / "supernet")
    evaluator = ScoreEvaluator(SPACE, supernet=str(tmp_path / "supernet"))
    search(RandomSearch(SPACE), evaluator, Budget(10), run_dir=tmp_path / "search")
    shutil.rmtree(tmp_path / "supernet")
    shutil.copytree(runs / "seed1", tmp_path / "supernet")
    with pytest.raises(FrugalnasError, match="another supernet than the search began with"):
        resume(tmp_path / "search", budget=Budget(20))


def test_the_command_line_searches_by_score_within_limits(runs, cli, tmp_path):
    found = cli(
        *("search", "genetic", "--score", "angle", "--supernet", runs / "seed0", "--rule", "rlnas-nasbench201"),
        *("--where", "params<=400000", "--set", "space.width=16", "--set", "space.cells=5"),
        *("--population", "20", "--parents", "5", "--mutations", "10", "--crossovers", "5"),
        *("--queries", 60, "--run-dir", tmp_path / "run"),
    )
    assert found.code == 0, found.err
    assert "can be listed: the largest of all" in found.err
    config = RunFolder(tmp_path / "run").config
    assert config["space"]["limits"]["where"] == "params<=400000"
    assert config["space"]["options"]["width"] == 16
    assert config["evaluator"]["options"]["rule"] == "rlnas-nasbench201"
    summary = json.loads(cli("show", tmp_path / "run", "--json").out)
    assert summary["objective"] == "score angle"
    assert summary["counts"]["params"] <= 400_000
    code = np.array([summary["code"]], np.int8)
    assert summary["value"] == angles(load_supernet(runs / "seed0"), 3, 1, code, "rlnas-nasbench201")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--score", "angle"], "add --supernet RUN"),
        (["--base", "1"], "add --supernet RUN"),
        (["--supernet", "{run}", "--table", "nasbench201/cifar10"], "has no meaning with --supernet"),
        (["--supernet", "{run}", "--space", "darts"], "is a supernet of nasbench201, not of darts"),
        (["--supernet", "{run}", "--where", "params<=9"], "params lie between"),
        (["--supernet", "{run}/nowhere"], "there is no run at"),
    ],
)
def test_a_search_that_cannot_be_says_so_and_leaves_nothing(runs, cli, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    outcome = cli("search", "random", *(text.format(run=runs / "seed0") for text in arguments))
    assert outcome.code == 2
    assert said in outcome.err
    assert not (tmp_path / "runs").exists()


# -- frugalnas score -----------------------------------------------------------------------------------------------------


def test_score_ranks_the_whole_space_and_writes_it(runs, cli, tmp_path):
    run = load_supernet(runs / "seed0")
    codes = run.space.enumerate()
    known = angles(run, 3, 1, codes)
    shown = cli("score", runs / "seed0", "--top", 3, "--out", tmp_path / "all.csv")
    assert shown.code == 0, shown.err
    assert "all 15,625 architectures" in shown.out
    assert "Kendall's tau  with params" in shown.out
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(codes)
    assert float(rows[0]["angle"]) == known.max()
    written = {row["architecture"]: float(row["angle"]) for row in rows}
    assert written[ALL_3X3] == angles(run, 3, 1, run.space.parse(ALL_3X3)[None])[0]
    top = json.loads(cli("score", runs / "seed0", "--top", 4, "--json").out)["top"]
    networks = run.space.network_ids(np.array([run.space.parse(one["architecture"]) for one in top]))
    assert len(set(networks.tolist())) == 4
    assert [one["angle"] for one in top] == sorted((one["angle"] for one in top), reverse=True)


def test_score_of_named_architectures_a_sample_and_the_maximum(runs, cli, tmp_path):
    (tmp_path / "codes.txt").write_text(f"# mine\n{ALL_3X3}\n\n")
    said = json.loads(
        cli("score", runs / "true", "--score", "accuracy", "--codes", tmp_path / "codes.txt", "--json").out
    )
    assert said["architectures"] == 1
    assert 0 <= said["top"][0]["accuracy"] <= 100
    sample = json.loads(cli("score", runs / "seed0", "--sample", 30, "--where", "params<=3500", "--json").out)
    assert sample["architectures"] <= 30
    assert max(one["params"] for one in sample["top"]) <= 3500
    named = json.loads(cli("score", runs / "seed0", "--top", 1, "--json", ALL_3X3).out)
    assert [one["architecture"] for one in named["top"]] == [ALL_3X3]
    assert "no weight of" in cli("score", runs / "seed0", "--score", "params", ALL_3X3).out
    best = json.loads(cli("score", runs / "seed0", "--maximise", "--json").out)
    assert best["certified"]
    assert best["angle"] == json.loads(cli("score", runs / "seed0", "--json").out)["quantiles"]["1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "unknown architecture"),
        (["--seed", "-1", "--sample", "3"], "seeds are 0 or more"),
        (["--codes", "missing.txt"], "cannot be read"),
        (["--out", "angles.txt"], "end it in .csv or .parquet"),
        (["--maximise", "--score", "params"], "computes the largest angle"),
        (["--set", "evaluator.images=3"], "unknown part of --set"),
        ([ALL_3X3, "--sample", "3"], "leave it out where they are named"),
        ([ALL_3X3, "--where", "params<=3000"], "is not an architecture of"),
    ],
)
def test_score_refuses_in_one_line(runs, cli, arguments, said):
    outcome = cli("score", runs / "seed0", *arguments)
    assert outcome.code == 2
    assert said in outcome.err


def test_untrained_networks_are_scored_without_a_supernet(runs, cli, tmp_path):
    sizes = [f"--set=space.{name}={value}" for name, value in (("width", 2), ("cells", 1), ("input_size", 8))]
    space = fn.NASBench201(width=2, cells=1, input_size=8)
    together = fn.open_untrained(space, "synflow+naswot+gradnorm", data="digits", reference=4)
    supernet = open_score(runs / "seed0", "synflow+naswot+gradnorm", space=space, reference=4)
    for name, values in together.parts(CODES).items():
        np.testing.assert_allclose(values, supernet.parts(CODES)[name], rtol=1e-6, err_msg=name)
    assert (
        "of networks that nobody has trained" in cli("score", "nasbench201", ALL_3X3, *sizes, "--score", "synflow").out
    )
    shown = cli("score", "nasbench201", ALL_3X3, *sizes, "--score", "naswot", "--data", "digits", "--json").out
    assert json.loads(shown)["top"][0]["naswot"] == fn.open_untrained(space, "naswot", data="digits")(
        space.parse(ALL_3X3)[None]
    )
    sizes.append("--set=evaluator.reference=8")
    found = cli("search", "random", *sizes, "--score", "synflow+params", "--queries", 11, "--run-dir", tmp_path / "run")
    assert found.code == 0, found.err
    continued = resume(tmp_path / "run", budget=Budget(12))
    score = fn.open_untrained(space, "synflow+params", reference=8)
    np.testing.assert_array_equal(continued.values, score(continued.codes))
    assert json.loads(cli("show", tmp_path / "run", "--json").out)["objective"] == "score synflow+params"
    for arguments, said in (
        (("--score", "angle"), "give the folder of one"),
        (("--score", "naswot"), "looks at images; say at which"),
        (("--score", "synflow", "--epoch", "3"), "is of a supernet's angle"),
        (("--score", "synflow", "--space", "darts"), "are two spaces"),
    ):
        assert said in cli("score", "nasbench201", *arguments).err
    assert "a supernet's run has its own images" in cli("score", runs / "seed0", "--data", "digits").err


UNTRAINED = ("--space", "nasbench201", "--set", "space.width=2", "--set", "space.cells=1")


def test_untrained_networks_fit_the_images_and_an_option_names_their_space(runs, cli):
    fitted = SPACE.with_options(input_size=8, classes=10)
    shown = cli("score", *UNTRAINED, "--score", "naswot", "--data", "digits", "--json", ALL_3X3)
    assert shown.code == 0, shown.err
    (top,) = json.loads(shown.out)["top"]
    code = SPACE.parse(ALL_3X3)[None]
    assert top["naswot"] == pytest.approx(float(open_score(runs / "seed0", "naswot")(code)[0]))
    assert [top["params"], top["macs"]] == [fitted.count(name, code)[0] for name in ("params", "macs")]
    other = cli("score", *UNTRAINED, "--score", "synflow", "--sample", 3, "--seed", 1)  # needs no images
    assert "of networks that nobody has trained, seed 1\n" in other.out


@pytest.mark.slow
def test_a_search_by_untrained_networks_resumes_and_knows_its_data(cli, tmp_path):
    found = cli(
        *("search", "random", *UNTRAINED, "--score", "naswot+params", "--data", "digits", "--quiet"),
        *("--set", "evaluator.reference=4", "--queries", 11, "--run-dir", tmp_path / "cut"),
    )
    assert found.code == 0, found.err
    fitted = SPACE.with_options(input_size=8, classes=10)
    evaluator = fn.UntrainedEvaluator(fitted, score="naswot+params", data="digits", reference=4)
    search(RandomSearch(fitted), evaluator, Budget(14), run_dir=tmp_path / "whole")
    resume(tmp_path / "cut", budget=Budget(14))
    assert (tmp_path / "cut" / "journal.jsonl").read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()
    options = RunFolder(tmp_path / "cut").config["evaluator"]["options"]
    with pytest.raises(FrugalnasError, match="the data at digits have changed since the search began"):
        fn.UntrainedEvaluator(fitted, **{**options, "fingerprint": "other"})


def test_whatever_stands_in_the_table_of_zero_cost_scores_is_a_score(monkeypatch):
    class Modules(ZeroCost):
        name = "modules"

        def measure(self, network):
            return float(sum(1 for _ in network.modules()))

    assert all(name in SCORE_HELP for name in SCORES)
    monkeypatch.setattr(zero_cost, "Modules", Modules, raising=False)
    monkeypatch.setitem(SCORES, "modules", "modules")
    monkeypatch.setitem(ZERO_COST, "modules", ZeroCostScore("modules", "Modules"))
    monkeypatch.setattr("frugalnas.searches.untrained.UNTRAINED", (*ZERO_COST,))
    assert (fn.open_untrained(SPACE, "modules")(CODES) > 10).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score"], "untrained networks of --space; give one"),
        (["score", "{run}", "--space", "nasbench201"], "untrained networks of --space; give one"),
        (["score", "--space", "nasbench201"], "angle is that of a trained supernet"),
        (["score", "--space", "nasbench201", "--score", "params+accuracy"], "accuracy is that of a trained supernet"),
        (["score", "--space", "nasbench201", "--score", "naswot"], "naswot looks at images"),
        (
            ["score", "--space", "nasbench201", "--score", "params", "--max-corrupt", "2"],
            "--max-corrupt 2 is about images",
        ),
        (["search", "random", "--score", "naswot"], "naswot looks at images"),
        (["search", "random", "--supernet", "{run}", "--data", "digits"], "a supernet has its own"),
        (["search", "random", "--data", "digits"], "goes with --score of untrained networks"),
    ],
)
def test_scores_without_a_run_are_refused_in_one_line(runs, cli, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    outcome = cli(*(text.format(run=runs / "seed0") for text in arguments))
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# -- against tables ------------------------------------------------------------------------------------------------------


def test_correlate_ranks_every_epoch_from_every_base(runs, tables):
    study = correlate([runs / "seed0", runs / "seed1"], "toy/a")
    table = open_table("toy/a")
    assert (study.column, study.split) == ("test", "the test images")
    run = load_supernet(runs / "seed1")
    expected = {
        (epoch, base): kendall_tau(angles(run, epoch, base, table.codes), table.labels("test"))
        for epoch in (1, 2, 3)
        for base in (0, 1)
        if base < epoch
    }
    mine = {(r.epoch, r.base): r.correlation.tau for r in study.rankings if r.run == run.run_dir}
    assert mine == expected
    from_first = study.seeds(("random labels", "angle", 1))
    assert from_first.shape == (2, 3)
    assert np.isnan(from_first[:, 0]).all()
    assert from_first[1, 2] == expected[3, 1]
    params = table.space.count("params", table.codes)
    assert study.baselines["params"].tau == kendall_tau(params, table.labels("test"))
    assert (study.main.run, study.main.epoch, study.main.base) == (runs / "seed0", 3, 1)
    assert correlate([runs / "seed0"], "toy/a", against="validation", epochs=[3], bases=[0]).column == "validation"


def test_runs_that_differ_in_more_than_the_seed_are_lines_of_their_own(runs, tables):
    study = correlate([runs / "seed0", runs / "true"], "toy/b", epochs=[2], bases=[1])
    assert [study.name(line) for line in study.lines] == [
        "random labels, angle from epoch 1",
        "true labels, angle from epoch 1",
    ]


def test_sums_are_ranked_with_their_parts_on_a_sample(runs, tables):
    study = correlate([runs / "true"], "toy/a", score="angle+accuracy", sample=10, looking=Looking(images=50))
    assert [ranking.score for ranking in study.rankings] == ["angle", "accuracy", "angle+accuracy"]
    assert len(study.codes) == 10
    assert not study.whole


@pytest.mark.slow
def test_scores_other_than_the_angle_are_ranked_after_every_epoch_that_is_named(runs, tables):
    study = correlate([runs / "seed0"], "toy/a", score="angle+macs", epochs=[2, 3], bases=[0, 1])
    found = [(ranking.score, ranking.epoch, ranking.base) for ranking in study.rankings]
    assert [one for one in found if one[0] == "angle"] == [("angle", e, b) for e in (2, 3) for b in (0, 1)]
    assert [one for one in found if one[0] == "macs"] == [("macs", 2, None), ("macs", 3, None)]
    assert len(correlate([runs / "seed0", runs / "seed0"], "toy/a").rankings) == 5  # one run is one seed
    assert study.main.score == "angle+macs"


@pytest.mark.slow
@pytest.mark.pictures
def test_correlate_on_the_command_line_leaves_numbers_and_figures(runs, tables, cli, tmp_path):
    shown = cli("correlate", runs / "seed0", runs / "seed1", "--table", "toy/a", "--out", tmp_path)
    assert shown.code == 0, shown.err
    assert "angle from epoch 0" in shown.out
    assert "±" in shown.out
    with (tmp_path / "correlation-toy-a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5 + 2
    assert {row["score"] for row in rows} == {"angle", "params", "macs"}
    for figure in ("correlation-toy-a", "correlation-toy-a-epochs"):
        assert (tmp_path / f"{figure}.png").stat().st_size > 10_000
        assert (tmp_path / f"{figure}.svg").exists()


@pytest.mark.slow
@pytest.mark.pictures
def test_what_others_measured_stands_beside(runs, tables, cli, tmp_path):
    taus = {"angle": {0: 0.57, 1: 0.59}, "add": {0: 0.7}}
    torch.save(taus, tmp_path / "abs.tau", _use_new_zipfile_serialization=False)
    arguments = ("correlate", runs / "seed0", "--table", "toy/a", "--epoch", "3", "--out", tmp_path)
    shown = cli(*arguments, "--reference", f"seeds={tmp_path / 'abs.tau'}")
    assert shown.code == 0, shown.err
    assert ["abs.tau:", "angle", "last", "0.580", "±0.014", "2"] in [line.split() for line in shown.out.splitlines()]
    refused = cli(*arguments, "--reference", tmp_path / "abs.tau")
    assert refused.code == 2
    assert "seeds=, epochs=, params=" in refused.err


def test_numbers_of_one_seed_have_no_deviation(runs, tables):
    numbers = json.loads(json.dumps(ranking_numbers(correlate([runs / "seed0"], "toy/a")), allow_nan=False))
    assert numbers["accuracy"] == "test"
    assert [(record["epoch"], record["base"]) for record in numbers["rankings"]] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (2, 1),
        (3, 1),
    ]
    mean, deviation = numbers["rankings"][-1]["tau"]
    assert -1 < mean < 1
    assert deviation is None


@pytest.mark.slow
def test_robustness_covers_the_tables_of_a_benchmark(runs, tables):
    assert tables_named("toy") == tables
    studies = transfer([runs / "seed0", runs / "seed1"], tables)
    assert list(studies) == tables
    for name, study in studies.items():
        assert [(ranking.seed, ranking.epoch, ranking.base) for ranking in study.rankings] == [(0, 3, 1), (1, 3, 1)]
        assert study.rankings[0].correlation.tau == correlate([runs / "seed0"], name).main.correlation.tau


@pytest.mark.slow
@pytest.mark.pictures
def test_robustness_on_the_command_line(runs, tables, cli, tmp_path):
    shown = cli("robustness", runs / "seed0", "--table", "toy", "--out", tmp_path)
    assert shown.code == 0, shown.err
    assert {path.name for path in tmp_path.iterdir()} == {
        "robustness.csv",
        *(f"robustness{part}.{kind}" for part in ("", "-taus") for kind in ("png", "svg")),
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "toymobile/a"], "toymobile/a is a table of mobilenet, but"),
        (["--table", "toy/zzz"], "unknown table"),
        (["--table", "toy/b", "--against", "test"], "unknown column of toy/b 'test'"),
        (["--table", "toy/a", "--base", "2"], "from epoch 0 or 1, not 2"),
        (["--table", "toy/a", "--sample", "1"], "two architectures at least"),
    ],
)
def test_correlate_refuses_in_one_line(runs, tables, cli, arguments, said):
    outcome = cli("correlate", runs / "seed0", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
