"""
The landscape of a table
========================

Architectures that are one edit apart have similar accuracies. The picture says how fast this ends with distance.
"""

from frugalnas.cli import main

main(["landscape", "--sample", "400", "--out", "landscape"])
