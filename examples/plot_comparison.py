"""
A comparison of strategies
==========================

A comparison draws the regret over the queries, with intervals over the seeds.
Regret is the distance to the best value of the table.
It also draws the share of the seeds that have found the optimum.
"""

from frugalnas.cli import main

strategies = "random,regularized-evolution,local-search,weaknas"
main(["compare", strategies, "--queries", "100", "--seeds", "6", "--run-dir", "runs/comparison", "--quiet"])
