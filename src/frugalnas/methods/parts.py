"""What methods are put together from: each part has settings in a recipe, is checked and planned, and is carried out in a stage.

- `Supernet`: trained on images, at sizes of its own.
- `Score`: what a trained supernet says of architectures.
- `GeneticSearch`: of what scores best, within the limits on cost.
- `Retraining`: of the best, from scratch, where the images have labels.

A method names the parts that it has as annotations of its class (`search: GeneticSearch`); a part that only one method has stands
on that method's page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from frugalnas.amounts import plural
from frugalnas.errors import FrugalnasError, unknown_name

if TYPE_CHECKING:
    from frugalnas.data import ImageData, Images
    from frugalnas.evaluation import Evaluator
    from frugalnas.methods.conclusion import Finalists
    from frugalnas.methods.method import ImageMethod
    from frugalnas.runs.kinds import Plan, Proposal
    from frugalnas.runs.stages import Stages
    from frugalnas.searches.result import SearchResult
    from frugalnas.searches.supernet_scores import ScoreEvaluator
    from frugalnas.spaces import Codes, SearchSpace
    from frugalnas.strategies import Strategy
    from frugalnas.trainings.network import TrainingResult
    from frugalnas.trainings.supernet import SupernetResult

MIDDLE_OF = 2_000
"""Architectures among which one of middle cost is found."""
FEW_IMAGES = 100
"""Below so many an accuracy tells few architectures apart."""


class Option(NamedTuple):
    """An option of a method's command that is a setting of a part.

    Attributes:
        setting: the part's.
        type: of its value; bool: it is there or not.
        metavar: what stands for a value.
        help: what it does.
        value: what an option without a value sets it to.
    """

    setting: str
    type: type
    metavar: str
    help: str
    value: Any = None


class StagePlan(NamedTuple):
    """What a stage would do, for people, and about how many seconds it takes."""

    stage: str
    said: str
    seconds: float = 0.0


class Part:
    """A part of a method. Child classes say what their settings are, and what they do with them.

    Args:
        method: that it is a part of.
        name: of the part in recipes.
        settings: of the recipe.

    Attributes:
        stage: the first stage that it decides: its settings can be changed until this one has begun.
        known: the settings that there are; None: those of a training's recipe too, which refuses others itself.
        least: the smallest value of settings that are whole numbers.
        free: settings that can be changed at any time.
        limited: whether it works within the limits on cost and at the sizes of the networks that are retrained.
        options: of the method's command line, by option.
        title: what its stage is called on the page.
    """

    stage: ClassVar[str]
    known: ClassVar[tuple[str, ...] | None] = ()
    least: ClassVar[Mapping[str, int]] = {}
    free: ClassVar[tuple[str, ...]] = ()
    limited: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {}
    title: ClassVar[str] = "Search"

    def __init__(self, method: ImageMethod, name: str, settings: Mapping[str, Any]) -> None:
        self.method, self.name, self.settings = method, name, settings

    @classmethod
    def refuse(cls, name: str, settings: Mapping[str, Any]) -> None:
        """Refuse settings that cannot be, whatever the images are.

        Raises:
            FrugalnasError: naming the setting.
        """
        for setting in settings:
            if cls.known is not None and setting not in cls.known:
                raise unknown_name(f"setting of {name}", setting, cls.known)
        for setting, least in cls.least.items():
            value = settings.get(setting, least)
            if not isinstance(value, int) or value < least:
                raise FrugalnasError(f"{name}.{setting} is {value!r}; it is a whole number, {least} or more")

    def check(self, data: ImageData) -> Sequence[str]:
        """Refuse, before anything is written, what would fail later; what was decided, a sentence each.

        Args:
            data: opened, with the split of the method's first part.
        """
        return ()

    def plan(self) -> StagePlan | None:
        """What it would do, after its check; None where it has no stage of its own."""
        return None


class Trained(Part):
    """A part that trains on images: `recipe`, `split`, `space` (options of the networks), and settings of the recipe."""

    known = None

    @property
    def how(self) -> dict[str, Any]:
        """The training's `recipe` and `settings`, where it is computed, and its seed."""
        own = {
            name: value for name, value in self.settings.items() if name not in ("recipe", "split", "space", *self.free)
        }
        return {"recipe": self.settings.get("recipe", "default"), "settings": own, "compute": self.method.compute}

    @property
    def images(self) -> Images | ImageData:
        """What it trains on: as it is open already in this process, else as it is to be opened."""
        return self.method.images(self.settings.get("split"))


class Supernet(Trained):
    """A supernet, which holds all networks of the space, trained path by path; with true labels or random ones."""

    stage = "supernet"
    limited = False
    options: ClassVar[Mapping[str, Option]] = {
        "classes": Option("classes", int, "N", "that random labels are drawn from [the data's; 10 without labels]")
    }

    def train(
        self,
        stages: Stages,
        name: str = "supernet",
        space: SearchSpace | None = None,
        settings: Mapping[str, Any] = MappingProxyType({}),
        begin: Callable[..., SupernetResult] | None = None,
        **further: Any,
    ) -> SupernetResult:
        """It trained.

        Args:
            stages: of the run.
            name: of the stage.
            space: a smaller one than is searched.
            settings: of this stage alone.
            begin: what begins it, as `train_supernet`.
            further: arguments of `train_supernet`.
        """
        from frugalnas.trainings.supernet import train_supernet

        how = self.how
        how |= {"settings": {**how["settings"], **settings}, "seed": self.method.seed, **further}
        space = self.method.spaces.searched if space is None else space
        result: SupernetResult = stages.run(name, "supernet", begin or train_supernet, space, self.images, **how)
        return result

    @property
    def foreseen(self) -> SearchSpace:
        """The space whose supernet is looked at before anything begins."""
        return self.method.spaces.searched

    def check(self, data: ImageData) -> Sequence[str]:
        """The training that is proposed, which is kept for other parts."""
        from frugalnas.trainings.supernet import proposed_supernet

        self.proposal: Proposal = proposed_supernet(self.foreseen, data, seed=self.method.seed, **self.how)
        self.method.keep_open(self.proposal.handed["data"], self.settings.get("split"))
        return self.proposal.notes

    def plan(self) -> StagePlan:
        """The training, timed."""
        from frugalnas.progress import duration
        from frugalnas.runs.descriptions import build_space
        from frugalnas.spaces.sizes import sizes_of

        plan, config = self.planned, self.proposal.config
        recipe = config["recipe"]
        said = (
            f"{sizes_of(build_space(config['space']))}; {config['params'] / 1e6:,.3f} M parameters; recipe "
            f"{recipe['name']}: {plural(recipe['epochs'], 'epoch')}, {plural(plan.steps, 'step')} of "
            f"{plural(recipe['batch_size'], 'image')}, labels "
            f"{recipe['labels']}; about {duration(plan.seconds)}"
        )
        return StagePlan(self.stage, said, plan.seconds)

    @cached_property
    def planned(self) -> Plan:
        """The training, timed once."""
        return self.proposal.plan()

    def check_score(self, name: str, space: SearchSpace, settings: Mapping[str, Any], also: Sequence[str] = ()) -> None:
        """Refuse a score that the training that is proposed cannot give.

        Args:
            name: of the score.
            space: whose architectures are scored.
            settings: the `rule` and `base` of an angle, the `images` of an accuracy.
            also: what else could have been meant, for the error.
        """
        from frugalnas.searches.scoring import IMAGES, check_held_out, score_parts
        from frugalnas.supernets import SupernetRecipe

        named = score_parts(name, space, settings.get("rule"), settings.get("images", IMAGES), also)
        if "angle" in named and settings.get("base") is not None:
            recipe = SupernetRecipe.load(self.proposal.config["recipe"])
            recipe.check_base(settings["base"], recipe.epochs or 0, "the supernet")
        if "accuracy" in named:
            check_held_out(self.proposal.handed["data"], "the supernet")


class Score(Part):
    """What ranks architectures: `name`, the `rule` and `base` of an angle, the `images` of an accuracy and `recalibrate`."""

    stage = "search"
    known = ("name", "rule", "base", "recalibrate", "images")

    def of(self, supernet: SupernetResult, space: SearchSpace | None = None) -> ScoreEvaluator:
        """What answers a search with it, of this space or of all networks that may be retrained."""
        from frugalnas.searches.supernet_scores import ScoreEvaluator

        space = self.method.spaces.retrained if space is None else space
        options = {"supernet": str(supernet.run_dir), "seed": self.method.seed, **self.settings}
        return ScoreEvaluator(space, **ScoreEvaluator.nested(options))

    def best_of(self, found: SearchResult, asked: ScoreEvaluator) -> Finalists:
        """The best by the score: of the whole space where it can be listed, else of those that a search found."""
        from frugalnas.methods.conclusion import best_of
        from frugalnas.searches.scoring import fast

        return best_of(found, asked.scored, quick=fast(asked.name))

    def check(self, data: ImageData) -> Sequence[str]:
        """Refuse a score that the supernet cannot give."""
        supernet: Supernet = getattr(self.method, self.method.scored)
        supernet.check_score(self.method.score_name, self.method.spaces.retrained, self.settings)
        return ()


_BREEDING = ("population", "parents", "mutations", "crossovers", "mutation_rate")


class GeneticSearch(Part):
    """Genetic search: `population`, `parents`, `mutations`, `crossovers`, `mutation_rate`, or a paper's `preset`; `generations`."""

    stage = "search"
    title = "Genetic search"
    known = ("preset", "generations", *_BREEDING)
    least: ClassVar[Mapping[str, int]] = {"generations": 1}

    @classmethod
    def refuse(cls, name: str, settings: Mapping[str, Any]) -> None:
        """Refuse unknown settings, and a preset with what it settles."""
        super().refuse(name, settings)
        if "preset" in settings and set(settings) & set(_BREEDING):
            raise FrugalnasError(
                f"{name} has a preset and {', '.join(set(settings) & set(_BREEDING))}; give one of them"
            )

    @property
    def strategy(self) -> Strategy:
        """The search of all networks that may be retrained, anew."""
        return self.strategy_in(self.method.spaces.retrained)

    def strategy_in(self, space: SearchSpace) -> Strategy:
        """The search of a space, anew."""
        from frugalnas.registry import STRATEGIES

        options = {name: value for name, value in self.settings.items() if name != "generations"}
        name = "genetic-paper" if "preset" in options else "genetic"
        described = {"name": name, "options": {**options, "seed": self.method.seed}}
        made: Strategy = STRATEGIES.create(described, space)
        return made

    def evaluations(self, strategy: Strategy) -> int:
        """How many networks it looks at, at most."""
        return min(int(self.settings.get("generations", 20)) * strategy.round_size, strategy.space.distinct)

    def run(self, stages: Stages, evaluator: Evaluator) -> SearchResult:
        """What it finds in the evaluator's space, asking it."""
        from frugalnas.searches import search

        strategy = self.strategy_in(getattr(evaluator, "space", self.method.spaces.retrained))
        found: SearchResult = stages.run("search", "search", search, strategy, evaluator, self.evaluations(strategy))
        return found

    def check(self, data: ImageData) -> Sequence[str]:
        """Refuse a budget or limits in which nothing can be found; note an accuracy on few images."""
        from frugalnas.methods.spaces import alive
        from frugalnas.searches.budget import Budget

        strategy, space = self.strategy, self.method.spaces.retrained
        Budget(self.evaluations(strategy)).check(strategy)
        if space.enumerable:
            alive(space, space.enumerate())
        held = len(data.val or ())
        if "accuracy" not in self.method.score_name or not 0 < held < FEW_IMAGES:
            return ()
        return (
            f"architectures are ranked by {held} images, of which each is {100 / held:.1f} points; `split`=half holds out more",
        )

    def plan(self) -> StagePlan | None:
        """How many networks it would look at; None where there will be nothing to search."""
        from frugalnas.methods.estimates import seconds_of_one
        from frugalnas.progress import duration
        from frugalnas.searches.scoring import IMAGES

        space = self.method.foreseen
        if space is None:
            return None
        count, name = self.evaluations(self.strategy_in(space)), self.method.score_name
        images = self.method.recipe.get("score", {}).get("images", IMAGES)
        trained = getattr(self.method, self.method.scored, None)  # one's own method may do without a supernet
        seconds = count * seconds_of_one(trained, name, images) if trained else 0.0
        takes = f"about {duration(seconds)}" if seconds else "seconds"
        about = "about " if hasattr(self.method, "shrinking") else ""  # what is left is not known yet
        return StagePlan(self.stage, f"{about}{count} architectures scored by {name}; {takes}", seconds)


class Retraining(Trained):
    """Training from scratch of the `top` architectures, with true labels; nothing where the images have none."""

    stage = "retrain"
    free = ("top",)
    least: ClassVar[Mapping[str, int]] = {"top": 0}
    options: ClassVar[Mapping[str, Option]] = {
        "retrain-top": Option("top", int, "N", "architectures to train from scratch; 0: none [1]")
    }

    @property
    def top(self) -> int:
        """How many are."""
        return int(self.settings.get("top", 1)) if self.method.labelled else 0

    def run(self, stages: Stages, codes: Codes) -> list[TrainingResult]:
        """The best trained, of architectures that are in order."""
        from frugalnas.spaces import Architecture
        from frugalnas.trainings.network import train

        found = (Architecture(self.method.spaces.retrained, code) for code in codes[: self.top])
        return [
            stages.run(f"retrain-{place}", "training", train, each, self.images, seed=self.method.seed, **self.how)
            for place, each in enumerate(found, 1)
        ]

    def check(self, data: ImageData) -> Sequence[str]:
        """Refuse a training that does not fit the networks of the space."""
        if self.top:
            self.method.keep_open(self._proposed(1).handed["data"], self.settings.get("split"))
        return ()

    def plan(self) -> StagePlan:
        """The training of one of middle cost, timed, as many times as there are architectures to train."""
        from frugalnas.progress import duration

        if not self.top:
            why = "`retrain.top`=0" if self.method.labelled else "the images have no labels"
            return StagePlan(self.stage, f"nothing: {why}; the network is exported untrained")
        proposal, plan = self.middle
        macs = proposal.config["counts"]["macs"]
        said = (
            f"{self.top} from scratch, each {plural(proposal.config['recipe']['epochs'], 'epoch')}, "
            f"{plural(plan.steps, 'step')}, about "
            f"{duration(plan.seconds)} (one of middle cost has {macs / 1e6:,.3f} M multiply-adds)"
        )
        return StagePlan(self.stage, said, self.top * plan.seconds)

    @cached_property
    def middle(self) -> tuple[Proposal, Plan]:
        """The training of an architecture of middle cost, and how long it takes."""
        proposal = self._proposed(MIDDLE_OF)
        return proposal, proposal.plan()

    def _proposed(self, drawn: int) -> Proposal:
        """The training of the one of middle cost of so many architectures."""
        import numpy as np

        from frugalnas.spaces import Architecture
        from frugalnas.trainings.network import proposed_training

        space = self.method.spaces.retrained
        codes = space.sample(drawn, np.random.default_rng(0))
        middle = codes[np.argsort(space.count("macs", codes))[len(codes) // 2]]
        return proposed_training(Architecture(space, middle), self.images, seed=self.method.seed, **self.how)
