"""How a search is carried through: the loop, the run folder, resuming, executors and comparisons.

- `search`: a strategy asks, an evaluator answers, until the budget is spent; `SearchResult` is what comes out.
- `Budget`: how much may be spent. `SerialExecutor`, `ProcessExecutor`: where evaluations happen.
- `RunFolder`: a run on disk; `resume` continues one to the same journal as if it had never been interrupted.
- `accept_config`, `restore_config`: what to do with a config.yaml that somebody edited.
- `replay`: the rounds of a run of WeakNAS seen again, from its journal.
- `compare`: strategies over seeds in parallel processes; `Comparison` has its statistics.
- `assess`: predictors that learn from the same few labels, judged on what they have not seen; `Assessment` has the
  statistics. `runs.landscape` looks at a table and its space without searching it.
- `Callback`, `Progress`: look on while a search runs.

Training an architecture from scratch needs torch and lives in `runs.training` (`train`, `resume_training`, `evaluate_run`),
`runs.planning` (what it would cost) and `runs.watching` (look on). So do supernets (`runs.supernets`), what they say of
architectures (`runs.scoring`) and how that is held against tables (`runs.correlating`). `runs.stages` carries out methods whose
stages are runs themselves.
"""

from frugalnas.runs.assessing import assess, load_assessment, resume_assessment
from frugalnas.runs.assessment import Assessment
from frugalnas.runs.budget import Budget
from frugalnas.runs.callbacks import Callback, Progress
from frugalnas.runs.comparing import compare, load_comparison, resume_comparison
from frugalnas.runs.comparison import Comparison
from frugalnas.runs.executors import Executor, ProcessExecutor, SerialExecutor
from frugalnas.runs.folder import RunFolder, accept_config, list_runs, restore_config
from frugalnas.runs.ledger import Ledger, Query
from frugalnas.runs.loop import load_search, resume, search
from frugalnas.runs.replay import replay
from frugalnas.runs.result import SearchResult

__all__ = [
    "Assessment",
    "Budget",
    "Callback",
    "Comparison",
    "Executor",
    "Ledger",
    "ProcessExecutor",
    "Progress",
    "Query",
    "RunFolder",
    "SearchResult",
    "SerialExecutor",
    "accept_config",
    "assess",
    "compare",
    "list_runs",
    "load_assessment",
    "load_comparison",
    "load_search",
    "replay",
    "restore_config",
    "resume",
    "resume_assessment",
    "resume_comparison",
    "search",
]
