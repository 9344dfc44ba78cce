"""NAS-Bench-101's 423,624 cells are searched as a small table is: exactly, resumably, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frugalnas.cache import cache_folder, cached_array
from frugalnas.evaluation import Evaluations
from frugalnas.predictors import Forest, GaussianProcess, Ridge, Tree
from frugalnas.predictors.gaussian_process import CONDITIONED_ON, best_and_others
from frugalnas.spaces import NASBench101, NASBench201, Population
from frugalnas.spaces.collisions import resolutions
from frugalnas.spaces.distances import edit_distances, packed
from frugalnas.strategies import Evolution, LocalSearch, RandomSearch, Strategy, WeakNAS

SPACE = NASBench101()


def worth(codes: np.ndarray) -> np.ndarray:
    """A made-up accuracy: best at a medium size, with many short paths."""
    size = np.log(SPACE.count("params", codes) / 8e6)
    return 90 - size**2 + 0.3 * SPACE.encode(codes, "path").sum(axis=1)


def played(strategy: Strategy, rounds: int) -> list[list[int]]:
    asked = []
    for _ in range(rounds):
        trials = strategy.ask()
        asked += trials.codes.tolist()
        strategy.tell(trials, Evaluations(worth(trials.codes)))
    return asked


@pytest.mark.parametrize("strategy", [Evolution, LocalSearch, RandomSearch])
def test_strategies_ask_for_valid_cells_and_never_a_network_twice(strategy: type[Strategy]) -> None:
    searching = strategy(SPACE, seed=1)
    asked = np.array(played(searching, 8), np.int8)
    assert len(np.unique(SPACE.network_ids(asked))) == len(asked)
    assert SPACE.valid(asked).all()


@pytest.mark.slow
def test_weaknas_climbs() -> None:
    strategy = WeakNAS(SPACE, seed=0)
    asked = np.array(played(strategy, 12), np.int8)
    assert len(np.unique(SPACE.network_ids(asked))) == len(asked)
    sample = worth(SPACE.sample(20_000, np.random.default_rng(0)))
    assert len(strategy.values) == 120
    assert strategy.values.max() > np.sort(sample)[-10], "120 queries are worth more than 2,000 random ones"


@pytest.mark.slow
def test_a_large_space_is_ranked_whole_only_now_and_then_and_resumes_exactly(monkeypatch) -> None:
    ranked = []
    mean = GaussianProcess.mean
    monkeypatch.setattr(GaussianProcess, "mean", lambda self, population: ranked.append(1) or mean(self, population))
    strategy = WeakNAS(SPACE, seed=3)
    played(strategy, 7)
    assert 0 < len(ranked) < 6, "fewer whole rankings than fits"
    state = json.loads(json.dumps(strategy.state_dict()))
    again = WeakNAS(SPACE, seed=3)
    again.load_state_dict(state)
    assert played(again, 2) == played(strategy, 2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"keep_old": "none"}, {"acquisition": "uniform"}])
def test_a_large_space_is_ranked_again_as_labels_grow(monkeypatch, options) -> None:
    ranked = []
    mean = Ridge.mean
    monkeypatch.setattr(Ridge, "mean", lambda self, population: ranked.append(1) or mean(self, population))
    strategy = WeakNAS(SPACE, seed=3, predictor=Ridge(encoding="live"), **options)
    played(strategy, 6)
    assert len(ranked) >= 3
    assert len(strategy.values) == 60


@pytest.mark.slow
def test_a_front_keeps_its_cheap_end() -> None:
    strategy = WeakNAS(SPACE, seed=0, costs=("params",))
    played(strategy, 3)
    assert strategy.cost_values[10:].min() < 1.2 * SPACE.count("params", SPACE.enumerate()).min()


@pytest.mark.slow
@pytest.mark.parametrize("predictor", [Forest(trees=8), Tree(members=3)])
def test_means_of_ensembles_are_those_of_the_full_prediction(predictor) -> None:
    rng = np.random.default_rng(0)
    codes = SPACE.sample(60, rng)
    predictor.fit(Population(SPACE, codes), worth(codes))
    others = Population(SPACE, SPACE.sample(40_000, rng))
    np.testing.assert_allclose(predictor.mean(others), predictor.predict(others).mean)


@pytest.mark.slow
def test_means_are_those_of_the_full_prediction() -> None:
    rng = np.random.default_rng(0)
    codes = SPACE.sample(60, rng)
    process = GaussianProcess().fit(Population(SPACE, codes), worth(codes))
    others = Population(SPACE, SPACE.sample(9_000, rng))
    np.testing.assert_allclose(process.mean(others), process.predict(others).mean, rtol=2e-5)


@pytest.mark.slow
def test_a_process_of_many_labels_keeps_the_best_and_some_of_the_others() -> None:
    values = np.random.default_rng(0).normal(size=3_000)
    kept = best_and_others(values, CONDITIONED_ON)
    assert len(kept) == len(set(kept.tolist())) == CONDITIONED_ON
    assert set(np.argsort(values)[-CONDITIONED_ON // 2 :]) <= set(kept.tolist())
    assert int(np.argmin(values)) in kept
    codes = SPACE.sample(1_200, np.random.default_rng(1))
    process = GaussianProcess().fit(Population(SPACE, codes), worth(codes))
    held_out = SPACE.sample(500, np.random.default_rng(2))
    assert np.corrcoef(process.predict(Population(SPACE, held_out)).mean, worth(held_out))[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_search_stays_within_a_gigabyte(tmp_path: Path) -> None:
    program = (
        "import frugalnas as fn\n"
        "from frugalnas.evaluation import Evaluations\n"
        "space = fn.NASBench101()\n"
        "strategy = fn.WeakNAS(space, seed=0)\n"
        "for _ in range(6):\n"
        "    trials = strategy.ask()\n"
        "    strategy.tell(trials, Evaluations(-space.count('params', trials.codes) / 1e6))\n"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) // 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000


# -- what is kept in the cache -------------------------------------------------------------------------------------------


def test_an_array_is_made_once_and_again_when_damaged(fresh_cache: Path) -> None:
    made = []

    def make() -> np.ndarray:
        made.append(1)
        return np.arange(5)

    for _ in range(3):
        np.testing.assert_array_equal(cached_array("five", make), np.arange(5))
    assert len(made) == 1
    file = cache_folder() / "arrays" / "five.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    np.testing.assert_array_equal(cached_array("five", make), np.arange(5))
    assert len(made) == 2
    file.with_suffix(".sha256").unlink()
    np.testing.assert_array_equal(cached_array("five", make), np.arange(5))
    assert len(made) == 3


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("FRUGALNAS_CACHE", str(blocked))
    np.testing.assert_array_equal(cached_array("four", lambda: np.ones(4)), np.ones(4))


# -- distances and collisions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SPACE, NASBench201()])
def test_edit_distances_are_differing_bits(space) -> None:
    rng = np.random.default_rng(0)
    first, second = (space.features(space.sample(70_000, rng), "position-path") for _ in range(2))
    expected = (first != second).sum(axis=1)
    np.testing.assert_array_equal(edit_distances(packed(first), packed(second)), expected)


def test_old_numpy_counts_bits_too(monkeypatch) -> None:
    codes = packed(np.random.default_rng(0).integers(2, size=(50, 130)))
    expected = edit_distances(codes[:25], codes[25:])
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    np.testing.assert_array_equal(edit_distances(codes[:25], codes[25:]), expected)


def test_collisions_are_counted_as_one_would_by_hand() -> None:
    space = NASBench201()
    codes = space.enumerate()[::7]
    found = {resolution.encoding: resolution for resolution in resolutions(space, codes)}
    networks = space.network_ids(codes)
    for encoding in ("function", "path", "onehot"):
        groups: dict[bytes, list[int]] = {}
        for row, features in enumerate(space.encode(codes, encoding)):
            groups.setdefault(features.tobytes(), []).append(row)
        colliding = [rows for rows in groups.values() if len({networks[row] for row in rows}) > 1]
        assert found[encoding].distinct == len(groups)
        assert found[encoding].largest == max(map(len, groups.values()))
        assert found[encoding].colliding == sum(map(len, colliding))
        spellings: dict[int, set[bytes]] = {}
        for key, rows in groups.items():
            for row in rows:
                spellings.setdefault(int(networks[row]), set()).add(key)
        assert found[encoding].split == sum(len(keys) > 1 for keys in spellings.values())


@pytest.mark.slow
def test_the_command_shows_every_encoding(cli) -> None:
    said = cli("encodings", "nasbench201")
    assert said.code == 0
    table = {line.split()[0]: line.split()[1:3] for line in said.out.splitlines() if len(line.split()) == 6}
    assert table["path"] == ["85", "8,045"]
    assert table["position-path"] == ["96", "9,445"]
    numbers = json.loads(cli("encodings", "nasbench101", "--sample", "2000", "--json").out)
    assert numbers["space"] == "nasbench101"
    assert {entry["encoding"] for entry in numbers["encodings"]} == set(SPACE.encodings)
    assert cli("encodings", "nasbench101", "--sample", "0").code == 2
    assert "choose one of" in cli("encodings", "nasbench999").err


@pytest.mark.typical("options2")
@pytest.mark.parametrize("options", [{}, {"costs": ("params",)}, {"acquisition": "uniform", "top_start": 20}])
def test_what_is_near_does_not_run_out_before_the_space_does(monkeypatch, options) -> None:
    """A long search in a large space, in small: most of what ranks highest has been evaluated."""
    for name, value in {"LARGE": 1_000, "NEAR": 40, "OPEN": 20}.items():
        monkeypatch.setattr(f"frugalnas.strategies.weaknas.{name}", value)
    space = NASBench201()
    strategy = WeakNAS(space, seed=0, predictor=Ridge(encoding="live"), **options)
    for _ in range(60):
        trials = strategy.ask()
        assert len(trials) == 10, f"only {len(trials)} after {len(strategy.values)} of 5,044 networks"
        strategy.tell(trials, Evaluations(space.count("macs", trials.codes) / 1e6))
