"""What can be built: search spaces, in which an architecture is a row of small integers.

A space fixes how many genes a row has and which values each gene may take. Sampling, mutation, validity, canonical
form, encodings and counts are functions from a code matrix `[n, genes]` to another array. A new space writes `allowed`,
`valid`, `format` and `parse`; everything else has a default built on them.

- `SearchSpace`: the contract.
- `NASBench101`: cells of up to seven vertices and nine edges, 423,624 in all.
- `NASBench201`: cells of six edges with five operations, 15,625 in all.
- `Population`: a code matrix that remembers its encodings.
- `distances` and `collisions`: how far apart architectures are under an encoding, and how well it tells them apart.
- `Graphs`: the same architectures as directed graphs with an operation at each vertex.
"""

from frugalnas.spaces.base import BoolArray, Codes, FloatArray, Graphs, IntArray, SearchSpace
from frugalnas.spaces.nasbench101 import NASBench101
from frugalnas.spaces.nasbench201 import NASBench201
from frugalnas.spaces.population import Distinct, Population

__all__ = [
    "BoolArray",
    "Codes",
    "Distinct",
    "FloatArray",
    "Graphs",
    "IntArray",
    "NASBench101",
    "NASBench201",
    "Population",
    "SearchSpace",
]
