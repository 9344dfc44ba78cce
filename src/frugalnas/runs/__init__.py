"""What every run is: a folder with its configuration and journal, a kind, and somebody who looks on.

- `RunFolder`: a run on disk; `list_runs` finds those in a folder.
- `accept_config`, `restore_config`: what to do with a config.yaml that somebody edited.
- `runs.kinds`: what a kind of run is to those who handle runs without knowing what they do; `runs.stages` carries out methods whose
  stages are runs themselves; `runs.progress` looks on.

What is carried out in such folders lives in `searches`, `trainings` and `studies`.
"""

from frugalnas.runs.folder import RunFolder, accept_config, list_runs, restore_config

__all__ = ["RunFolder", "accept_config", "list_runs", "restore_config"]
