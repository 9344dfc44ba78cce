"""Find good neural architectures cheaply.

An architecture is a row of small integers. A strategy asks for some, an evaluator says what they are worth, `search`
carries it through:

    >>> import frugalnas as fn
    >>> table = fn.open_table("nasbench201/cifar10")
    >>> strategy = fn.WeakNAS(table.space, seed=0)
    >>> result = fn.search(strategy, fn.TableEvaluator(table=table), fn.Budget(queries=400, until_optimum=True))
    >>> result.architecture
    '|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|'

The folders answer one question each: `spaces`, `networks` and `supernets` (what can be built?), `tables`, `scores` and
`predictors` (what do we know cheaply?), `strategies` (what do we try next?), `runs`, `training`, `data` and `report` (how is it
carried through, and what does a person see?).
`methods` has one page per paper. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = """
    data: Augmentation Images
    errors: FrugalnasError
    evaluation: Evaluations Evaluator FunctionEvaluator Trials
    methods.kind: MethodResult load_method
    methods.rlnas: RLNAS rlnas
    networks: build count_network load
    predictors: Boosting Forest GaussianProcess MLP Prediction Predictor Ridge
    runs.kinds: RunKind load_run resume_run
    runs.progress: Progress
    scores: Angle AngleRule Score largest_angle
    searches: Budget ProcessExecutor SearchResult SerialExecutor load_search resume search
    searches.supernet_scores: ScoreEvaluator open_score
    searches.untrained: UntrainedEvaluator open_untrained
    spaces: Architecture DARTS FairNAS Genotype LayerSpace MobileNet NASBench101 NASBench201 OnceForAll Population
    spaces: ResNet SearchSpace ShuffleNet known
    strategies: Evolution GeneticSearch LocalSearch NPENAS RandomSearch RegularizedEvolution Strategy WeakNAS
    studies: Comparison compare
    studies.correlation: correlate
    supernets: Supernet supernet_of
    tables: Table TableEvaluator import_benchmark import_table open_table table_names
    training: Compute
    trainings.network: TrainingResult train
    trainings.supernet: SupernetResult load_supernet train_supernet
"""
_HOME = {name: f"frugalnas.{room[:-1]}" for room, *names in map(str.split, _ROOMS.split("\n")[1:-1]) for name in names}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from frugalnas.data import Augmentation as Augmentation
    from frugalnas.data import Images as Images
    from frugalnas.errors import FrugalnasError as FrugalnasError
    from frugalnas.evaluation import Evaluations as Evaluations
    from frugalnas.evaluation import Evaluator as Evaluator
    from frugalnas.evaluation import FunctionEvaluator as FunctionEvaluator
    from frugalnas.evaluation import Trials as Trials
    from frugalnas.methods.kind import MethodResult as MethodResult
    from frugalnas.methods.kind import load_method as load_method
    from frugalnas.methods.rlnas import RLNAS as RLNAS
    from frugalnas.methods.rlnas import rlnas as rlnas
    from frugalnas.networks import build as build
    from frugalnas.networks import count_network as count_network
    from frugalnas.networks import load as load
    from frugalnas.predictors import MLP as MLP
    from frugalnas.predictors import Boosting as Boosting
    from frugalnas.predictors import Forest as Forest
    from frugalnas.predictors import GaussianProcess as GaussianProcess
    from frugalnas.predictors import Prediction as Prediction
    from frugalnas.predictors import Predictor as Predictor
    from frugalnas.predictors import Ridge as Ridge
    from frugalnas.runs.kinds import RunKind as RunKind
    from frugalnas.runs.kinds import load_run as load_run
    from frugalnas.runs.kinds import resume_run as resume_run
    from frugalnas.runs.progress import Progress as Progress
    from frugalnas.scores import Angle as Angle
    from frugalnas.scores import AngleRule as AngleRule
    from frugalnas.scores import Score as Score
    from frugalnas.scores import largest_angle as largest_angle
    from frugalnas.searches import Budget as Budget
    from frugalnas.searches import ProcessExecutor as ProcessExecutor
    from frugalnas.searches import SearchResult as SearchResult
    from frugalnas.searches import SerialExecutor as SerialExecutor
    from frugalnas.searches import load_search as load_search
    from frugalnas.searches import resume as resume
    from frugalnas.searches import search as search
    from frugalnas.searches.supernet_scores import ScoreEvaluator as ScoreEvaluator
    from frugalnas.searches.supernet_scores import open_score as open_score
    from frugalnas.searches.untrained import UntrainedEvaluator as UntrainedEvaluator
    from frugalnas.searches.untrained import open_untrained as open_untrained
    from frugalnas.spaces import DARTS as DARTS
    from frugalnas.spaces import Architecture as Architecture
    from frugalnas.spaces import FairNAS as FairNAS
    from frugalnas.spaces import Genotype as Genotype
    from frugalnas.spaces import LayerSpace as LayerSpace
    from frugalnas.spaces import MobileNet as MobileNet
    from frugalnas.spaces import NASBench101 as NASBench101
    from frugalnas.spaces import NASBench201 as NASBench201
    from frugalnas.spaces import OnceForAll as OnceForAll
    from frugalnas.spaces import Population as Population
    from frugalnas.spaces import ResNet as ResNet
    from frugalnas.spaces import SearchSpace as SearchSpace
    from frugalnas.spaces import ShuffleNet as ShuffleNet
    from frugalnas.spaces import known as known
    from frugalnas.strategies import NPENAS as NPENAS
    from frugalnas.strategies import Evolution as Evolution
    from frugalnas.strategies import GeneticSearch as GeneticSearch
    from frugalnas.strategies import LocalSearch as LocalSearch
    from frugalnas.strategies import RandomSearch as RandomSearch
    from frugalnas.strategies import RegularizedEvolution as RegularizedEvolution
    from frugalnas.strategies import Strategy as Strategy
    from frugalnas.strategies import WeakNAS as WeakNAS
    from frugalnas.studies import Comparison as Comparison
    from frugalnas.studies import compare as compare
    from frugalnas.studies.correlation import correlate as correlate
    from frugalnas.supernets import Supernet as Supernet
    from frugalnas.supernets import supernet_of as supernet_of
    from frugalnas.tables import Table as Table
    from frugalnas.tables import TableEvaluator as TableEvaluator
    from frugalnas.tables import import_benchmark as import_benchmark
    from frugalnas.tables import import_table as import_table
    from frugalnas.tables import open_table as open_table
    from frugalnas.tables import table_names as table_names
    from frugalnas.training import Compute as Compute
    from frugalnas.trainings.network import TrainingResult as TrainingResult
    from frugalnas.trainings.network import train as train
    from frugalnas.trainings.supernet import SupernetResult as SupernetResult
    from frugalnas.trainings.supernet import load_supernet as load_supernet
    from frugalnas.trainings.supernet import train_supernet as train_supernet


def __getattr__(name: str) -> Any:
    """Load a public name from the folder it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module 'frugalnas' has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        from frugalnas.errors import missing_extra

        raise missing_extra(error) or error from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
