"""How a search is carried through: a strategy asks, an evaluator answers, the journal remembers.

- `search`: goes on until the budget is spent; `SearchResult` is what comes out. `resume` continues a run to the same journal as if
  it had never been interrupted, `load_search` reads it.
- `Budget`: how much may be spent. `SerialExecutor`, `ProcessExecutor`: where evaluations happen. `rounds` tells answers in the
  order asked, `arrivals` as they come; both on the same `loop`.
- `Ledger`, `Query`: what was paid for. `runs.progress.Callback`: looks on, as at any run.
- `replay`: the rounds of a run of WeakNAS or NPENAS seen again, from its journal.

What answers a search besides tables lives in `searches.supernet_scores` and `searches.untrained` (networks that nobody has
trained); `searches.scoring` is what they have in common.
"""

from frugalnas.searches.budget import Budget
from frugalnas.searches.executors import Executor, ProcessExecutor, SerialExecutor
from frugalnas.searches.ledger import Ledger, Query
from frugalnas.searches.replay import replay
from frugalnas.searches.result import SearchResult
from frugalnas.searches.run import load_search, resume, search

__all__ = [
    "Budget",
    "Executor",
    "Ledger",
    "ProcessExecutor",
    "Query",
    "SearchResult",
    "SerialExecutor",
    "load_search",
    "replay",
    "resume",
    "search",
]
