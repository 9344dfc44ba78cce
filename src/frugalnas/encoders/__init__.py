"""What does an architecture look like to a network? Graphs become vectors, before any accuracy is known.

- `graph_tensors`, `GraphTensors`: architectures as batched dense tensors.
- `GINEncoder`: the graph isomorphism network of NPENAS and SSNENAS, one vector for each architecture.
"""

from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors, graph_tensors

__all__ = ["GINEncoder", "GraphTensors", "graph_tensors"]
