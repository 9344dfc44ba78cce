"""Which weights an angle counts, and how often: the rules of the papers' programs, and ours."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from frugalnas.errors import FrugalnasError, unknown_name
from frugalnas.spaces import SearchSpace


@dataclass(frozen=True)
class AngleRule:
    """What goes into the weight vector whose turning the angle measures, as data.

    Every tensor of a supernet has a label `operation@stride/kindN.name`: the choice it belongs to, then its layer, numbered
    among the choice's layers of that kind, and its name there. Kinds are "conv", "linear", "norm", and for a tensor of
    another module "matrix" where it has two dimensions or more, "vector" where it has one. Examples:
    "dil_conv_3x3@1/norm1.weight", "mb6_k5@2/conv3.weight". Tensors that every network has are "fixed/kind.name", such as
    "fixed/norm.bias".

    Attributes:
        name: of the rule, for people.
        tensors: (pattern, times): how often the tensors are counted whose label matches; the last pattern that matches
            decides, and what none matches is not counted. Patterns are those of `fnmatch`.
        still: patterns of tensors that are counted as if they had stayed what they were.
        constants: (pattern, share): choices whose `operation@stride` matches add `share` times their channels to all three
            sums, as parts that never turn do: a pooling's C x 3 x 3 kernel of 1/9 is a share of 1/9, an identity's unit
            matrix one of 1.
        ends: nodes of a cell at which the paths end that are counted; None: those that make the cell's output.
        repeated: whether a choice on m live paths from a cell's input to an end counts m times (ABS, Algorithm 1), or once
            where m is at least 1.
        dead: the angle in radians of a network without live path; None: that of its fixed parts.
        spaces: names of the spaces it is for; empty: any.
    """

    name: str
    tensors: tuple[tuple[str, float], ...]
    still: tuple[str, ...] = ()
    constants: tuple[tuple[str, float], ...] = ()
    ends: tuple[int, ...] | None = None
    repeated: bool = True
    dead: float | None = None
    spaces: tuple[str, ...] = ()

    def times(self, label: str) -> float:
        """How often a tensor of this label is counted."""
        return _last_match(self.tensors, label)

    def stays(self, label: str) -> bool:
        """Whether a tensor of this label is counted as if it had not turned."""
        return any(fnmatchcase(label, pattern) for pattern in self.still)

    def share(self, operation: str, stride: int) -> float:
        """What a choice adds to each sum for each of its channels."""
        return _last_match(self.constants, f"{operation}@{stride}")


def _last_match(patterns: tuple[tuple[str, float], ...], text: str) -> float:
    return next((number for pattern, number in reversed(patterns) if fnmatchcase(text, pattern)), 0.0)


_KERNELS = (("*/conv*.weight", 1.0),)
_CLASSIFIER = (("fixed/linear.weight", 1.0),)
_CLASSIFIER_BIAS = (("fixed/linear.bias", 1.0),)
_NORMS = (("*/norm*.*", 1.0),)
_FIXED_NORMS = (("fixed/norm.*", 1.0),)
# RLNAS's program takes the weight of a dilated convolution's batch norm twice, and leaves out its bias.
_DILATED_TWICE = (("dil_conv_*/norm*.weight", 2.0), ("dil_conv_*/norm*.bias", 0.0))
_POOLINGS = (("*_pool_3x3@*", 1 / 9),)
_NASBENCH201 = (*_KERNELS, *_FIXED_NORMS, *_CLASSIFIER, *_CLASSIFIER_BIAS)
_DARTS_CIFAR10 = (*_KERNELS, *_NORMS, *_DILATED_TWICE, *_CLASSIFIER)
_SKIPS = ("skip_connect@1", 1.0)
_MOBILE_SPACES = ("mobilenet", "fairnas")

RULES: dict[str, AngleRule] = {
    rule.name: rule
    for rule in (
        AngleRule(
            "default",
            (*_KERNELS, ("*/linear*.weight", 1.0), ("*/matrix*", 1.0), ("fixed/*", 1.0)),
            still=("fixed/*",),
            constants=(("*_pool_3x3@*", 1 / 3),),
            repeated=False,
        ),
        AngleRule("rlnas-nasbench201", _NASBENCH201, constants=_POOLINGS, dead=0.0, spaces=("nasbench201",)),
        AngleRule("abs-nasbench201", _NASBENCH201, constants=_POOLINGS, spaces=("nasbench201",)),
        AngleRule("rlnas-darts-cifar10", _DARTS_CIFAR10, constants=(*_POOLINGS, _SKIPS), spaces=("darts",)),
        AngleRule(
            "rlnas-darts-imagenet",
            (*_DARTS_CIFAR10, *_CLASSIFIER_BIAS),
            constants=(*_POOLINGS, _SKIPS),
            spaces=("darts",),
        ),
        AngleRule(
            "abs-darts",
            (*_KERNELS, ("skip_connect@*", 0.0), *_CLASSIFIER),
            constants=_POOLINGS,
            ends=(5,),
            spaces=("darts",),
        ),
        AngleRule(
            "rlnas-mobilenet",
            (*_KERNELS, ("mb*/norm[12].*", 1.0), *_CLASSIFIER),
            constants=(("identity@*", 1.0),),
            spaces=_MOBILE_SPACES,
        ),
        AngleRule("abs-mobilenet", (*_KERNELS, *_CLASSIFIER), spaces=_MOBILE_SPACES),
    )
}
"""By name: "default", and what the programs of RLNAS (Zhang et al., CVPR 2021) and ABS (Hu et al., ECCV 2020) count.

`default` is ours, chosen by measurement (benchmarks/README.md): the convolutions and linear layers of every choice on a live path
turn, once each, however many paths run through them; what all networks share stands still at its base weights, so that it
weighs a choice against the whole network without a turn of its own; and a pooling counts as a convolution that has not
turned, whose squared norm PyTorch makes a third of its channels. Batch norms and biases of choices are left out: they start
equal for all.

The presets differ from one another as the programs do:

- `*-nasbench201`: all fixed parts; choices' kernels; a pooling as a constant. RLNAS gives a network without live path 0.
- `rlnas-darts-*`: all batch norms, dilated convolutions' weight twice and bias not; poolings and identities as constants;
  paths end at all four nodes. ImageNet's counts the classifier's bias.
- `abs-darts`: kernels and the classifier's weight, but not those of a skip with stride 2; poolings as constants; paths end
  at the last node alone.
- `rlnas-mobilenet`: kernels, the first two batch norms of each block, the classifier's weight, identities as constants.
- `abs-mobilenet`: kernels and the classifier's weight.
"""


def rule_for(space: SearchSpace, name: str | None = None) -> AngleRule:
    """The rule of a name, made sure to be one for this space; None is "default".

    Raises:
        FrugalnasError: for an unknown name, or a rule that is for other spaces.
    """
    name = "default" if name is None else name
    suited = [rule.name for rule in RULES.values() if not rule.spaces or space.name in rule.spaces]
    if name not in RULES:
        raise unknown_name("angle rule", name, suited)
    if name not in suited:
        raise FrugalnasError(
            f"the angle rule {name!r} is for {', '.join(RULES[name].spaces)}, not for {space.name}; choose one of: "
            f"{', '.join(suited)}"
        )
    return RULES[name]
