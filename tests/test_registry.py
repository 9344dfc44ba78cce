"""Names for people: what is found, what is refused, and how the way out is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import MLP, Boosting, Forest, GaussianProcess, Ridge
from frugalnas.registry import PREDICTORS, SPACES, STRATEGIES, Registry, constructor_options
from frugalnas.spaces import NASBench201
from frugalnas.strategies import Evolution, LocalSearch, RandomSearch, WeakNAS
from frugalnas.trust import import_object


class Stranger(Ridge):
    """Somebody else's predictor, which no registry knows."""


class Forgetful(Ridge):
    """Does not keep what it was made with."""

    def __init__(self, *, sharpness: float = 1.0) -> None:
        super().__init__()


@pytest.mark.parametrize("registry", [SPACES, STRATEGIES, PREDICTORS], ids=lambda registry: registry.kind)
def test_every_name_leads_somewhere_and_is_described(registry: Registry) -> None:
    for name in registry.targets:
        assert callable(registry.resolve(name))
        assert len(registry.summary(name)) > 10


def test_names_make_objects() -> None:
    assert isinstance(SPACES.create("nasbench201"), NASBench201)
    assert isinstance(PREDICTORS.create("forest"), Forest)
    assert PREDICTORS.create({"name": "mlp", "options": {"hidden": [8, 8]}}).hidden == (8, 8)
    strategy = STRATEGIES.create({"name": "evolution", "options": {"population": 7}}, NASBench201())
    assert isinstance(strategy, Evolution)
    assert strategy.population == 7


def test_import_paths_need_no_registration() -> None:
    made = PREDICTORS.create({"name": "test_registry:Stranger", "options": {"encoding": "live"}}, given=True)
    assert isinstance(made, Stranger)
    assert import_object("frugalnas.spaces:NASBench201.parse") is NASBench201.parse


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere.at.all:Thing", "nowhere"),
        ("frugalnas.nowhere:Thing", "install"),
        ("frugalnas.spaces:NASBench202", "NASBench202"),
        ("frugalnas.spaces:", "package.module:name"),
        (":NASBench201", "package.module:name"),
        (".spaces:NASBench201", r"\.spaces"),
        ("frugalnas..spaces:NASBench201", "frugalnas"),
        ("frugalnas:__version__", "is not a predictor"),
    ],
)
def test_import_paths_that_lead_nowhere_are_refused(path: str, says: str) -> None:
    with pytest.raises(FrugalnasError, match=says):
        PREDICTORS.resolve(path, given=True)


def test_error_inside_an_imported_module_is_not_hidden(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_plugin.py").write_text("import a_dependency_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FrugalnasError, match="a_dependency_that_is_missing"):
        import_object("broken_plugin:Thing")


def test_unknown_name_lists_the_choices_and_suggests_the_nearest() -> None:
    with pytest.raises(FrugalnasError) as caught:
        STRATEGIES.resolve("weeknas")
    message = str(caught.value)
    assert message.startswith("unknown strategy 'weeknas'")
    assert "did you mean 'weaknas'?" in message
    for name in STRATEGIES.targets:
        assert name in message
    assert "package.module:Class" in message


def test_unknown_name_with_nothing_near_reads_as_a_sentence() -> None:
    with pytest.raises(
        FrugalnasError, match=r"unknown space 'zzz'[;.] choose one of: nasbench101, nasbench201|'zzz'\. Choose one of"
    ):
        SPACES.resolve("zzz")


def test_where_there_are_no_options_none_are_to_be_chosen() -> None:
    with pytest.raises(FrugalnasError, match=r"option of space .*Plain 'genes'; there are none: .* takes after \*$"):
        SPACES.create({"name": f"{__name__}:Plain", "options": {"genes": 7}}, given=True)


class Plain(NASBench201):
    def __init__(self, genes: int = 6) -> None:
        super().__init__()


@pytest.mark.parametrize("description", [{}, {"options": {}}, {"name": "mlp", "options": ["hidden"]}, 7, None])
def test_malformed_descriptions_are_refused(description) -> None:
    with pytest.raises(FrugalnasError):
        PREDICTORS.create(description)


def test_unknown_option_is_named_with_those_there_are() -> None:
    with pytest.raises(FrugalnasError) as caught:
        PREDICTORS.create({"name": "forest", "options": {"tree": 10}})
    assert "option of predictor forest 'tree'" in str(caught.value)
    assert "did you mean 'trees'?" in str(caught.value)
    assert "depth" in str(caught.value)


def test_names_that_are_taken_are_refused() -> None:
    registry = Registry("predictor", {"ridge": "frugalnas.predictors:Ridge"})
    registry.register("mine", "test_registry:Stranger")
    assert registry.resolve("mine") is Stranger
    registry.register("mine", "test_registry:Stranger")
    for name in ("mine", "ridge"):
        with pytest.raises(FrugalnasError, match="rename one"):
            registry.register(name, "somewhere.else:Predictor")
    assert registry.resolve("mine") is Stranger
    assert registry.resolve("ridge") is Ridge


@pytest.fixture
def installed_plugin(tmp_path, monkeypatch):
    """Another package on the path, with an entry point."""

    def install(group: str, name: str, target: str) -> None:
        folder = tmp_path / "plugin-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return install


def test_installed_packages_add_names(installed_plugin) -> None:
    installed_plugin("frugalnas.predictors", "stranger", "test_registry:Stranger")
    registry = Registry("predictor", {"ridge": "frugalnas.predictors:Ridge"})
    assert isinstance(registry.create("stranger"), Stranger)
    assert registry.describe(Stranger())["name"] == "stranger"


def test_installed_packages_add_strategies_in_the_plural(installed_plugin) -> None:
    installed_plugin("frugalnas.strategies", "mine", "frugalnas.strategies:RandomSearch")
    assert Registry("strategy", {}).resolve("mine") is RandomSearch


def test_installed_packages_cannot_take_a_name_over(installed_plugin) -> None:
    installed_plugin("frugalnas.predictors", "ridge", "test_registry:Stranger")
    with pytest.raises(FrugalnasError, match="rename one"):
        _ = Registry("predictor", {"ridge": "frugalnas.predictors:Ridge"}).targets


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (GaussianProcess(smoothness=0.5, seed=3), "gaussian-process"),
        (MLP(hidden=(8, 4), epochs=3, members=2, encoding="path"), "mlp"),
        (Forest(trees=3, depth=2), "forest"),
        (Boosting(learning_rate=0.3), "boosting"),
        (Ridge(encoding="live"), "ridge"),
        (Stranger(encoding="live"), "test_registry:Stranger"),
    ],
)
def test_predictors_are_described_as_they_were_made(made, name: str) -> None:
    description = json.loads(json.dumps(PREDICTORS.describe(made)))
    assert description["name"] == name
    again = PREDICTORS.create(description)
    assert type(again) is type(made)
    assert PREDICTORS.describe(again) == description
    assert all(getattr(again, option) == getattr(made, option) for option in constructor_options(type(made)))


def test_strategies_are_described_with_their_predictors() -> None:
    made = WeakNAS(NASBench201(), seed=4, predictor=MLP(hidden=(8,), members=2), top_start=50, top_end=20)
    description = json.loads(json.dumps(STRATEGIES.describe(made)))
    again = STRATEGIES.create(description, NASBench201())
    assert isinstance(again.predictor, MLP)
    assert STRATEGIES.describe(again) == description
    search = LocalSearch(NASBench201(), whole_neighbourhood=True)
    assert STRATEGIES.describe(search)["options"] == {"seed": 0, "initial": 10, "whole_neighbourhood": True}


def test_description_of_a_strategy_does_not_change_as_it_goes_on() -> None:
    made = WeakNAS(NASBench201(), predictor="ridge")
    before = STRATEGIES.describe(made)
    for _ in range(2):
        trials = made.ask()
        made.tell(trials, _worth(trials))
    assert STRATEGIES.describe(made) == before


def test_numpy_numbers_are_described_as_plain_ones() -> None:
    made = RandomSearch(NASBench201(), seed=np.int64(3), initial=np.int32(5))
    assert json.loads(json.dumps(STRATEGIES.describe(made)))["options"] == {"seed": 3, "initial": 5, "costs": []}


def test_forgotten_constructor_argument_is_named() -> None:
    with pytest.raises(FrugalnasError, match="'sharpness'"):
        PREDICTORS.describe(Forgetful())


def _worth(trials):
    from frugalnas.evaluation import Evaluations

    return Evaluations(trials.codes.sum(axis=1))
