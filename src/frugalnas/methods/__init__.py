"""One page per paper: each method as a sentence in the language of the other folders.

- `methods.presets`: strategies with the settings of their papers: WeakNAS, NPENAS and its variants, with encoders pre-trained
  without accuracies (SSNENAS) or with a perfect predictor (a study), and BANANAS, the baseline that they compare with.
- `methods.rlnas`, `methods.spos`, `methods.fairnas`, `methods.abs`: methods that train supernets and so need torch; `RLNAS.run`
  carries one out. The first three differ in their recipes alone (`methods.one_shot`).

What such methods share is written once: `methods.parts` (supernet, score, search, retraining), of which a page says how they follow
from each other; `methods.method`, which fits recipe, images and space to each other (`ImageMethod`, `settle`); `methods.spaces`,
`methods.recipe` (`load_method_recipe`, `method_recipes`), `methods.plan`, `methods.conclusion` (`best_of`), and
`methods.kind`, the run (`MethodResult`, `load_method`).
"""

from frugalnas.methods.recipe import MethodRecipe, load_method_recipe, method_recipes

__all__ = ["MethodRecipe", "load_method_recipe", "method_recipes"]
