"""What a predictor is fitted to: the values as they come, or what makes them easier to learn.

| name | label |
| --- | --- |
| `rank` | normal scores of the ranks; only the order of the values matters |
| `standard` | values minus their mean, over their deviation |
| `raw` | the values themselves |

Only the values queried so far go in, never a table's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frugalnas.predictors.base import normal_scores

Labels = Literal["rank", "standard", "raw"]


LABELS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "rank": normal_scores,
    "standard": lambda values: (values - values.mean()) / max(float(values.std()), 1e-12),
    "raw": np.asarray,
}
