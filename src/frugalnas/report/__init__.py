"""What a person sees: numbers, tables and pictures, made from runs at any time.

Nothing is imported here: a page needs few of its neighbours, and each of these has its own libraries.

- `searches`: what a search found (`Summary`), its place in the table, its cost; `search_page` adds the pictures.
- `comparisons`: a comparison as Markdown, Parquet and figures (`comparison_table`, `comparison_report`), of predictors likewise
  (`assessment_table`, `assessment_report`); `landscapes`: what lies in a search space.
- `pareto`: the Pareto front of a run (`read_fronts`, `front_figure`), and how it grew (`hypervolume_figure`).
- `dynamics_figures`: the iterations of a WeakNAS run (`read_dynamics` of `dynamics`) held against its table
  (`dynamics_figure`), over an embedding of the space (`embedding_figure`); `dynamics_report` writes both.
- `architectures`: any architecture (`draw_architecture`): two cells (`draw_genotype`), a strip of layers (`draw_layers`), or a
  graph (`draw_cell` of `cells`, arranged by `layout`).
- `training`: what a training came to, as a page (`training_report`) with the figures of `training_figures`.
- `correlations` and `rankings`: how well scores of supernets rank a table; `methods`: the page of a method's run;
  `operators`: what a method dropped of its space.
- `curves`: `regret_curves`, `optimum_found`, `search_progress`.
- `style`: how all of them look, and any of them as SVG and PNG (`save_figure`).
"""

__all__ = [
    "architectures",
    "cells",
    "comparisons",
    "correlations",
    "curves",
    "dynamics",
    "dynamics_figures",
    "landscapes",
    "layout",
    "methods",
    "operators",
    "pareto",
    "rankings",
    "searches",
    "style",
    "training",
    "training_figures",
]
