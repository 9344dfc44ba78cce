"""How a search is carried through: the loop, the run folder, resuming and executors.

- `search`: a strategy asks, an evaluator answers, until the budget is spent; `SearchResult` is what comes out.
- `Budget`: how much may be spent. `SerialExecutor`, `ProcessExecutor`: where evaluations happen.
- `RunFolder`: a run on disk; `resume` continues one to the same journal as if it had never been interrupted.
- `accept_config`, `restore_config`: what to do with a config.yaml that somebody edited.
- `replay`: the rounds of a run of WeakNAS seen again, from its journal.
- `Callback`, `Progress`: look on while a search runs.

Training an architecture from scratch needs torch and lives in `runs.training` (`train`, `resume_training`, `evaluate_run`),
`runs.planning` (what it would cost) and `runs.watching` (look on). So do supernets (`runs.supernets`) and what they say of
architectures (`runs.scoring`). `runs.stages` carries out methods whose stages are runs themselves.
"""

from frugalnas.runs.budget import Budget
from frugalnas.runs.callbacks import Callback, Progress
from frugalnas.runs.executors import Executor, ProcessExecutor, SerialExecutor
from frugalnas.runs.folder import RunFolder, accept_config, list_runs, restore_config
from frugalnas.runs.ledger import Ledger, Query
from frugalnas.runs.loop import load_search, resume, search
from frugalnas.runs.replay import replay
from frugalnas.runs.result import SearchResult

__all__ = [
    "Budget",
    "Callback",
    "Executor",
    "Ledger",
    "ProcessExecutor",
    "Progress",
    "Query",
    "RunFolder",
    "SearchResult",
    "SerialExecutor",
    "accept_config",
    "list_runs",
    "load_search",
    "replay",
    "restore_config",
    "resume",
    "search",
]
