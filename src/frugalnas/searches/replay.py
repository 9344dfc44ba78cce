"""A finished search seen again: its strategy on the answers in its journal, with somebody looking on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from frugalnas.errors import RunFolderError
from frugalnas.evaluation import Evaluations, Evaluator, Trials
from frugalnas.runs.folder import RunFolder
from frugalnas.searches.budget import Budget
from frugalnas.searches.executors import Executor
from frugalnas.searches.ledger import read_queries
from frugalnas.searches.parts import Parts, rebuilt
from frugalnas.searches.run import loop_of
from frugalnas.spaces import IntArray
from frugalnas.strategies import NPENAS, WeakNAS
from frugalnas.strategies.guided import Round


def replay(run_dir: Path | str, on_round: Callable[[Round], None]) -> int:
    """How many rounds a run of WeakNAS or NPENAS has had; each is shown to `on_round`, exactly as it was.

    The strategy starts afresh and is answered from the journal. Nothing is evaluated and nothing in the folder changes.
    A run under way is replayed as far as it has come.

    Args:
        run_dir: the run's folder.
        on_round: must leave what it is shown as it is.

    Raises:
        RunFolderError: where there is no such run, it is of another strategy, or its journal is not what its
            configuration leads to.
    """
    folder = RunFolder(Path(run_dir))
    folder.expect("search")
    strategy, evaluator, _, executor = rebuilt(folder)
    if not isinstance(strategy, (NPENAS, WeakNAS)):
        raise RunFolderError(
            f"{folder.path} is a run of {folder.config['strategy']['name']}, which has no rounds of predictors; make one "
            f"with: frugalnas search weaknas, or npenas"
        )
    rounds = 0

    def seen(one: Round) -> None:
        nonlocal rounds
        rounds += 1
        on_round(one)

    strategy.observer = seen
    answers = read_queries(folder, strategy.space)
    if not answers:
        return 0
    # Without a folder of its own the loop writes nothing; its budget ends with the journal.
    budget = Budget(queries=len(answers), failures=None)
    loop = loop_of(Parts(strategy, evaluator, budget, _NoExecutor(executor)))
    loop.journal = answers
    loop.run()
    if loop.unplayed:
        raise RunFolderError(
            f"{folder.path / 'journal.jsonl'} has {len(answers)} queries, but its configuration leads to "
            f"{loop.played}; the run was made by another version of frugalnas or was edited"
        )
    return rounds


class _NoExecutor(Executor):
    """Evaluates nothing, and asks for as much at once as the run's own executor did."""

    def __init__(self, own: Executor) -> None:
        self.workers, self.ordered = own.workers, own.ordered

    def submit(self, evaluator: Evaluator, trials: Trials, workdirs: Sequence[Path]) -> None:
        """Refuses what the journal does not answer."""
        raise RunFolderError(f"the journal does not answer {len(trials)} architectures that the strategy asks for")

    def completed(self) -> tuple[IntArray, Evaluations]:
        """Nothing was submitted."""
        raise AssertionError
