"""A whole space through a GIN, each distinct neighbourhood computed once, against every vertex on its own; and a training step.

    python benchmarks/whole_space_gin.py              # or nasbench201

Three layers of 32 features and a head of 16 hidden units, one thread. The tables of neighbourhoods are made once for a space
and kept in the cache; here they are made anew. Times are the least of the repeats, since other programs can only add to them.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import frugalnas as fn
from frugalnas.encoders import GINEncoder, GraphTensors, SharedVertices, graph_tensors
from frugalnas.spaces import Population

BLOCK = 4_096
SPACES = {"nasbench101": fn.NASBench101, "nasbench201": fn.NASBench201}


def least(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


@torch.inference_mode()
def dense(encoder: GINEncoder, head: nn.Module, graphs: GraphTensors) -> Tensor:
    return torch.cat([head(encoder(graphs.take(slice(at, at + BLOCK)))) for at in range(0, len(graphs), BLOCK)])


def ranking(population: Population, directions: str) -> None:
    started = time.perf_counter()
    tables = SharedVertices(population.graphs, 3, directions)
    made = time.perf_counter() - started
    graphs = graph_tensors(population)
    encoder = GINEncoder(graphs.kinds, directions=directions)
    encoder(graphs.take(torch.randperm(len(graphs))[:1_000]))
    encoder.eval()
    first, rest = nn.Linear(32, 16), nn.Sequential(nn.ReLU(), nn.Linear(16, 1))

    @torch.inference_mode()
    def shared() -> Tensor:
        return rest(tables.embed(encoder, first))

    whole = nn.Sequential(first, rest)
    each, once = least(lambda: dense(encoder, whole, graphs), 3), least(shared, 10)
    difference = float((dense(encoder, whole, graphs) - shared()).abs().max())
    print(
        f"{population.space.name}, {len(population):,} architectures, edges read: {directions}\n"
        f"  distinct neighbourhoods after each layer: {', '.join(f'{n:,}' for n in tables.colours)} "
        f"of {tables.members.numel():,} vertices; {tables.told_apart:,} architectures told apart\n"
        f"  tables {made:.2f} s, once; every vertex {each:.2f} s; shared {once:.3f} s, "
        f"{each / once:.0f} times faster; largest difference {difference:.1e}",
        flush=True,
    )


def training_step(population: Population, directions: str, n: int) -> float:
    """Milliseconds of forward, backward and Adam on n graphs."""
    rows = np.random.default_rng(0).choice(len(population), n, replace=False)
    graphs, targets = graph_tensors(population.take(rows)), torch.randn(n)
    encoder, head = GINEncoder(graphs.kinds, directions=directions), nn.Linear(32, 1)
    adam = torch.optim.Adam([*encoder.parameters(), *head.parameters()], fused=True)

    def steps() -> None:
        for _ in range(100):
            adam.zero_grad()
            ((head(encoder(graphs)).squeeze(1) - targets) ** 2).mean().backward()
            adam.step()

    return 10 * least(steps, 10)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    space = SPACES[sys.argv[1] if len(sys.argv) > 1 else "nasbench101"]()
    population = Population(space, space.enumerate())
    for directions in ("in", "both"):
        ranking(population, directions)
        said = [f"{n} graphs {training_step(population, directions, n):.2f} ms" for n in (10, 64, 128)]
        print(f"  forward, backward and Adam: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
