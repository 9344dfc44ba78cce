"""What a method is compared with: networks that nobody searched, of the winner's cost, trained exactly as the winner was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.methods.parts import Option, Part, Retraining, StagePlan

if TYPE_CHECKING:
    from frugalnas.methods.conclusion import Finalists
    from frugalnas.runs.stages import Stages
    from frugalnas.spaces import Architecture, Codes, SearchSpace
    from frugalnas.trainings.network import TrainingResult

NETWORKS = ("random", "resnet18", "resnet34", "mobilenetv3")
"""An architecture drawn from the space, and known networks, each at the width that costs as much as the winner."""
MOBILE = ("mobilenet", "fairnas", "shufflenet", "once-for-all")
"""Spaces of networks that depthwise convolutions make cheap: a residual network of their cost is too narrow to say much."""
DRAWN = 2_000
"""Architectures of a space that cannot be listed, among which those that cost as much as the winner are looked for."""
NEAREST = 10
"""Of these one is drawn."""
STEPS = 64
"""Widths of a known network between 0 and 1; the first stage of a residual one has as many channels at width 1."""


class Baselines(Part):
    """A random architecture and a known network of the winner's cost, trained as it was; `networks` names them.

    Where nobody does, the known one is MobileNetV3 in spaces of mobile networks, and ResNet18 elsewhere.
    """

    stage = "baseline"
    known = ("networks",)
    free = ("networks",)
    options: ClassVar[Mapping[str, Option]] = {
        "no-baselines": Option("networks", bool, "", "train nothing to compare the winner with", [])
    }

    @classmethod
    def refuse(cls, name: str, settings: Mapping[str, Any]) -> None:
        """Refuse unknown settings, and baselines that there are not."""
        super().refuse(name, settings)
        networks = settings.get("networks", ())
        if not isinstance(networks, (list, tuple)):
            raise FrugalnasError(f"{name}.networks is {networks!r}; it is a list of some of {', '.join(NETWORKS)}")
        for each in networks:
            if each not in NETWORKS:
                raise unknown_name("baseline", str(each), NETWORKS)

    @property
    def networks(self) -> tuple[str, ...]:
        """Which are trained: none where nothing is retrained."""
        plain = "mobilenetv3" if self.method.spaces.retrained.name in MOBILE else "resnet18"
        return tuple(self.settings.get("networks", ("random", plain))) if self.retraining.top else ()

    @property
    def retraining(self) -> Retraining:
        """How the winner was trained."""
        retraining: Retraining = self.method.retrain  # type: ignore[attr-defined]  # there is no baseline without
        return retraining

    def run(self, stages: Stages, best: Finalists, trained: Sequence[TrainingResult]) -> dict[str, TrainingResult]:
        """The trained baselines by name.

        Args:
            stages: of the run.
            best: architectures that the method found.
            trained: those of them that were retrained, the first of the best first.
        """
        from frugalnas.methods.conclusion import winner_of
        from frugalnas.trainings.network import train

        if not self.networks:
            return {}
        space, winner = self.method.spaces.retrained, best.codes[winner_of(trained)]
        return {
            name: stages.run(
                f"baseline-{place}",
                "training",
                train,
                as_costly(name, space, winner, self.method.seed),
                self.retraining.images,
                seed=self.method.seed,
                **self.how(name),
            )
            for place, name in enumerate(self.networks, 1)
        }

    def how(self, name: str) -> dict[str, Any]:
        """How one is trained: as the winner was, but an auxiliary head that somebody asked for is for networks of the space."""
        how = self.retraining.how
        if name != "random":
            how["settings"].pop("auxiliary", None)
        return how

    def plan(self) -> StagePlan | None:
        """As many trainings as there are baselines, each as long as the winner's."""
        if not self.networks:
            return None
        from frugalnas.progress import duration

        seconds = self.retraining.middle[1].seconds * len(self.networks)
        said = f"{' and '.join(self.networks)} at the winner's cost, trained as it was, about {duration(seconds)}"
        return StagePlan(self.stage, said, seconds)


def as_costly(name: str, space: SearchSpace, winner: Codes, seed: int) -> Architecture:
    """The baseline of a name that takes about as many multiply-adds as an architecture does.

    Args:
        name: one of `NETWORKS`.
        space: of the architecture, within its limits.
        winner: the architecture, shape [genes].
        seed: of what is drawn.
    """
    from frugalnas.registry import SPACES
    from frugalnas.spaces import Architecture
    from frugalnas.spaces.known import known

    macs = float(space.count("macs", winner[None])[0])
    if name == "random":
        return Architecture(space, _drawn(space, winner, macs, seed), "a random architecture of the winner's cost")
    sizes = {each: getattr(space, each) for each in ("input_size", "classes")}
    whole = SPACES.create({"name": known(name).space, "options": sizes})
    code = whole.parse(name)
    width = _width(whole, code, macs)
    return Architecture(whole.with_options(width=width), code, f"{name} at width {width:g}")


def _drawn(space: SearchSpace, winner: Codes, macs: float, seed: int) -> Codes:
    """Another network than the winner's, drawn from those whose cost is nearest to its own."""
    import numpy as np

    from frugalnas.methods.spaces import alive

    rng = np.random.default_rng((seed, 0xBA5E))
    codes = alive(space, space.enumerate() if space.enumerable else space.sample(DRAWN, rng))
    others = codes[space.network_ids(codes) != space.network_ids(winner[None])]
    if not len(others):
        raise FrugalnasError(
            "the limits leave no other network than the winner to compare it with; leave random out of `baselines.networks`"
        )
    away = np.abs(space.count("macs", others) - macs)
    near = others[np.argsort(away, kind="stable")[:NEAREST]]
    return near[rng.integers(len(near))]


def _width(space: SearchSpace, code: Codes, macs: float) -> float:
    """The width, in steps of a 64th, at which a network is nearest to a cost."""
    from bisect import bisect_left

    from frugalnas.networks import build, weightless
    from frugalnas.networks.counting import count_network

    def cost(steps: int) -> float:
        wide = space.with_options(width=steps / STEPS)
        with weightless():  # of this one network: a table of all that the space has would take longer
            network = build(wide, code)
        return float(count_network(network, wide.input_size).macs)  # type: ignore[attr-defined]  # a known one's has it

    above = 1
    while cost(above) < macs:
        above *= 2
    least = bisect_left(range(1, above), macs, key=cost) + 1
    return min(max(least - 1, 1), least, key=lambda steps: abs(cost(steps) - macs)) / STEPS
