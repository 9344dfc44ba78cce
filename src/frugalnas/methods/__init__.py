"""One page per paper: each method as a sentence in the language of the other folders.

- `weaknas_paper`: WeakNAS with the settings of its paper.
"""

from frugalnas.methods.weaknas import weaknas_paper

__all__ = ["weaknas_paper"]
