"""What a person sees: numbers, tables and pictures, made from runs at any time.

- `summarise`: what a run found, its place in the table, its cost; `run_report` adds the pictures.
- `comparison_numbers`, `comparison_table`, `comparison_report`: a comparison as data, Markdown, Parquet and figures.
- `front_figure`, `hypervolume_figure`: the Pareto front of a run (`read_fronts`), and how it grew.
- `draw_cell`: an architecture as a layered graph. `regret_curves`, `optimum_found`, `search_progress`: curves.
- `save_figure`: any of them as SVG and PNG.
"""

from frugalnas.report.cells import draw_cell
from frugalnas.report.comparisons import comparison_numbers, comparison_report, comparison_table
from frugalnas.report.curves import optimum_found, regret_curves, search_progress
from frugalnas.report.pareto import Fronts, front_figure, hypervolume_figure, read_fronts
from frugalnas.report.runs import Summary, run_report, summarise
from frugalnas.report.style import save_figure

__all__ = [
    "Fronts",
    "Summary",
    "comparison_numbers",
    "comparison_report",
    "comparison_table",
    "draw_cell",
    "front_figure",
    "hypervolume_figure",
    "optimum_found",
    "read_fronts",
    "regret_curves",
    "run_report",
    "save_figure",
    "search_progress",
    "summarise",
]
