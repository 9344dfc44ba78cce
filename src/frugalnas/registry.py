"""Names for people: how `weaknas`, `boosting` or `mypkg.mymodule:MyClass` on a command line or in YAML becomes an object.

Plain constructors come first; a registry only maps a name to one. Other packages add theirs through an entry point in the
group `frugalnas.<kind>` (for example `frugalnas.predictors`), or are reached without any registration as
`package.module:Class`: where a person gives such an import path, or trusts the file that does (`frugalnas.trust`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache, cached_property, lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from frugalnas.documents import check_options
from frugalnas.errors import FrugalnasError, a, one_of
from frugalnas.trust import (
    allow,
    file_read,
    give,
    import_object,
    import_own,
    import_paths,
    is_local,
    path_of,
    reading,
    refuse_local,
    remember,
)


class Registry:
    """Named constructors of one kind.

    Args:
        kind: what they make, in the singular.
        targets: import path, `package.module:attribute`, of each name.
        base: import path of the class that all of them derive from.
    """

    def __init__(self, kind: str, targets: Mapping[str, str], base: str = "builtins:object") -> None:
        self.kind = kind
        self.base, self._base_said = base, "{2} ({0})".format(*base.partition(":"))
        self.plural = kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
        self.noun = a(kind)
        self._own = dict(targets)

    @cached_property
    def targets(self) -> dict[str, str]:
        """Import path of every name, installed packages' entry points included."""
        targets = dict(self._own)
        for point in _installed(tuple(sys.path)).select(group=f"frugalnas.{self.plural}"):
            _refuse_collision(self.kind, targets, point.name, point.value)
            targets[point.name] = point.value
        return targets

    def register(self, name: str, target: str) -> None:
        """Add a name for this process; one that is taken is refused."""
        _refuse_collision(self.kind, self.targets, name, target)
        self.targets[name] = target

    def resolve(self, description: str | Mapping[str, Any], *, given: bool = False) -> Callable[..., Any]:
        """The constructor behind a name, an import path `package.module:Class` or a description with one of them.

        Args:
            description: what `create` takes.
            given: whether import paths in it come from a person or from code; those of a file are asked about first.
        """
        described = {"name": description} if isinstance(description, str) else description
        name = described["name"]
        if ":" in name:
            constructor = import_own(self.kind, described, given=given)
        else:
            if given:
                give(described)
            allow(self.kind, described)
            hint = ", or give your own as package.module:Class (frugalnas list describes them)"
            one_of(self.kind, name, self.targets, hint)
            constructor = import_object(self.targets[name])
        fits = issubclass(constructor, import_object(self.base)) if isinstance(constructor, type) else None
        if fits is False or (fits is None and not inspect.isfunction(constructor)):
            raise self._misfit(name)
        return constructor

    def _misfit(self, name: str) -> FrugalnasError:
        return FrugalnasError(f"{name!r} is not {self.noun}; derive it from {self._base_said}")

    def create(self, description: str | Mapping[str, Any], *arguments: Any, given: bool = False) -> Any:
        """The object that a name, or a description `{"name": ..., "options": {...}}`, stands for.

        Args:
            description: what to make.
            arguments: positional arguments in front of the options, such as a strategy's space.
            given: whether import paths in it come from a person or from code; those of a file are asked about first.

        Raises:
            FrugalnasError: for an unknown name or option, or an import path that nobody here has given (`Untrusted`).
        """
        description = {"name": description} if isinstance(description, str) else description
        options = description.get("options") or {} if isinstance(description, Mapping) else None
        if not isinstance(options, Mapping) or not isinstance(description.get("name"), str):
            raise FrugalnasError(
                f"cannot make {self.noun} from {description!r}; give a name, {{'name': ..., 'options': {{...}}}}, or an object "
                f"of a class derived from {self._base_said}"
            )
        name = description["name"]
        constructor = self.resolve(description, given=given)
        known = constructor_options(constructor)
        for option in options:
            one_of(f"option of {self.kind} {name}", option, known, "" if known else NO_OPTIONS)
        check_options(constructor, options, f"{self.kind} {name}")
        with reading(file_read() or f"this {self.kind}"):  # what the options name has been allowed, or is refused
            made = constructor(*arguments, **options)
        if not isinstance(made, import_object(self.base)):
            raise self._misfit(name)
        return made

    def entry(self, given: str | Mapping[str, Any] | Callable[..., Any]) -> dict[str, Any]:
        """The description that a name, a class or a description stands for; a class is made with its defaults.

        Raises:
            FrugalnasError: for a class that another process cannot find, and for anything else.
        """
        if isinstance(given, Mapping) and "name" in given:
            return dict(plain(given))
        if isinstance(given, str):
            return {"name": given}
        if isinstance(given, type) or inspect.isfunction(given):
            name = self._name_of(given)
            refuse_local(name)
            self.resolve(name, given=True)
            return {"name": name}
        raise FrugalnasError(
            f"{given!r} does not name {self.noun}; give a name, a class, or {{'name': ..., 'options': {{...}}}}, from which "
            f"as many are made as there are seeds"
        )

    def describe(self, made: object) -> dict[str, Any]:
        """The description from which `create` makes an equal object.

        Constructor arguments are read from the attributes of the same name. What no other process could import is named all
        the same (see `is_local`), and then `create` refuses the description.
        """
        options = {}
        for option in constructor_options(type(made)):
            if not hasattr(made, option):
                raise FrugalnasError(
                    f"{path_of(type(made))} must keep its constructor argument {option!r} as an attribute to be written down"
                )
            value = getattr(made, option)
            try:
                options[option] = plain(value)
            except (FrugalnasError, TypeError, ValueError):  # what YAML cannot hold is its class, marked as local
                options[option] = f"{path_of(type(value))}.<locals>"
        described = {"name": self._name_of(type(made)), "options": options}
        if import_paths(described) and not is_local(described):
            remember(self.kind, described)  # the object is here, so its code has run here
        return described

    def _name_of(self, made: type | Callable[..., Any]) -> str:
        """The registered name of a class or function, or else its import path."""
        for name, target in self.targets.items():
            module_name, _, attribute = target.partition(":")
            if attribute == made.__qualname__ and made.__module__.startswith(module_name):
                return name
        return path_of(made)

    def summary(self, name: str) -> str:
        """The first line of the docstring behind a name."""
        return (inspect.getdoc(self.resolve(name)) or "").split("\n")[0]


@cache
def _installed(path: tuple[str, ...]) -> Any:
    """Entry points of the packages on the path of imports; looking through them takes as long as a table takes to open."""
    return entry_points()


NO_OPTIONS = ": options are what a constructor takes after *"


def constructor_options(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The keyword-only parameters of a constructor, by name."""
    return _keyword_only(constructor)


@lru_cache(maxsize=256)  # opening a run asks dozens of times
def _keyword_only(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(constructor).parameters.values()
    return MappingProxyType({each.name: each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY})


def plain(value: Any) -> Any:
    """`value` as YAML can hold it; records become mappings, predictors descriptions."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    if is_dataclass(value) and hasattr(value, "to_json"):
        return plain(value.to_json())
    return PREDICTORS.describe(value)  # the only other objects that constructors take


def _refuse_collision(kind: str, targets: Mapping[str, str], name: str, target: str) -> None:
    if targets.get(name, target) != target:
        raise FrugalnasError(f"two {kind}s are called {name!r}: {targets[name]} and {target}; rename one")


SPACES = Registry(
    "space",
    {
        "nasbench101": "frugalnas.spaces:NASBench101",
        "nasbench201": "frugalnas.spaces:NASBench201",
        "darts": "frugalnas.spaces:DARTS",
        "mobilenet": "frugalnas.spaces:MobileNet",
        "fairnas": "frugalnas.spaces:FairNAS",
        "shufflenet": "frugalnas.spaces:ShuffleNet",
        "resnet": "frugalnas.spaces:ResNet",
        "once-for-all": "frugalnas.spaces:OnceForAll",
    },
    base="frugalnas.spaces:SearchSpace",
)

# What builds the networks of a space: a space names its entry in `SearchSpace.skeleton`.
SKELETONS = Registry(
    "skeleton",
    {
        "nasbench101": "frugalnas.networks.nasbench101:NASBench101Skeleton",
        "nasbench201": "frugalnas.networks.nasbench201:NASBench201Skeleton",
        "darts": "frugalnas.networks.darts:DARTSSkeleton",
        "mobilenet": "frugalnas.networks.mobilenet:MobileNetSkeleton",
        "shufflenet": "frugalnas.networks.shufflenet:ShuffleNetSkeleton",
        "resnet": "frugalnas.networks.resnet:ResNetSkeleton",
        "once-for-all": "frugalnas.networks.once_for_all:OnceForAllSkeleton",
    },
    base="frugalnas.networks.skeleton:Skeleton",
)


def _presets(*names: str) -> dict[str, str]:
    """Strategies with a paper's settings, functions of these names."""
    return {name: f"frugalnas.methods.presets:{name.replace('-', '_')}" for name in names}


# What networks cost, block by block: spaces ask by these names where modules are measured.
MEASUREMENTS = Registry(
    "measurement",
    {"counts": "frugalnas.networks.counting:cost_table", "latency": "frugalnas.networks.latency:latency_table"},
)

# What holds all networks of a space: its skeleton names an entry in `Skeleton.supernet`.
SUPERNETS = Registry(
    "supernet",
    {
        "nasbench201": "frugalnas.supernets.nasbench201:NASBench201Supernet",
        "darts": "frugalnas.supernets.darts:DARTSSupernet",
        "layered": "frugalnas.supernets.layered:LayeredSupernet",
        "shufflenet": "frugalnas.supernets.layered:ShuffleNetSupernet",
    },
    base="frugalnas.supernets.base:Supernet",
)

STRATEGIES = Registry(
    "strategy",
    {
        "random": "frugalnas.strategies:RandomSearch",
        "evolution": "frugalnas.strategies:Evolution",
        "regularized-evolution": "frugalnas.strategies:RegularizedEvolution",
        "local-search": "frugalnas.strategies:LocalSearch",
        "genetic": "frugalnas.strategies:GeneticSearch",
        "genetic-paper": "frugalnas.strategies:genetic_paper",
        "weaknas": "frugalnas.strategies:WeakNAS",
        **_presets("weaknas-paper", "weaknas-ssccl"),
        "npenas": "frugalnas.strategies:NPENAS",
        **_presets("npenas-paper", "npenas-fixed", "npenas-bo", "npenas-oracle", "npenas-ssrl", "npenas-ssrl-fixed"),
        **_presets("npenas-ssccl", "npenas-ssccl-fixed"),
        "ssnenas": "frugalnas.methods.presets:npenas_ssccl",
        **_presets("bananas", "bananas-adjacency", "bananas-position"),
    },
    base="frugalnas.strategies:Strategy",
)

EVALUATORS = Registry(
    "evaluator",
    {
        "table": "frugalnas.tables:TableEvaluator",
        "score": "frugalnas.searches.supernet_scores:ScoreEvaluator",
        "training": "frugalnas.trainings.evaluator:TrainingEvaluator",
        "untrained": "frugalnas.searches.untrained:UntrainedEvaluator",
        "function": "frugalnas.evaluation:FunctionEvaluator",
    },
    base="frugalnas.evaluation:Evaluator",
)

EXECUTORS = Registry(
    "executor",
    {
        "serial": "frugalnas.searches.executors:SerialExecutor",
        "processes": "frugalnas.searches.executors:ProcessExecutor",
    },
    base="frugalnas.searches.executors:Executor",
)

PREDICTORS = Registry(
    "predictor",
    {
        "gaussian-process": "frugalnas.predictors:GaussianProcess",
        "mlp": "frugalnas.predictors:MLP",
        "mlp-paper": "frugalnas.predictors:mlp_paper",
        "forest": "frugalnas.predictors:Forest",
        "boosting": "frugalnas.predictors:Boosting",
        "ridge": "frugalnas.predictors:Ridge",
        "linear": "frugalnas.predictors:Linear",
        "svr": "frugalnas.predictors:SVR",
        "nearest": "frugalnas.predictors:Nearest",
        "tree": "frugalnas.predictors:Tree",
        "bagging": "frugalnas.predictors:Bagging",
        "extra-trees": "frugalnas.predictors:ExtraTrees",
        "adaboost": "frugalnas.predictors:AdaBoost",
        "xgboost": "frugalnas.predictors:XGBoost",
        "lightgbm": "frugalnas.predictors:LightGBM",
        "gin": "frugalnas.predictors:GIN",
        "gin-paper": "frugalnas.predictors:gin_paper",
        "gin-fine-tuned-paper": "frugalnas.predictors:gin_fine_tuned_paper",
        "gin-uncertainty": "frugalnas.predictors:GINUncertainty",
        "gin-bo-paper": "frugalnas.predictors:gin_bo_paper",
        "bananas": "frugalnas.predictors:BANANAS",
        "seminas": "frugalnas.predictors:SemiNAS",
        "neural-predictor": "frugalnas.predictors:NeuralPredictor",
        "brp-nas": "frugalnas.predictors:BRPNAS",
        "params": "frugalnas.predictors:params",
        "macs": "frugalnas.predictors:macs",
        "random-order": "frugalnas.predictors:RandomOrder",
    },
    base="frugalnas.predictors:Predictor",
)

# What `frugalnas resume` carries on with where a run has stages.
METHODS = Registry(
    "method",
    {
        "rlnas": "frugalnas.methods.rlnas:RLNAS",
        "spos": "frugalnas.methods.spos:SPOS",
        "fairnas": "frugalnas.methods.fairnas:FairNAS",
        "abs": "frugalnas.methods.abs:ABS",
    },
    base="frugalnas.runs.stages:Method",
)

# What is carried through, as config.yaml names it: `resume`, `show`, `runs list` and stages know kinds by these.
KINDS = Registry(
    "kind",
    {
        "assessment": "frugalnas.studies.assessment:AssessmentRun",
        "comparison": "frugalnas.studies.comparison:ComparisonRun",
        "method": "frugalnas.methods.kind:MethodRun",
        "training": "frugalnas.trainings.kinds:TrainingKind",
        "supernet": "frugalnas.trainings.kinds:SupernetKind",
        "pretraining": "frugalnas.trainings.kinds:PretrainingKind",
        "search": "frugalnas.searches.run:SearchRun",
    },
    base="frugalnas.runs.kinds:RunKind",
)
