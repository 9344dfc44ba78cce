"""Studies that are files of commands, and what lies in a search space."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from frugalnas.cli.compare import predictor_descriptions
from frugalnas.cli.experiment import experiment_names, read_experiment, steps_of
from frugalnas.cli.options import labelled_names, settings_of
from frugalnas.cli.parsing import parse
from frugalnas.cli.search import strategy_description
from frugalnas.errors import FrugalnasError
from frugalnas.registry import PREDICTORS, STRATEGIES, constructor_options
from frugalnas.spaces import NASBench101, NASBench201
from frugalnas.spaces.pipelines import divergence, path_shares, sampling_pipelines
from frugalnas.studies.landscape import read_landscape, read_samplers
from frugalnas.tables import open_table

TINY = """
source: nobody
about: two fits and the distances of a few architectures
each:
  value: [3, 4]
steps:
  fits-{value}: >-
    compare-predictors it=user_predictors:Scaled --table nasbench201/cifar10 --budgets 10 --trials 1 --held-out 100
    --set it.value={value} --quiet
  distances: landscape --table nasbench201/cifar10 --sample 50
"""


# -- the papers' studies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiment_names())
def test_every_step_of_a_study_is_a_command_whose_names_exist(name, tmp_path):
    experiment = read_experiment(name)
    assert experiment["source"]
    assert experiment["about"]
    for step, command in steps_of(experiment, tmp_path).items():
        assert "{" not in step + shlex.join(command)
        parsed = parse(command)
        registry = {"compare": STRATEGIES, "compare-predictors": PREDICTORS}.get(command[0])
        if registry is None:
            continue
        entries = (parsed.strategies if command[0] == "compare" else parsed.predictors).split(",")
        labels = dict.fromkeys(entry.partition("=")[0] for entry in entries)
        assert len(labels) == len(entries)
        assert {setting.partition(".")[0] for setting in parsed.set} <= {*labels, "space"}
        for entry in entries:
            assert entry.rpartition("=")[2] in registry.targets
        settings = settings_of(parsed.set)
        if command[0] == "compare-predictors":
            assert [
                found["label"]
                for found in predictor_descriptions(labelled_names(parsed.predictors, "predictor"), settings, None)
            ] == [*labels]
            continue
        for label, _, name in (entry.rpartition("=") for entry in entries):
            parts = [settings.get(part, {}) for part in (label or name, f"{label or name}.predictor")]
            options = strategy_description(name, *parts, {})["options"]
            if "paper" in constructor_options(STRATEGIES.resolve(name)):
                assert options["paper"] is True  # the papers' studies train as the papers do


def test_arms_of_the_activation_study_differ_in_their_activation_alone(tmp_path):
    command = steps_of(read_experiment("npenas-activation"), tmp_path)["nasbench101"]
    parsed = parse(command)
    settings = settings_of(parsed.set)
    arms = {}
    for label, _, name in (entry.partition("=") for entry in parsed.strategies.split(",")):
        made = STRATEGIES.create(strategy_description(name, settings.get(label, {}), {}, {}), NASBench101())
        arms[label] = STRATEGIES.describe(made)["options"]
    activations = {label: arm["predictor"]["options"].pop("activation") for label, arm in arms.items()}
    assert activations == {"np-relu": "relu", "np-celu": "celu", "bo-relu": "relu", "bo-celu": "celu"}
    assert arms["np-relu"] == arms["np-celu"]
    assert arms["bo-relu"] == arms["bo-celu"]


def test_a_step_has_the_folders_of_others_and_each_value_of_a_list(tmp_path):
    steps = steps_of(
        {
            "each": {"epochs": [5, 10], "size": ["a", "b"]},
            "steps": {
                "encoder": "pretrain ss-ccl",
                "fit-{epochs}": "compare-predictors gin --set gin.epochs={epochs} --pretrained {encoder}",
                "{epochs}-{size}": "landscape --sample {epochs}",
            },
        },
        tmp_path,
    )
    assert list(steps) == ["encoder", "fit-5", "fit-10", "5-a", "5-b", "10-a", "10-b"]
    assert steps["fit-10"][-3:] == ["gin.epochs=10", "--pretrained", str(tmp_path / "encoder")]


def test_a_step_has_the_folders_of_all_earlier_ones_that_a_star_fits(tmp_path):
    steps = {
        "run-{seed}": "pretrain --seed {seed}",
        "all": "correlate {run-*} --table {run-2}",
        "run-last": "x {run-*}",
    }
    found = steps_of({"each": {"seed": [1, 2]}, "steps": steps}, tmp_path)
    runs = [str(tmp_path / f"run-{seed}") for seed in (1, 2)]
    assert found["all"] == ["correlate", *runs, "--table", runs[1]]
    assert found["run-last"] == ["x", *runs]


def test_a_plan_resumes_what_there_is_and_hands_options_to_the_commands_that_have_them(tmp_path, cli):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    (tmp_path / "out" / "fits-4").mkdir(parents=True)
    (tmp_path / "out" / "fits-4" / "config.yaml").write_text("kind: assessment\n")
    said = cli("experiment", file, "--out", tmp_path / "out", "--dry-run", "--trials", "2", "--jobs", "3")
    assert said.code == 0, said.err
    first, second, last = said.out.splitlines()
    assert first.endswith(f"--set it.value=3 --quiet --trials 2 --jobs 3 --run-dir {tmp_path / 'out' / 'fits-3'}")
    assert second == f"frugalnas resume {tmp_path / 'out' / 'fits-4'} --quiet --jobs 3"
    assert last.endswith(f"landscape --table nasbench201/cifar10 --sample 50 --out {tmp_path / 'out' / 'distances'}")


@pytest.mark.slow
def test_a_study_runs_step_by_step_and_does_not_run_again_what_is_finished(tmp_path, cli):
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    out = tmp_path / "out"
    said = cli("experiment", file, "--out", out, "--seed", "3")
    assert said.code == 0, said.err
    assert {path.name for path in out.iterdir()} == {"fits-3", "fits-4", "distances"}
    for value in (3, 4):
        config = (out / f"fits-{value}" / "config.yaml").read_text()
        assert f"value: {value}" in config
        assert "\nseed: 3\n" in config
    journal = (out / "fits-4" / "journal.jsonl").read_text()
    (out / "fits-4" / "journal.jsonl").write_text("")
    planned = cli("experiment", file, "--out", out, "--dry-run").out.splitlines()
    assert planned[0] == f"frugalnas resume {out / 'fits-3'} --quiet"
    assert planned[2] == f"frugalnas landscape --table nasbench201/cifar10 --sample 50 --out {out / 'distances'}"
    assert cli("experiment", file, "--out", out, "--steps", "fits-4").code == 0
    assert (out / "fits-4" / "journal.jsonl").read_text() == journal


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ssnenas-gedd"], "did you mean 'ssnenas-ged'"),
        (["nowhere.yaml"], "cannot be read"),
        (["npenas-landscape", "--trials", "3"], "unrecognized arguments: --trials 3"),
        (["npenas-landscape", "--smple", "3"], "did you mean --sample?"),
        (["npenas-landscape", "--steps"], "frugalnas: argument --steps: expected one argument (frugalnas experiment"),
        (["npenas-landscape", "--steps", "nasbench102"], "did you mean 'nasbench101'"),
        (["npenas-landscape", "--run-dir", "x"], "choose that with --out"),
        (["npenas-landscape", "quick"], "unrecognized arguments: quick"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_study_that_cannot_run_is_refused(cli, arguments, expected):
    said = cli("experiment", *arguments)
    assert said.code == 2
    assert expected in said.err


def test_options_of_a_study_may_stand_before_its_name(cli):
    orders = [["--dry-run", "--jobs", "3", "npenas-scaling"], ["npenas-scaling", "--jobs=3", "--dry-run"]]
    first, second = (cli("experiment", *arguments) for arguments in orders)
    assert first.code == 0, first.err
    assert first.out == second.out
    assert first.out.count(" --jobs 3 ") == 3


def test_studies_are_listed(cli):
    listed = cli("experiment").out
    assert all(name in listed for name in experiment_names())
    assert "Steps: nasbench101, nasbench201-cifar10" in cli("experiment", "npenas-landscape", "--help").out


# -- differences by distance -----------------------------------------------------------------------------------------------


def test_differences_are_means_over_pairs():
    found = read_landscape("nasbench201/cifar10", sample=40, seed=1)
    table = open_table("nasbench201/cifar10")
    rows = np.sort(np.random.default_rng(1).choice(len(table), 40, replace=False))
    bits = table.space.encode(np.asarray(table.codes[rows]), "position-path")
    values = table.labels()[rows]
    left, right = np.triu_indices(40, 1)
    distances = np.abs(bits[left] - bits[right]).sum(axis=1).astype(int)
    assert found.pairs.sum() == len(left)
    for distance, pairs, mean in zip(found.distances, found.pairs, found.differences["validation"], strict=True):
        here = distances == distance
        assert pairs == here.sum()
        assert mean == pytest.approx(np.abs(values[left] - values[right])[here].mean())
    assert found.random["validation"] == pytest.approx(np.abs(values[left] - values[right]).mean())
    assert found.agreement == ()  # this table has no test results


def test_equal_paths_nearly_mean_equal_accuracies():
    found = read_landscape("nasbench201/cifar10", sample=1000)
    equal = found.differences["validation"][found.distances == 0]
    assert equal < 0.5 < found.random["validation"]


@pytest.mark.slow
@pytest.mark.pictures
def test_validation_and_test_agree_less_among_the_best(fresh_cache, tmp_path, cli):
    space, rng = NASBench201(), np.random.default_rng(0)
    codes = space.sample(400, rng)
    codes = codes[np.unique(space.keys(codes), return_index=True)[1]]
    quality = 60 + 30 * rng.random(len(codes))
    rows = ["architecture,validation,test"]
    rows += [
        f"{space.format(code)},{value + rng.normal():.4f},{value + rng.normal():.4f}"
        for code, value in zip(codes, quality, strict=True)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    assert cli("table", "import", tmp_path / "mine.csv", "--name", "nasbench201/mine").code == 0
    said = cli("landscape", "--table", "nasbench201/mine", "--out", tmp_path / "out", "--json")
    assert said.code == 0, said.err
    taus = [known["tau"] for known in json.loads(said.out)["agreement"]]
    assert taus[0] > 0.85 > taus[3]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "agreement.csv", "differences.csv", "landscape.png", "landscape.svg"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sample", "1"], "two architectures at least are a pair"),
        (["--encoding", "integer"], "integer is not of zeros and ones"),
        (["--encoding", "pathh"], "did you mean 'path'"),
        (["--table", "nasbench2"], "unknown table"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_landscape_that_cannot_be_read_is_refused(cli, options, expected):
    said = cli("landscape", *options)
    assert said.code == 2
    assert expected in said.err


def test_a_step_names_those_before_it_alone(tmp_path):
    from frugalnas.cli.experiment import steps_of

    steps = {"one": "search random", "two": "correlate {on*}"}
    assert steps_of({"steps": steps}, tmp_path)["two"] == ["correlate", str(tmp_path / "one")]
    with pytest.raises(FrugalnasError, match=r"the step two asks for \{supernet-\*\}, but no step before it"):
        steps_of({"steps": {**steps, "two": "correlate {supernet-*}"}}, tmp_path)
    with pytest.raises(FrugalnasError, match=r"the step one asks for \{two\}, which comes after it"):
        steps_of({"steps": {**steps, "one": "show {two}"}}, tmp_path)


# -- what samplers draw ----------------------------------------------------------------------------------------------------


def test_a_divergence_is_zero_of_the_whole_and_grows_with_what_is_missing():
    whole = np.array([0.5, 0.25, 0.25])
    assert divergence(whole, whole) == 0
    assert divergence(np.array([1.0, 0, 0]), whole) == pytest.approx(np.log(2))
    with pytest.raises(FrugalnasError, match="what the whole has not"):
        divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0]))


def test_samples_of_nasbench201_come_near_the_space():
    found = read_samplers(NASBench201(), sizes=(20, 2000), trials=2)
    codes = found.divergences["codes"]
    assert codes[:, 1].max() < 0.02 < codes[:, 0].min()
    assert found.networks["networks"] > found.networks["codes"]


@pytest.mark.slow
@pytest.mark.pictures
def test_samplers_are_written_and_drawn(tmp_path, cli):
    said = cli("samplers", "--space", "nasbench201", "--sizes", "20,200", "--trials", "2", "--out", tmp_path)
    assert said.code == 0, said.err
    assert {path.name for path in tmp_path.iterdir()} == {"divergences.csv", "samplers.png", "samplers.svg"}


@pytest.mark.slow
def test_random_bits_prefer_some_paths_of_nasbench101():
    space, rng = NASBench101(), np.random.default_rng(0)
    shares = {name: path_shares(space, draw(2000, rng)) for name, draw in sampling_pipelines(space).items()}
    assert set(shares) == {"uniform", "random-bits"}
    longest = [share[-243:].sum() for share in shares.values()]  # of the paths through all five inner vertices
    assert longest[0] > 3 * longest[1]


@pytest.mark.slow
def test_random_bits_stay_far_from_the_space():
    found = read_samplers(NASBench101(), sizes=(5000,), trials=2)
    assert found.divergences["uniform"].mean() < 0.02
    assert found.divergences["random-bits"].mean() > 0.5


def test_what_cannot_be_listed_has_no_whole_to_hold_samples_against(cli):
    said = cli("samplers", "--space", "darts")
    assert said.code == 2
    assert "darts cannot be listed" in said.err
