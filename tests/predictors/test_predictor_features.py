"""Quantities beside the encoding: what a predictor may know of an architecture without training it, and what not."""

from __future__ import annotations

import numpy as np
import pytest
from test_predictors import SPACE, problem
from test_spaces import Layers

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import Ridge
from frugalnas.registry import PREDICTORS
from frugalnas.searches import Budget, resume, search
from frugalnas.spaces import Population
from frugalnas.strategies import WeakNAS
from frugalnas.tables import TableEvaluator, known_quantities, open_table

SECONDS = "nasbench201/cifar10:training_seconds"


def test_a_quantity_that_decides_is_learned() -> None:
    known, unknown, _ = problem(60)
    worth = np.log(SPACE.count("params", known.codes)), np.log(SPACE.count("params", unknown.codes))
    errors = []
    for features in ((), ("params",)):
        predictor = Ridge(encoding="integer", features=features).fit(known, worth[0])
        errors.append(np.abs(predictor.predict(unknown).mean - worth[1]).max())
    assert errors[1] < 0.01 * errors[0]


def test_codes_that_differ_in_a_quantity_alone_are_told_apart() -> None:
    population = Population(SPACE, SPACE.enumerate())
    plain, more = population.encoded("function"), population.encoded("function", ("params",))
    assert more.rows.shape[1] == plain.rows.shape[1] + 1
    np.testing.assert_array_equal(more.all[:, :-1], plain.all)
    np.testing.assert_allclose(more.all[:, -1], np.log1p(SPACE.count("params", population.codes)), rtol=1e-6)
    rows = np.array([700, 3, 3, 15_000])
    np.testing.assert_array_equal(population.take(rows).encoded("function", ("params",)).all, more.all[rows])


def test_a_quantity_that_is_the_same_for_all_labels_says_nothing() -> None:
    known, unknown, values = problem(40)
    same = Population(SPACE, known.codes, {"age": lambda codes: np.full(len(codes), 3.0)})
    other = Population(SPACE, unknown.codes, {"age": lambda codes: np.full(len(codes), 3.0)})
    plain = Ridge().fit(known, values).predict(unknown).mean
    np.testing.assert_allclose(Ridge(features=("age",)).fit(same, values).predict(other).mean, plain, rtol=1e-6)


def test_known_quantities_are_the_columns_of_a_table() -> None:
    table = open_table()
    known = known_quantities(SPACE, ["params", SECONDS])
    assert list(known) == [SECONDS]
    population = Population(SPACE, table.codes[:50], known)
    np.testing.assert_array_equal(population.quantity(SECONDS), table.labels("training_seconds")[:50])
    np.testing.assert_array_equal(
        population.take(np.array([4, 9])).quantity(SECONDS), population.quantity(SECONDS)[[4, 9]]
    )


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        *(
            (f"nasbench201/cifar10:{role}", "predicts nothing")
            for role in ("validation", "test", "whole_test", "train")
        ),
        ("nasbench201/cifar10:colour", "training_seconds"),
        ("nasbench201/cifar11:params", "unknown table"),
        ("flops", "unknown feature of nasbench201 'flops'.*params, macs.*TABLE:ROLE"),
        ("", "unknown feature"),
    ],
)
def test_features_that_leak_or_that_nobody_knows_are_refused(feature: str, says: str) -> None:
    with pytest.raises(FrugalnasError, match=says):
        WeakNAS(SPACE, predictor=Ridge(features=(feature,)))


def test_a_table_of_another_space_knows_nothing() -> None:
    with pytest.raises(FrugalnasError, match="describes nasbench201, but layers"):
        WeakNAS(Layers(8, 4), predictor=Ridge(features=(SECONDS,)))


def test_a_population_says_which_quantities_it_knows() -> None:
    known, _, values = problem(20)
    with pytest.raises(FrugalnasError, match=r"params, macs.*known_quantities"):
        Ridge(features=(SECONDS,)).fit(known, values)


@pytest.mark.parametrize("name", ["ridge", pytest.param("nearest", marks=pytest.mark.slow)])
def test_features_are_part_of_a_run_and_it_resumes_exactly(name: str, tmp_path) -> None:
    features = ("params", "macs", SECONDS)

    def strategy(features: tuple[str, ...]) -> WeakNAS:
        return WeakNAS(SPACE, predictor=PREDICTORS.create({"name": name, "options": {"features": features}}))

    whole = search(strategy(features), TableEvaluator(), 40, run_dir=tmp_path / "whole")
    search(strategy(features), TableEvaluator(), 25, run_dir=tmp_path / "part")
    resumed = resume(tmp_path / "part", budget=Budget(queries=40))
    assert (tmp_path / "part" / "journal.jsonl").read_bytes() == (tmp_path / "whole" / "journal.jsonl").read_bytes()
    assert SECONDS in (tmp_path / "whole" / "config.yaml").read_text()
    plain = search(strategy(()), TableEvaluator(), 40)
    chosen = [[query.code.tolist() for query in result.queries] for result in (whole, resumed, plain)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_features_are_set_on_the_command_line(cli, tmp_path) -> None:
    setting = f"predictor.features=params,{SECONDS}"
    said = cli(*("search", "--predictor", "nearest", "--set", setting, "--queries", 20, "--run-dir", tmp_path / "run"))
    assert said.code == 0, said.err
    assert SECONDS in (tmp_path / "run" / "config.yaml").read_text()
    leak = cli("search", "--predictor", "ridge", "--set", "predictor.features=nasbench201/cifar10:validation")
    assert (leak.code, "predicts nothing" in leak.err) == (2, True)
