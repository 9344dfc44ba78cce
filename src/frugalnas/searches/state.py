"""Where a search can be taken up again: a cache of its journal, and with a stateful evaluator more than that."""

from __future__ import annotations

from typing import Any

from frugalnas.evaluation import Evaluator
from frugalnas.runs.folder import RunFolder

STATE = "state/strategy.json"
TENSORS = "evaluator-{:09d}.safetensors"


def read_state(folder: RunFolder) -> dict[str, Any] | None:
    """The latest state, None where there is none of this configuration and journal."""
    state = folder.read_bound(STATE, "queries")
    return state if state is not None and "strategy" in state else None


def write_state(folder: RunFolder, state: dict[str, Any]) -> None:
    """Replace the state, whole or not at all; tensors of the evaluator go to a file of their own, which is there first."""
    given = dict(state.get("evaluator") or {})
    tensors = {name: given.pop(name) for name in list(given) if hasattr(given[name], "untyped_storage")}
    kept = TENSORS.format(state["queries"])
    if tensors:
        from frugalnas.tensors import write_tensors

        (folder.path / "state").mkdir(exist_ok=True)
        write_tensors(folder.path / "state" / kept, tensors, {})
    if "evaluator" in state:
        state = {**state, "evaluator": given, "tensors": bool(tensors)}
    folder.write_bound(STATE, state, state["queries"])
    for path in (folder.path / "state").glob("evaluator-*.safetensors"):
        if path.name != kept:
            path.unlink()


def restore_evaluator(folder: RunFolder, evaluator: Evaluator, state: dict[str, Any]) -> bool:
    """Whether the evaluator is as it was at the state; False where the state knows nothing of it."""
    if "evaluator" not in state:
        return False
    given = state["evaluator"]
    if state["tensors"]:
        from frugalnas.tensors import read_tensors

        path = folder.path / "state" / TENSORS.format(state["queries"])
        given = {**given, **read_tensors(path, f"remove {path.parent} to begin anew")[0]}
    evaluator.load_state_dict(given)
    return True
