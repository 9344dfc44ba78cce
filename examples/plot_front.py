"""
Accuracy against latency
========================

A search with two objectives draws the Pareto front that it found beside the table's own. It also draws how the hypervolume grew.
"""

from frugalnas.cli import main

main(["search", "--objectives", "accuracy,latency", "--queries", "60", "--run-dir", "runs/front", "--quiet"])
