"""One page per paper: each method as a sentence in the language of the other folders.

- `methods.presets`: strategies with the settings of their papers: WeakNAS, NPENAS and its variants, with encoders pre-trained
  without accuracies (SSNENAS) or with a perfect predictor (a study), and BANANAS, the baseline that they compare with.
- `methods.rlnas`: RLNAS, which trains supernets and so needs torch. `methods.launching` carries it out (`rlnas`,
  `resume_rlnas`, `load_method`), `methods.planning` says what it would cost (`plan_method`), `methods.recipe` has the settings
  of the papers (`load_method_recipe`, `method_recipes`).
"""

from frugalnas.methods.presets import weaknas_paper

__all__ = ["weaknas_paper"]
