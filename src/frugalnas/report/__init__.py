"""What a person sees: numbers, tables and pictures, made from runs at any time.

- `summarise`: what a run found, its place in the table, its cost; `run_report` adds the pictures.
- `comparison_table`, `comparison_report`: a comparison as Markdown, Parquet and figures.
- `report.assessments`: predictors that are compared, likewise; `report.landscapes`: what lies in a search space.
- `front_figure`, `hypervolume_figure`: the Pareto front of a run (`read_fronts`), and how it grew.
- `dynamics_figure`, `embedding_figure`: the iterations of a WeakNAS run (`read_dynamics`) held against its table;
  `dynamics_report` writes both.
- `draw_architecture`: any architecture: two cells (`draw_genotype`), a strip of layers (`draw_layers`) or a graph
  (`draw_cell`).
- `training_report`: what a training came to, as a page with `learning_curves`, `confusion_matrix` and
  `class_accuracies`; `training_numbers` has the same as data.
- `report.correlations` and `report.rankings`: how well scores of supernets rank a table; `report.methods`: the page
  of a method's run.
- `regret_curves`, `optimum_found`, `search_progress`: curves.
- `save_figure`: any of them as SVG and PNG.
"""

from frugalnas.report.architectures import draw_architecture, draw_genotype, draw_layers
from frugalnas.report.cells import draw_cell
from frugalnas.report.comparisons import comparison_report, comparison_table
from frugalnas.report.curves import optimum_found, regret_curves, search_progress
from frugalnas.report.dynamics import Dynamics, Step, read_dynamics
from frugalnas.report.dynamics_figures import dynamics_figure, dynamics_report, embedding_figure
from frugalnas.report.embedding import Embedding
from frugalnas.report.pareto import Fronts, front_figure, hypervolume_figure, read_fronts
from frugalnas.report.runs import Summary, run_report, summarise
from frugalnas.report.style import save_figure
from frugalnas.report.training import training_numbers, training_report
from frugalnas.report.training_figures import class_accuracies, confusion_matrix, learning_curves

__all__ = [
    "Dynamics",
    "Embedding",
    "Fronts",
    "Step",
    "Summary",
    "class_accuracies",
    "comparison_report",
    "comparison_table",
    "confusion_matrix",
    "draw_architecture",
    "draw_cell",
    "draw_genotype",
    "draw_layers",
    "dynamics_figure",
    "dynamics_report",
    "embedding_figure",
    "front_figure",
    "hypervolume_figure",
    "learning_curves",
    "optimum_found",
    "read_dynamics",
    "read_fronts",
    "regret_curves",
    "run_report",
    "save_figure",
    "search_progress",
    "summarise",
    "training_numbers",
    "training_report",
]
