"""What can be built: search spaces, in which an architecture is a row of small integers.

A space fixes how many genes a row has and which values each gene may take. Sampling, mutation, validity, canonical
form, encodings and counts are functions from a code matrix `[n, genes]` to another array. A new space writes `allowed`,
`valid`, `format` and `parse`; everything else has a default built on them. A space also carries the sizes of its networks
(width, input size, classes): a space and a code are a network.

- `SearchSpace`: the contract; `Architecture`: a code of one, and what to call it.
- `NASBench101`: cells of up to seven vertices and nine edges, 423,624 in all.
- `NASBench201`: cells of six edges with five operations, 15,625 in all.
- `FactoredSpace`: independent choices whose costs add up, sampled uniformly under any budget.
- `DARTS`: a normal and a reduction cell of four nodes; `Genotype` is how its papers write them.
- `LayerSpace`: one choice of block for each layer, and what it is made for: `MobileNet` (ProxylessNAS, RLNAS, ABS),
  `FairNAS`, `ShuffleNet` (Single Path One-Shot), `ResNet`.
- `OnceForAll`: MobileNetV3 with elastic kernels, expansions and depths.
- `known`: published architectures by name.
- `Operators`: its choices by name, at the places where they may stand.
- `Population`: a code matrix that remembers its encodings.
- `distances` and `collisions`: how far apart architectures are under an encoding, and how well it tells them apart.
- `Graphs`: the same architectures as directed graphs with an operation at each vertex.
"""

from frugalnas.spaces.arrays import BoolArray, Codes, FloatArray, Graphs, IntArray
from frugalnas.spaces.base import Architecture, SearchSpace
from frugalnas.spaces.darts import DARTS
from frugalnas.spaces.factored import FactoredSpace
from frugalnas.spaces.genotype import Genotype
from frugalnas.spaces.known import KNOWN, KnownArchitecture, known
from frugalnas.spaces.layerwise import FairNAS, LayerSpace, MobileNet, ResNet, ShuffleNet
from frugalnas.spaces.nasbench101 import NASBench101
from frugalnas.spaces.nasbench201 import NASBench201
from frugalnas.spaces.once_for_all import OnceForAll
from frugalnas.spaces.operators import Operators
from frugalnas.spaces.population import Distinct, Population

__all__ = [
    "DARTS",
    "KNOWN",
    "Architecture",
    "BoolArray",
    "Codes",
    "Distinct",
    "FactoredSpace",
    "FairNAS",
    "FloatArray",
    "Genotype",
    "Graphs",
    "IntArray",
    "KnownArchitecture",
    "LayerSpace",
    "MobileNet",
    "NASBench101",
    "NASBench201",
    "OnceForAll",
    "Operators",
    "Population",
    "ResNet",
    "SearchSpace",
    "ShuffleNet",
    "known",
]
