"""What can be built? Codes become plain torch modules.

- `build`: the network of one architecture of a space.
- `weightless`: within it, networks have names and shapes and no numbers, and are made in a fraction of the time.
- `Skeleton`, `Block`: what all networks of a space share, and what each choice builds; a new space writes one.
- `LayerSkeleton`, `Stage`, `Place`: the same for chains with one block a gene (examples/macro_space.py writes one in a page);
  `MBConv`, `normed_conv`: what most of their blocks are made of.
- `count_network`, `cost_table`: parameters and multiply-adds of a module, and of every choice at once.
- `measure_latency`, `LatencyTable`: milliseconds of every block on this machine.
- `set_drop_path`: how often a path of a network is left out in training.
- `save_model`, `load`, `ModelCard`: a trained network on disk; `export`: as ONNX, torch.export program, safetensors.
"""

from frugalnas.networks.counting import NetworkCounts, StageCounts, cost_table, count_network
from frugalnas.networks.exporting import export
from frugalnas.networks.latency import LatencyTable, latency_table, measure_latency
from frugalnas.networks.layered import LayerNetwork, LayerSkeleton, Place, Stage, places
from frugalnas.networks.mobile_blocks import MBConv, normed_conv
from frugalnas.networks.models import ModelCard, card_of, load, save_model
from frugalnas.networks.operations import set_drop_path
from frugalnas.networks.skeleton import Block, Skeleton, build, skeleton_of
from frugalnas.networks.weightless import weightless

__all__ = [
    "Block",
    "LatencyTable",
    "LayerNetwork",
    "LayerSkeleton",
    "MBConv",
    "ModelCard",
    "NetworkCounts",
    "Place",
    "Skeleton",
    "Stage",
    "StageCounts",
    "build",
    "card_of",
    "cost_table",
    "count_network",
    "export",
    "latency_table",
    "load",
    "measure_latency",
    "normed_conv",
    "places",
    "save_model",
    "set_drop_path",
    "skeleton_of",
    "weightless",
]
