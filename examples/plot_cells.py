"""
An architecture
===============

A space decides how its architectures are drawn. DARTS has two cells, MobileNet has a strip of blocks.
"""

from frugalnas.cli import main

main(["draw", "RelativeNAS", "--space", "darts", "--out", "relativenas"])

# %%
# The layers of a network are blocks. Their colour is their kind.

main(["draw", "RLNAS_mobile", "--space", "mobilenet", "--out", "rlnas"])
