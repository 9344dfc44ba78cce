"""
A search
========

A search draws the best cell that it found, and how the best value rose query by query.
"""

from frugalnas.cli import main

main(["search", "weaknas", "--queries", "60", "--run-dir", "runs/search", "--quiet"])
