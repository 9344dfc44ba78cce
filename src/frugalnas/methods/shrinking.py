"""The parts of a method that shrinks its space: rounds that train and drop, and the supernet of what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from frugalnas.amounts import plural, shown_amount
from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.methods.parts import Option, Part, StagePlan, Supernet

if TYPE_CHECKING:
    from torch import Tensor

    from frugalnas.data import ImageData, Images
    from frugalnas.methods.conclusion import Finalists
    from frugalnas.runs.stages import Stages
    from frugalnas.scores import OperatorScores, Score
    from frugalnas.shrinking import Shrinker, Shrinking
    from frugalnas.spaces import FloatArray, SearchSpace
    from frugalnas.trainings.supernet import SupernetResult

OPERATORS = "operators.json"
"""What is left of the space and how that came about, in the method's folder."""
ROUNDS = 4
"""In which our rule would come down to a single architecture, where nobody says how many operators go in one."""
SHORTER = 8
"""How many times fewer epochs than the first round the others have, where nobody says how many."""


@dataclass(frozen=True)
class Shrunk:
    """What rounds of shrinking have come to.

    Attributes:
        shrinking: the space on its way, and what it lost.
        supernet: of the last round.
        left: the networks that may be retrained.
    """

    shrinking: Shrinking
    supernet: SupernetResult
    left: SearchSpace

    @property
    def only(self) -> Finalists | None:
        """The one architecture that is left, ranked by nothing; None where there are more."""
        from frugalnas.methods.conclusion import Finalists

        if self.left.size != 1:
            return None
        code = self.left.sample(1, np.random.default_rng(0))
        return Finalists(code, np.full(1, np.nan), "the only one that shrinking left", True)

    def to_json(self) -> dict[str, Any]:
        """What went in which round, with 95 % intervals of the scores, and why it was enough."""
        drops = [
            {
                "place": drop.place,
                "operator": drop.operator,
                "round": drop.round + 1,
                "score": drop.score,
                "interval": drop.interval,
            }
            for drop in self.shrinking.drops
        ]
        return {"left": str(self.left.size), "why": self.shrinking.done, "operators": OPERATORS, "drops": drops}


class Rounds(Part):
    """Rounds of shrinking, each by the scores that a supernet gives to operators: the first's training is the part `supernet`'s.

    Settings: the `shrinker` (a rule by name, with another number to `drop` or another `until`), `epochs` of each later round;
    the `score` ("random": drawn), with the `rule` and `base` of an angle, the dropped operators after which it is measured from the
    weights of then (`rebase`), its `statistic`, `draws`, and the `images` of an accuracy; the limits `where` of architectures that
    count.
    """

    stage = "supernet"
    known = (
        "shrinker", "drop", "until", "epochs", "score", "rule", "base", "rebase", "statistic", "draws", "images", "where",
        "only",
    )  # fmt: skip
    least: ClassVar[Mapping[str, int]] = dict.fromkeys(("drop", "epochs", "rebase", "draws", "images"), 1)
    options: ClassVar[Mapping[str, Option]] = {
        "until": Option("until", int, "N", "architectures that are few enough; 1 leaves a single one, unsearched")
    }

    @classmethod
    def refuse(cls, name: str, settings: Mapping[str, Any]) -> None:
        """Refuse unknown settings, rules and statistics, and what is no number of architectures."""
        from frugalnas.scores.operators import STATISTICS
        from frugalnas.shrinking import SHRINKERS

        super().refuse(name, settings)
        until = settings.get("until", 1)
        for setting, known in (("shrinker", tuple(SHRINKERS)), ("statistic", STATISTICS)):
            if settings.get(setting, known[0]) not in (None, *known):
                raise unknown_name(setting, settings[setting], known)
        if not isinstance(until, (int, float)) or not until >= 1 or until % 1 != 0:
            raise FrugalnasError(f"{name}.until is {until!r}; it is a whole number of architectures, 1 or more")

    @property
    def score(self) -> str:
        """What operators are scored by."""
        return str(self.settings.get("score", "angle"))

    @property
    def only(self) -> bool:
        """Whether the method ends after shrinking."""
        return bool(self.settings.get("only", False))

    @cached_property
    def start(self) -> SearchSpace:
        """The space as it is at first, within the limits of what counts."""
        from frugalnas.methods.spaces import relimited

        where = self.settings.get("where")
        return self.method.spaces.retrained if where is None else relimited(self.method.spaces.retrained, str(where))

    @cached_property
    def shrinker(self) -> Shrinker:
        """What is dropped."""
        from frugalnas.shrinking import Shrinking, shrinker_for

        shrinker = shrinker_for(self.start, self.settings.get("shrinker"))
        own = {name: self.settings[name] for name in ("drop", "until") if name in self.settings}
        if shrinker.rescored and "drop" not in own:
            own["drop"] = -(-Shrinking(self.start, shrinker).most // ROUNDS)
        return replace(shrinker, **own)

    @cached_property
    def begun(self) -> Shrinking:
        """The space before anything is dropped, of which what is left can be searched within the search's own limits.

        Raises:
            FrugalnasError: where no architecture meets both limits.
        """
        from frugalnas.shrinking import Shrinking
        from frugalnas.spaces.constraint import Constraint
        from frugalnas.spaces.reach import reached

        own, where = self.settings.get("where"), self.method.recipe["where"]
        begun = Shrinking(self.start, self.shrinker, within=None if own is None else where)
        try:
            begun.room.sample(1, np.random.default_rng(0))
        except FrugalnasError:
            if where is None:
                raise
            reach = ", ".join(
                f"{name} from {shown_amount(name, reached(self.start, name, least=True))} to "
                f"{shown_amount(name, reached(self.start, name, least=False))}"
                for name in dict.fromkeys(rule.quantity for rule in Constraint.parse(where))
            )
            raise FrugalnasError(
                f"no architecture of {self.start.name} meets both `{self.name}.where` ({own}), by which operators are dropped, and "
                f"`where` ({where}), which is searched: within the first there are {reach}; change one of them"
            ) from None
        return begun

    @cached_property
    def foreseen(self) -> Shrinking:
        """How it could go, by numbers that are drawn: about as many rounds, and a space of about the size that will be left."""
        from frugalnas.scores.operator_expectations import drawn_scores

        here = self.begun
        while not here.done:
            here = here.next_round(lambda space: drawn_scores(space, self.method.seed))
        return here

    @property
    def rounds(self) -> int:
        """About how many there will be."""
        return self.foreseen.round_of(len(self.foreseen.steps) - 1) + 1

    def run(self, stages: Stages, supernet: Supernet) -> Shrunk:
        """All rounds, from a supernet of the whole space on, with what is left written down after each.

        Args:
            stages: of the run.
            supernet: how the first one is trained.
        """
        from frugalnas.shrinking import write_operators

        here, searched = self.begun, self.method.spaces.searched
        trained: SupernetResult | None = None
        since: Mapping[str, Tensor] | None = None
        first = 0
        rebase = self.settings.get("rebase")
        while not here.done:
            space = searched.restrict(here.space.allowed)
            further = {"begin": self._laid_out} if trained is None else self._continuing(trained, self._epochs(first))
            trained = supernet.train(stages, f"supernet-{here.round + 1}", space, **further)
            if since is None:
                since, first = self._base(trained), trained.total_epochs
            here = here.next_round(self._take(trained, since, here.space))
            if rebase is not None and len(here.drops) > rebase:
                since, rebase = trained.weights(), None
            write_operators(stages.folder.path / OPERATORS, here)
        return Shrunk(here, cast("SupernetResult", trained), self.method.spaces.retrained.restrict(here.space.allowed))

    def check(self, data: ImageData) -> Sequence[str]:
        """Refuse a space that is small enough already, a score that supernets cannot give, paths that what is left may lack."""
        from frugalnas.scores.operator_expectations import RANDOM
        from frugalnas.searches.scoring import fast

        supernet: Supernet = self.method.supernet  # type: ignore[attr-defined]  # there are no rounds without
        enough = self.begun.done
        if enough:
            raise FrugalnasError(
                f"there is nothing to shrink: {enough}; lower `{self.name}.until` ({self.shrinker.until:g})"
            )
        if self.score != RANDOM:
            supernet.check_score(self.score, self.start, self.settings, (RANDOM,))
        statistic = self.settings.get("statistic", "mean")
        if statistic == "maximum" and not (
            self.start.enumerable and fast(self.score) and self.settings.get("draws") is None
        ):
            raise FrugalnasError(
                f"`{self.name}.statistic` maximum needs the {self.score} of all architectures of {self.start.name}, of which "
                f"only some are looked at; take `{self.name}.statistic`=mean"
            )
        self.shrinker.check(self.start, statistic, f"{self.name}.statistic")
        if self.rounds > 1:
            self.check_paths(supernet)
        return (f"{self.method.spaces.retrained.name} is shrunk and not searched: {ENDS}",) if self.only else ()

    def check_paths(self, part: Supernet) -> None:
        """Refuse paths that a supernet of what is left may not have.

        Args:
            part: that trains it.
        """
        from frugalnas.supernets import SupernetRecipe
        from frugalnas.supernets.paths import path_sampler

        paths, start = SupernetRecipe.load(part.how["recipe"], part.how["settings"]).paths, self.start
        if paths == "fair" and not self.shrinker.each_place:
            raise FrugalnasError(
                f"{part.name}.paths fair needs equally many operators in every layer, but the shrinker {self.shrinker.name} drops "
                f"the least of all layers; take `{self.name}.shrinker`=abs-fairnas, or `{part.name}.paths`=uniform"
            )
        if paths == "fair":  # layers that are equally wide stay so
            path_sampler(paths, self.method.spaces.searched.restrict(start.allowed), 1, 0)
        by_gene = any(step.by == "gene" != self.shrinker.by for step in self.foreseen.steps)
        if by_gene and (paths == "projected-shared" or (paths == "projected" and getattr(start, "duplicates", True))):
            raise FrugalnasError(
                f"{part.name}.paths {paths} read two states at every node, alike in both cells where they are shared, and "
                f"`{self.name}.until`={self.shrinker.until:g} leaves less; take `{part.name}.paths`=uniform"
            )

    def plan(self) -> StagePlan:
        """How many rounds, and how long the later ones train."""
        from frugalnas.methods.estimates import seconds_of_scoring
        from frugalnas.progress import duration

        rounds, shrinker, supernet = self.rounds, self.shrinker, self.method.supernet  # type: ignore[attr-defined]
        epochs = int(supernet.proposal.config["recipe"]["epochs"])
        later = (rounds - 1) * self._epochs(epochs)
        seconds = supernet.planned.seconds * later / epochs
        each = " of each place" if shrinker.each_place else ""
        scoring = seconds_of_scoring(self)
        dropped = f"{plural(shrinker.drop, 'operator')}{each} a round"
        said = f"about {plural(rounds, 'round')} by {self.score}, shrinker {shrinker.name}: {dropped}"
        if later:
            said += f"; after the first {plural(self._epochs(epochs), 'epoch')} each, about {duration(seconds)}"
        if scoring > 1:
            said += f"; scores of operators about {duration(scoring)}"
        enough = f"{shrinker.until:,.0f} {shrinker.counted} are" if shrinker.until > 1 else "a single one is"
        return StagePlan("shrinking", f"{said}; until {enough} left", seconds + scoring)

    @property
    def asked(self) -> dict[str, Any]:
        """How operators are scored: from draws where architectures are looked at one after the other."""
        from frugalnas.scores.operator_expectations import FEW_DRAWS
        from frugalnas.searches.scoring import fast

        draws = self.settings.get("draws") or (None if fast(self.score) else FEW_DRAWS)
        return {"statistic": self.settings.get("statistic", "mean"), "draws": draws, "seed": self.method.seed}

    def _epochs(self, first: int) -> int:
        """Of each later round."""
        return int(self.settings.get("epochs") or max(1, first // SHORTER))

    def _laid_out(
        self, space: SearchSpace, images: Images | ImageData, *, recipe: Any, settings: Mapping[str, Any], **how: Any
    ) -> SupernetResult:
        """The first supernet, trained with a schedule for all rounds where its recipe says none."""
        from frugalnas.data import opened
        from frugalnas.supernets import SupernetRecipe
        from frugalnas.trainings.supernet import train_supernet

        wanted = SupernetRecipe.load(recipe, settings)
        if wanted.schedule_epochs is None:
            images = opened(images, wanted.normalisation)
            epochs = wanted.settled(len(images.train), how["compute"].devices).epochs or 0
            later = (self.rounds - 1) * self._epochs(epochs)
            settings = {**settings, "schedule_epochs": epochs - wanted.growing_epochs + later}
        return train_supernet(space, images, recipe, settings=settings, **how)

    def _continuing(self, last: SupernetResult, epochs: int) -> dict[str, Any]:
        """How a supernet goes on for some epochs where the last one ended, on the same schedule."""
        schedule = {"schedule_epochs": last.recipe.schedule_epochs, "schedule_after": last.recipe.schedule_over}
        return {
            "settings": {"epochs": epochs, "base_epochs": [0], "angle_base": 0, "growing_epochs": 0, **schedule},
            "continue_from": last.run_dir,
        }

    def _base(self, first: SupernetResult) -> Mapping[str, Tensor]:
        """The weights from which angles are measured in all rounds, unless they are measured anew."""
        base = self.settings.get("base")
        return first.weights(first.default_base if base is None else base)

    def _take(
        self, trained: SupernetResult, since: Mapping[str, Tensor], space: SearchSpace
    ) -> Callable[[SearchSpace], OperatorScores]:
        """What scores the operators of what is left in a round."""
        from frugalnas.scores import drawn_scores, operator_scores
        from frugalnas.scores.operator_expectations import RANDOM

        if self.score == RANDOM:
            return partial(drawn_scores, seed=self.method.seed)
        return partial(operator_scores, self._score(trained, since, space), **self.asked)

    def _score(self, trained: SupernetResult, since: Mapping[str, Tensor], space: SearchSpace) -> Score:
        """What scores the architectures that a round has."""
        from frugalnas.scores.triples import triples
        from frugalnas.searches.scoring import IMAGES, combined_or_one
        from frugalnas.searches.supernet_scores import Looking, open_score

        looking = Looking(images=self.settings.get("images", IMAGES), seed=self.method.seed)
        parts = [
            self.angle(trained.space, space, lambda names: triples(names, since, trained.weights()))
            if part == "angle"
            else open_score(trained.run_dir, part, space=space, looking=looking)
            for part in self.joined
        ]
        return combined_or_one(parts, space, None, self.method.seed)

    @property
    def joined(self) -> list[str]:
        """What the score is joined from."""
        return [part.strip() for part in self.score.split("+")]

    def angle(self, whole: SearchSpace, space: SearchSpace, turned: Callable[[Sequence[str]], FloatArray]) -> Score:
        """The angle of a space from how far each tensor of a supernet, which holds a larger one, has turned, by name."""
        from frugalnas.networks import weightless
        from frugalnas.scores import Angle, angle_table, rule_for
        from frugalnas.scores.triples import tensor_names
        from frugalnas.supernets import supernet_of

        with weightless():
            supernet = supernet_of(whole)
        turned_by = turned(tensor_names(supernet))
        return Angle(space, angle_table(supernet, turned_by, rule_for(whole, self.settings.get("rule"))))


ENDS = "gradient searches on what is left are not built yet"


class SupernetOfTheRest(Supernet):
    """A supernet of what shrinking left, which is searched: a `fresh` one, trained as its settings say, or the last round's."""

    stage = "shrunk"
    options: ClassVar[Mapping[str, Option]] = {}

    @property
    def fresh(self) -> bool:
        """Whether it is trained anew."""
        return bool(self.settings.get("fresh", True))

    @property
    def how(self) -> dict[str, Any]:
        """See `Trained.how`."""
        how = super().how
        how["settings"].pop("fresh", None)
        return how

    @property
    def foreseen(self) -> SearchSpace:
        """A space of about the size that shrinking leaves."""
        rounds: Rounds = self.method.shrinking  # type: ignore[attr-defined]  # nothing is left without
        return self.method.spaces.searched.restrict(rounds.foreseen.space.allowed)

    @property
    def needed(self) -> bool:
        """Whether there will be one."""
        return self.fresh and self.method.foreseen is not None

    def of(self, stages: Stages, rest: Shrunk) -> SupernetResult:
        """It trained; the last round's where none is."""
        if not self.fresh:
            return rest.supernet
        return self.train(stages, self.stage, self.method.spaces.searched.restrict(rest.left.allowed))

    def check(self, data: ImageData) -> Sequence[str]:
        """The training that is proposed; refuse paths that it may not have."""
        if not self.needed:
            self.proposal = self.method.supernet.proposal  # type: ignore[attr-defined]
            return ()
        self.method.shrinking.check_paths(self)  # type: ignore[attr-defined]
        return super().check(data)

    def plan(self) -> StagePlan | None:  # type: ignore[override]  # there may be none
        """The training, timed; None where there is none."""
        return super().plan() if self.needed else None
