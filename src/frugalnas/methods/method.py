"""A method that searches an architecture for images: what a user says becomes one, and everything that such methods share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from frugalnas.errors import FrugalnasError, expect
from frugalnas.methods.parts import Part
from frugalnas.methods.recipe import load_method_recipe
from frugalnas.registry import KINDS
from frugalnas.runs.folder import fresh
from frugalnas.runs.progress import Callback
from frugalnas.runs.stages import Method, Stages
from frugalnas.trust import give

if TYPE_CHECKING:
    from frugalnas.data import ImageData, Images
    from frugalnas.methods.conclusion import Finalists
    from frugalnas.methods.kind import MethodResult
    from frugalnas.methods.spaces import Spaces
    from frugalnas.spaces import SearchSpace
    from frugalnas.training import Compute
    from frugalnas.trainings.network import TrainingResult

UNLABELLED = 10
"""Classes of images without labels, where the recipe does not say how many."""
READING = ("root", "download", "input_size", "max_corrupt", "workers")
"""How images are read."""


_ARGUMENTS = ("recipe", "preprocessing", "classes", "labelled", "reading", "device", "seed")


class ImageMethod(Method):
    """A method that searches an architecture for images.

    A child class names its parts as annotations, in order (`search: GeneticSearch`), and says in `carry_out` how these follow
    from each other; the command, the plan, resuming and the page come with them.

    Args:
        recipe: what each part does, with nothing left open; see `MethodRecipe`.
        preprocessing: how an image becomes a network's input.
        classes: names of those that the networks tell apart.
        labelled: whether the images have labels to retrain with.
        reading: how the data are opened: `root`, `download`, `input_size`, `max_corrupt`, `workers`.
        device: where it is computed: fields of `Compute`.
        seed: of every stage.

    Attributes:
        parts: the class of each part, by its name in recipes.
        defaults: the recipe that is taken where nobody names one: a name, or the settings themselves.
        help: what its command does, in a line.
        example: of its use.
        suited: the spaces that small and large images are searched in, where nobody names one.
        scored: the part that trains the supernet whose architectures are ranked.
    """

    parts: ClassVar[dict[str, type[Part]]] = {}
    defaults: ClassVar[str | Mapping[str, Any]] = "default"
    help: ClassVar[str] = ""
    example: ClassVar[str] = ""
    suited: ClassVar[tuple[str, str]] = ("nasbench201", "mobilenet")
    scored: ClassVar[str] = "supernet"

    def __init_subclass__(cls) -> None:
        with suppress(NameError):  # of other annotations, which only a type checker resolves
            hints = get_type_hints(cls)
            cls.parts = {
                name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Part)
            }
        cls.stages = (*dict.fromkeys(part.stage for part in cls.parts.values()), "report")

    def __init__(
        self,
        *,
        recipe: Mapping[str, Any],
        preprocessing: Mapping[str, Any],
        classes: Sequence[str],
        labelled: bool,
        reading: Mapping[str, Any],
        device: Mapping[str, Any],
        seed: int = 0,
    ) -> None:
        self.recipe = load_method_recipe(type(self), recipe).to_json()
        self.preprocessing = preprocessing
        self.classes = tuple(classes)
        self.labelled = labelled
        self.reading = reading
        self.device = device
        self.seed = seed
        self._open: dict[str | None, ImageData] = {}
        for name, part in self.parts.items():
            setattr(self, name, part(self, name, self.recipe[name]))

    def each_part(self) -> list[Part]:
        """The parts, in order."""
        return [getattr(self, name) for name in self.parts]

    @cached_property
    def spaces(self) -> Spaces:
        """The space at the sizes of the supernet and of the networks that are retrained."""
        from frugalnas.methods.spaces import spaces_of

        recipe = load_method_recipe(type(self), self.recipe)
        return spaces_of(recipe, int(self.preprocessing["input_size"]), len(self.classes))

    @property
    def foreseen(self) -> SearchSpace | None:
        """The space that will be searched, as far as it is known before anything begins; None where none will be."""
        return self.spaces.retrained

    @property
    def compute(self) -> Compute:
        """Where it is computed."""
        from frugalnas.training import Compute

        return Compute(**self.device)

    @property
    def score_name(self) -> str:
        """What architectures are ranked by."""
        return str(self.recipe.get("score", {}).get("name", "angle" if "score" in self.parts else "score"))

    def images(self, split: str | None) -> Images | ImageData:
        """The images with a split: as they are open already in this process, else as they are to be opened."""
        from frugalnas.data import Images

        return self._open.get(split) or Images(self.recipe["data"], split=split, **self.reading)

    def keep_open(self, data: ImageData, split: str | None) -> None:
        """Have stages of this process use images that are open."""
        self._open[split] = data

    def stage_of(self, setting: str) -> str:
        """The first stage that a setting decides, "" where it can be changed at any time.

        Limits and sizes of what is retrained decide the first stage that keeps to them.
        """
        name, _, own = setting.partition(".")
        part = self.parts.get(name)
        if part is not None and own in part.free:
            return ""
        if setting == "where" or (part is not None and part.limited and own.partition(".")[0] == "space"):
            return next((each.stage for each in self.parts.values() if each.limited), self.stages[0])
        return self.stages[0] if part is None else part.stage

    def changed(self, settings: Mapping[str, Any]) -> ImageMethod:
        """The same method with other settings, after the checks that a new one has."""
        from frugalnas.data import Images
        from frugalnas.training import Compute

        where, others = settings.get("where"), {name: value for name, value in settings.items() if name != "where"}
        images, devices = Images("", **self.reading), Compute("cpu", self.compute.devices)
        settled = settle(type(self), None, images, self.recipe, settings=others, where=where, compute=devices).method
        return type(self)(**{**{name: getattr(self, name) for name in _ARGUMENTS}, "recipe": settled.recipe})

    def conclude(
        self,
        stages: Stages,
        best: Finalists,
        trained: Sequence[TrainingResult] = (),
        baselines: Mapping[str, TrainingResult] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """What the method has come to, with the winner's network exported: the end of every `carry_out`.

        Args:
            stages: of the run.
            best: architectures, in order.
            trained: those that were retrained, the first of the best first.
            baselines: what the winner is compared with, trained alike, by name.
        """
        from frugalnas.methods.conclusion import conclude

        stages.begin("report")
        return conclude(stages.folder.path, self, best, trained, baselines)

    @classmethod
    def run(
        cls, *arguments: Any, run_dir: Path | str, callbacks: Sequence[Callback] = (), **options: Any
    ) -> MethodResult:
        """The architecture that the method finds for images, trained from scratch where there are labels.

        Args:
            arguments: of `settle`: space, data and recipe.
            run_dir: a new folder.
            callbacks: are told what happens.
            options: of `settle`: settings, limits, where it is computed, and the seed.

        Raises:
            FrugalnasError: before anything is written, where something does not fit.

        Example:
            >>> found = RLNAS.run(data="digits", run_dir="runs/rlnas")  # doctest: +SKIP
            >>> found.architecture, found.test  # doctest: +SKIP
        """
        fresh(run_dir)
        method = settle(cls, *arguments, **options).method
        found: MethodResult = KINDS.create("method").proposed(method).start(run_dir=run_dir, callbacks=callbacks)
        return found


@dataclass(frozen=True)
class Settled:
    """A method with nothing left open, and what is known once the data are.

    Attributes:
        method: whose recipe has the space's description and the data's place filled in.
        data: opened, with the split of its first part.
        notes: what was decided, a sentence each.
    """

    method: ImageMethod
    data: ImageData
    notes: tuple[str, ...]


def settle(
    kind: type[ImageMethod],
    space: SearchSpace | str | None = None,
    data: Images | str | Path | None = None,
    recipe: str | Path | Mapping[str, Any] = "default",
    *,
    settings: Mapping[str, Any] | None = None,
    where: str | None = None,
    operators: Path | str | None = None,
    compute: Compute | None = None,
    seed: int = 0,
) -> Settled:
    """A method's recipe, data and space fitted to each other, and every part checked; images are opened once for each split.

    Args:
        kind: of method.
        space: where to search; None: the recipe's, or what suits the images.
        data: a name or a path, also a folder of images without labels, or more about how they are read: an empty `spec` is the
            recipe's, a `split` is that of all parts. None: the recipe's.
        recipe: a name (`method_recipes()` lists them), a YAML file, or what `MethodRecipe.to_json` gave.
        settings: recipe values to replace, such as {"supernet.epochs": 30, "retrain.space.width": 32, "retrain.top": 3}.
        where: limits on the network that is retrained, such as "macs<=300e6".
        operators: a file of what is left of the space; see `frugalnas.shrinking`.
        compute: where, and how exactly; None: the best device here.
        seed: of every stage.

    Raises:
        FrugalnasError: where something does not fit; nothing has been written.
    """
    from frugalnas.data import Images
    from frugalnas.methods.spaces import in_space
    from frugalnas.spaces import SearchSpace
    from frugalnas.training import Compute

    if space is not None:
        expect(space, (str, SearchSpace), "search space", "one such as frugalnas.NASBench201(), its name, or None")
    given = data if isinstance(data, Images) else Images(data or "")
    own = space if isinstance(space, SearchSpace) else None
    said: dict[str, Any] = {"space": space, "data": str(given.spec), "where": where}
    said |= {f"{name}.split": given.split for name, part in kind.parts.items() if part.known is None}
    changes = {name: value for name, value in said.items() if value}
    for name in changes.keys() & (settings or {}).keys():
        raise FrugalnasError(f"`{name}` is said twice; leave it out of the settings")
    give(space, settings)
    if own is not None:
        changes["space"] = None
    wanted = load_method_recipe(kind, recipe, {**(settings or {}), **changes})
    # The layout that is the faster one on most processors and GPUs, for retraining as for supernets.
    here = (compute or Compute()).here(channels_last=True)
    first = next(iter(wanted.parts.values()), {})
    images = replace(given, spec=wanted.data, split=first.get("split")).located()
    opened = images.open()
    notes: list[str] = []
    wanted = in_space(replace(wanted, data=str(images.spec)), own, opened, kind.suited, notes, operators)
    unlabelled = tuple(str(number) for number in range(int(first.get("classes") or UNLABELLED)))
    method = kind(
        recipe=wanted.to_json(),
        preprocessing=opened.preprocessing,
        classes=opened.classes if opened.labelled else unlabelled,
        labelled=opened.labelled,
        reading={name: getattr(images, name) for name in READING},
        device=here.to_json(),
        seed=seed,
    )
    method.keep_open(opened, first.get("split"))
    decided = [note for part in method.each_part() for note in part.check(opened)]
    return Settled(method, opened, (*decided, *notes))
