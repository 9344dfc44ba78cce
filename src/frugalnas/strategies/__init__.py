"""What to try next: search strategies, which are asked for architectures and told what they are worth.

A strategy knows its space and what it was told, nothing else: not who evaluates, not the budget, never a test metric. A
new one overrides `propose`.

- `RandomSearch`: distinct networks, uniformly.
- `Evolution`: tournament selection, the worst dies. `RegularizedEvolution`: the oldest dies.
- `GeneticSearch`: generations of children of the best so far; `genetic_paper` with a paper's settings.
- `LocalSearch`: one edit at a time, uphill, with restarts.
- `WeakNAS`: refit a weak predictor on everything known, evaluate what it likes best, again.
- `NPENAS`: evolution whose children a predictor ranks before any is evaluated.

Some take `costs` that are minimised beside the value; `pareto` has what that needs, `objectives` the names people use.
"""

from frugalnas.strategies.base import Strategy
from frugalnas.strategies.evolution import Evolution, RegularizedEvolution
from frugalnas.strategies.genetic import GeneticSearch, genetic_paper
from frugalnas.strategies.local_search import LocalSearch
from frugalnas.strategies.npenas import NPENAS
from frugalnas.strategies.random_search import RandomSearch
from frugalnas.strategies.weaknas import WeakNAS

__all__ = [
    "NPENAS",
    "Evolution",
    "GeneticSearch",
    "LocalSearch",
    "RandomSearch",
    "RegularizedEvolution",
    "Strategy",
    "WeakNAS",
    "genetic_paper",
]
