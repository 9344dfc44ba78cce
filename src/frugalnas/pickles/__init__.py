"""How pickles that others wrote are read: plain data only, nothing that they ask for is executed.

- `read_pickle`: the object in a pickle. `read_pickles`: those of several, one behind the other. `read_torch`: the object in
  a file of torch.save, without its tensors' data.
- `Opaque`: what stands where a pickle has something that is not plain data.

`unpickler` is Python's own with a list of what it may do and name (`objects`), over a stream (`source`); `memo` bounds what
it remembers.
"""

from frugalnas.pickles.objects import Opaque
from frugalnas.pickles.reading import read_pickle, read_pickles, read_torch

__all__ = ["Opaque", "read_pickle", "read_pickles", "read_torch"]
