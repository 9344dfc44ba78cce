"""Strategies with the settings of their papers: what `frugalnas search NAME` finds behind each of these names.

- NPENAS (Wei et al., 2020, arXiv 2003.12857): mutate the best architectures; let a graph network, trained anew on all
  evaluations, rank the children; evaluate the best ten; repeat. NPENAS-NP ranks by a predicted error, NPENAS-BO by one Thompson
  sample of a predicted distribution; NPENAS-GT, a study, by the truth. Where paper and program differ, the paper is followed:
  candidates are never looked up, the learning rate ends with the training, a network is never evaluated under two spellings, and
  cells are mutated until a child is valid.
- SSNENAS (Wei et al., 2020, arXiv 2011.00186): pre-train that network on architectures alone: to tell how far two of them are
  apart (SS-RL), or to keep an architecture's relatives together and everything else away (SS-CCL). Train it on from there.
- BANANAS (White et al., AAAI 2021, arXiv 1910.11858), as NPENAS runs it: train five narrow networks on encodings of the paths
  through each cell; evaluate the children for which an independent draw from the ensemble's distribution is highest.
- WeakNAS (Wu et al., NeurIPS 2021, arXiv 2102.10490): sample a few architectures; fit a weak predictor; draw the next ones
  uniformly from its top; refit on all samples; repeat.

Args:
    space: where to search.
    seed: of every random choice.
    initial: size of the initial random sample.
    round_size: architectures evaluated between two rankings.
    rate: the largest error that can be predicted, in percent; None: 10 on nasbench101, 15 on darts, otherwise 100.
    activation: of the predictor: relu as in NPENAS-NP, or celu as in NPENAS-BO.
    fixed: evaluations after which the predictor is not trained again; None: it always is, or where it is pre-trained 50, 90 on
        NAS-Bench-101, as in the paper.
    pretrained: ss-ccl or ss-rl, whose encoder is made and kept the first time, or the folder of a run of frugalnas pretrain.
    paper: train the predictor as the paper does (fine-tuned 150 epochs, 200 for SS-CCL on NAS-Bench-101), not as `npenas` does.
    truth: table that candidates are ranked by; on a command line the one that answers.
    objective: its validation accuracies, or its test accuracies (oracle-test).
    candidates: children that are ranked in each round.
    parents: architectures that have children.
    tournament: each parent is the best of so many drawn from all that were evaluated; None: the best, in order.
    children: new children of a parent that are kept at most; None: all.
    encoding: what the networks read; the space's own recommendation where it has no such encoding.
    width: units of each of ten layers. NPENAS's program has 200 for path encodings of NAS-Bench-201, ten times as costly, and 20
        otherwise.
    top: architectures from which the next ones are drawn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, TypeVar, get_type_hints

from frugalnas.errors import FrugalnasError
from frugalnas.predictors import BANANAS, GIN, gin_bo_paper, gin_fine_tuned_paper, gin_paper, mlp_paper
from frugalnas.predictors.gin import Activation
from frugalnas.spaces import SearchSpace
from frugalnas.spaces.npenas_mutations import PAPER_MUTATIONS
from frugalnas.strategies import NPENAS, WeakNAS
from frugalnas.strategies.npenas import Mutation
from frugalnas.strategies.oracle import Oracle

LARGEST_ERROR = {"nasbench101": 10.0, "nasbench201": 100.0, "darts": 15.0}
"""What NPENAS's program multiplies a sigmoid by, in percent."""
_COMMON = {"seed": 0, "initial": 10, "round_size": 10}
"""What every preset takes, and its defaults."""

S = TypeVar("S", NPENAS, WeakNAS)


def _preset(
    made: Callable[..., S], name: str = "", said: str | None = None, without: Sequence[str] = (), **defaults: Any
) -> Callable[..., S]:
    """A constructor with the common options in front of its own; a name makes it a variant, with its own docstring and defaults."""

    @wraps(made)
    def constructor(space: SearchSpace, **options: Any) -> S:
        return made(space, **{**_COMMON, **defaults, **options})

    space, *own = (each for each in inspect.signature(made).parameters.values() if each.kind is not each.VAR_KEYWORD)
    common: list[inspect.Parameter] = [
        inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=value) for each, value in _COMMON.items()
    ]
    own = [
        each.replace(default=defaults.get(each.name, each.default))
        for each in own
        if each.name not in (*_COMMON, *without)
    ]
    vars(constructor)["__signature__"] = inspect.Signature([space, *common, *own])
    constructor.__annotations__ = {**get_type_hints(made), **dict.fromkeys(_COMMON, int)}
    constructor.__doc__ = said or made.__doc__
    constructor.__name__ = constructor.__qualname__ = name or made.__name__
    return constructor


# -- NPENAS --------------------------------------------------------------------------------------------------------------


@_preset
def npenas_paper(
    space: SearchSpace,
    *,
    rate: float | None = None,
    activation: Activation = "relu",
    fixed: int | None = None,
    **how: Any,
) -> NPENAS:
    """NPENAS-NP with the settings of its paper: a GIN trained for 300 epochs in every round, a hundred candidates."""
    predictor = gin_paper(rate=LARGEST_ERROR.get(space.name, 100.0) if rate is None else rate, activation=activation)
    return _as_published(space, predictor, fixed=fixed, **how)


@_preset
def npenas_fixed(space: SearchSpace, *, fixed: int = 50, paper: bool = False, **how: Any) -> NPENAS:
    """NPENAS whose predictor is not trained again after fifty evaluations."""
    return (npenas_paper if paper else NPENAS)(space, fixed=fixed, **how)


@_preset
def npenas_bo(space: SearchSpace, *, activation: Activation = "celu", **how: Any) -> NPENAS:
    """NPENAS-BO with the settings of its paper: a GIN that predicts mean and deviation, ranked by Thompson samples."""
    return _as_published(space, gin_bo_paper(activation=activation), acquisition="ts", **how)


@_preset
def npenas_oracle(
    space: SearchSpace,
    *,
    truth: str | None = None,
    objective: Literal["accuracy", "oracle-test"] = "accuracy",
    candidates: int = 100,
    parents: int = 50,
    tournament: int | None = None,
    children: int | None = None,
    **how: Any,
) -> NPENAS:
    """NPENAS-GT, a study: candidates are ranked by a table's own values, which no search could know."""
    if truth is None:
        raise FrugalnasError("npenas-oracle ranks by a table's own values; name the table: truth='nasbench201/cifar10'")
    how |= {"candidates": candidates, "parents": parents, "tournament": tournament, "children": children}
    return _as_published(space, Oracle(table=truth, objective=objective), acquisition="mean", **how)


def _as_published(space: SearchSpace, predictor: Any, *, labels: str = "raw", **how: Any) -> NPENAS:
    """The search around a predictor of the papers: their mutation, labels as they come, a fit in every round."""
    mutation: Mutation = "paper" if space.name in PAPER_MUTATIONS else "edits"
    return NPENAS(space, predictor=predictor, mutation=mutation, labels=labels, refit_growth=1.0, **how)  # type: ignore[arg-type]


# -- SSNENAS -------------------------------------------------------------------------------------------------------------


def _ssnenas(name: str, task: str, said: str, until: bool = False) -> Callable[..., NPENAS]:
    """NPENAS from a pre-trained encoder, fitted always or `until` there are enough evaluations."""

    def made(
        space: SearchSpace, *, pretrained: str = task, paper: bool = False, fixed: int | None = None, **how: Any
    ) -> NPENAS:
        on101 = space.name == "nasbench101"
        if until:
            how["fixed"] = (90 if on101 else 50) if fixed is None else fixed
        if not paper:
            return NPENAS(space, predictor=GIN(pretrained=pretrained), **how)
        epochs = 200 if on101 and task == "ss-ccl" else 150
        return _as_published(space, gin_fine_tuned_paper(pretrained=pretrained, epochs=epochs), **how)

    return _preset(made, name, said, () if until else ("fixed",))


_RELATIVES = "NPENAS whose predictor was pre-trained, without accuracies, to keep relatives together (SS-CCL)."
_DISTANCES = "NPENAS whose predictor was pre-trained, without accuracies, to tell edit distances (SS-RL)."

npenas_ssccl = _ssnenas("npenas_ssccl", "ss-ccl", _RELATIVES)
npenas_ssrl = _ssnenas("npenas_ssrl", "ss-rl", _DISTANCES)
npenas_ssccl_fixed = _ssnenas(
    "npenas_ssccl_fixed", "ss-ccl", "NPENAS-SSCCL whose predictor is trained no more after `fixed` evaluations.", True
)
npenas_ssrl_fixed = _ssnenas(
    "npenas_ssrl_fixed", "ss-rl", "NPENAS-SSRL whose predictor is trained no more after `fixed` evaluations.", True
)


# -- BANANAS and WeakNAS -------------------------------------------------------------------------------------------------


@_preset
def bananas(space: SearchSpace, *, encoding: str = "path", width: int = 20, **how: Any) -> NPENAS:
    """BANANAS with the settings of the comparison in NPENAS: five networks on path encodings, independent draws."""
    on101 = space.name == "nasbench101"
    predictor = BANANAS(
        encoding=encoding if encoding in space.encodings else None,
        layers=10,
        width=width,
        epochs=150 if on101 else 200,
        lr=0.01 if on101 else 0.001,
        batch=32,
        members=5,
    )
    return _as_published(space, predictor, acquisition="its", labels="standard", **how)


bananas_adjacency = _preset(
    bananas,
    "bananas_adjacency",
    "BANANAS on adjacency encodings, which its paper compares with.",
    ("encoding", "width"),
    encoding="adjacency",
)
bananas_position = _preset(
    bananas,
    "bananas_position",
    "BANANAS on the position-aware path encodings of SSNENAS.",
    ("encoding", "width"),
    encoding="position-path",
)


@_preset
def weaknas_paper(space: SearchSpace, *, top: int = 100, **how: Any) -> WeakNAS:
    """WeakNAS with the settings of its README: an MLP of 4x1000 on its one-hot codes, uniform from the top 100.

    `initial` is that of NAS-Bench-201; for NAS-Bench-101 its README says 100.

    Two things differ from the released program, on purpose: labels are standardised by those queried so far, not
    by the whole table's mean and deviation, which no search could know; and no network is queried twice under
    another spelling.
    """
    predictor = mlp_paper(encoding="sequence-onehot" if "sequence-onehot" in space.encodings else "onehot")
    how |= {"acquisition": "uniform", "top_start": top, "keep_old": "all", "labels": "standard"}
    return WeakNAS(space, predictor=predictor, **how)


@_preset
def weaknas_ssccl(space: SearchSpace, *, pretrained: str = "ss-ccl", **how: Any) -> WeakNAS:
    """WeakNAS whose weak predictor is a graph network, pre-trained on the space without accuracies."""
    return WeakNAS(space, predictor=GIN(pretrained=pretrained), acquisition="mean", refit_growth=1.1, **how)
