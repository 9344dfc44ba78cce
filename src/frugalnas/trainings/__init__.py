"""How is something trained, and what does it leave? One file for each thing that is trained, all on one `Session`.

- `network`: `train` an architecture from scratch, a `TrainingResult`; `evaluation`: how good it is on other images.
- `supernet`: `train_supernet`, a `SupernetResult` with the weights that angles are measured from.
- `origin`: a supernet that begins where another one ended.
- `encoder`: `pretrain` a predictor's encoder on architectures alone.
- `result`: what any of them has come to.
- `session`: a training under way: steps on batches, checkpoints, a journal with a line an epoch; `images` is what those of
  networks and supernets have in common.
- `subject`: recipe, images and space fitted to each other before anything is written; `weights`: what a training begins with.
- `plan`: what a training would do, and how long it would take.
- `restart`: a training that goes on for longer; `teacher`: the network to distil from.
- `evaluator`: real training as what answers a search.
- `kinds`: trainings as runs, which are resumed, listed and shown as all others.

The loop itself is `frugalnas.training.fit`. Only what needs no torch is imported here.
"""

from frugalnas.trainings.evaluator import TrainingEvaluator
from frugalnas.trainings.kinds import PretrainingKind, SupernetKind, TrainingKind

__all__ = ["PretrainingKind", "SupernetKind", "TrainingEvaluator", "TrainingKind"]
