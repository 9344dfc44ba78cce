"""What does an architecture look like to a network? Graphs become vectors, before any accuracy is known.

- `graph_tensors`, `GraphTensors`: architectures as batched dense tensors.
- `GINEncoder`: the graph isomorphism network of NPENAS and SSNENAS, one vector for each architecture.
- `BidirectionalGCN`, `GlobalVertexGCN`: the graph convolutional networks of Neural Predictor and BRP-NAS.
- `embed`: a GIN's vectors for any population, a whole space in a fraction of a second; `shared_vertices`, `SharedVertices`: the
  tables that this takes, in which each neighbourhood stands once.
- `cached_encoder`: pre-trained on the architectures of a space alone, by `PretrainingRecipe`; `load_encoder` reads it, and
  those of `frugalnas pretrain`, with their `EncoderCard`.
"""

from frugalnas.encoders.cached import cached_encoder
from frugalnas.encoders.gcn import BidirectionalGCN, GlobalVertexGCN
from frugalnas.encoders.gin import GINEncoder
from frugalnas.encoders.graphs import GraphTensors, graph_tensors
from frugalnas.encoders.recipe import TASKS, PretrainingRecipe
from frugalnas.encoders.saved import EncoderCard, load_encoder, save_encoder
from frugalnas.encoders.sharing import SharedVertices, embed, shared_vertices

__all__ = [
    "TASKS",
    "BidirectionalGCN",
    "EncoderCard",
    "GINEncoder",
    "GlobalVertexGCN",
    "GraphTensors",
    "PretrainingRecipe",
    "SharedVertices",
    "cached_encoder",
    "embed",
    "graph_tensors",
    "load_encoder",
    "save_encoder",
    "shared_vertices",
]
