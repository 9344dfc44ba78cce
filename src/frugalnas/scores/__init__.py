"""What do we know cheaply? A number for every architecture of a space at once, larger is better.

- `Score`: the contract; a score is called with a code matrix.
- `Angle`: how far the weights of each architecture's path through a supernet have turned. It needs an `AngleTable`,
  which `angle_table` makes of the supernet, of three sums for each of its tensors (`triples`, by `tensor_names`), and of an
  `AngleRule`: which tensors count (`rule_for`, `RULES`). A `Weighting` makes many tables of one supernet.
- `largest_angle`: the best architecture of a layer-wise space, exactly, under limits too; `MaximumAngle`: that, and its proof.
- `operator_scores`: what each choice of a space is worth, as `OperatorScores`: the expected score of the architectures that
  contain it, exactly wherever that is possible (`moments`, `cell_moments`). `scores_of` makes them of one number for each
  architecture, `sampled_scores` of some that are drawn; `drawn_scores` are random.
- `Counted`: parameters and multiply-adds, the baseline of every other score; `combine`: several scores, by rank.

Those that run networks import torch, and stay in modules of their own: `accuracy.SupernetAccuracy`; `zero_cost.GradientNorm`,
`zero_cost.SynFlow`, `zero_cost.NASWOT`. `correlation` says how well a score ranks.
"""

from frugalnas.scores.angle import Angle, AngleTable, Weighting, angle_table
from frugalnas.scores.base import Counted, Score
from frugalnas.scores.combined import Combined, combine
from frugalnas.scores.maximise import MaximumAngle, largest_angle
from frugalnas.scores.operator_expectations import drawn_scores, operator_scores
from frugalnas.scores.operator_samples import sampled_scores, scores_of
from frugalnas.scores.operators import OperatorScores
from frugalnas.scores.rules import RULES, AngleRule, rule_for
from frugalnas.scores.triples import tensor_names, triples

__all__ = [
    "RULES",
    "Angle",
    "AngleRule",
    "AngleTable",
    "Combined",
    "Counted",
    "MaximumAngle",
    "OperatorScores",
    "Score",
    "Weighting",
    "angle_table",
    "combine",
    "drawn_scores",
    "largest_angle",
    "operator_scores",
    "rule_for",
    "sampled_scores",
    "scores_of",
    "tensor_names",
    "triples",
]
