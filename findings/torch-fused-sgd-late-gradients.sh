#!/usr/bin/env bash
# torch 2.14.1: SGD(momentum, fused=True) fails with a TypeError in the first step in which a weight receives a gradient later than
# another of its group, where foreach and the plain loop go on. In a single-path supernet that is every training: a batch
# trains the operations that were drawn, and the others have no gradient yet. fused Adam takes late gradients.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet torch==2.14.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)


def late(optimiser: type, **options: object) -> str:
    early, later = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    steps = optimiser([early, later], lr=0.1, **options)
    for step in range(2):
        steps.zero_grad()
        (early if step == 0 else early + later).sum().backward()
        try:
            steps.step()
        except TypeError as error:
            return f"step {step + 1}: TypeError: {error}"
    return "goes on"


said = {
    "SGD, plain": late(torch.optim.SGD, momentum=0.9, foreach=False),
    "SGD, foreach": late(torch.optim.SGD, momentum=0.9, foreach=True),
    "SGD, fused": late(torch.optim.SGD, momentum=0.9, fused=True),
    "SGD, fused, no momentum": late(torch.optim.SGD, fused=True),
    "Adam, fused": late(torch.optim.Adam, fused=True),
}
for how, outcome in said.items():
    print(f"{how}: {outcome}")
assert said.pop("SGD, fused").startswith("step 2: TypeError")
assert set(said.values()) == {"goes on"}
PYTHON
