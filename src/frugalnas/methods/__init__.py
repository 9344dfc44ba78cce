"""One page per paper: each method as a sentence in the language of the other folders.

- `weaknas_paper`: WeakNAS with the settings of its paper; `methods.weaknas` has one with a pre-trained predictor too.
- `methods.npenas`: NPENAS-NP and NPENAS-BO; `methods.npenas_oracle`: the study with a perfect predictor.
- `methods.ssnenas`: the same with encoders that were pre-trained without accuracies.
- `methods.bananas`: the baseline that both compare with.
- `methods.rlnas`: RLNAS, which trains supernets and so needs torch. `methods.launching` carries it out (`rlnas`,
  `resume_rlnas`, `load_method`), `methods.planning` says what it would cost (`plan_method`), `methods.recipe` has the settings
  of the papers (`load_method_recipe`, `method_recipes`).
"""

from frugalnas.methods.weaknas import weaknas_paper

__all__ = ["weaknas_paper"]
