"""Published heuristics for expert-parallel load balancing, and our compiled greedy.

Arrays in, arrays out; tensors in, tensors out. This package knows nothing of `eplb_opt`, but for
its compiled core. Start with `table`: `HEURISTICS` has every heuristic by name, under the one call
that engines use. Each method is a module whose docstring names its source: `deepseek` (the
reference), `vectorized_lpt`, `swap_refine`, `replica_refine`, `waterfill_diverse`,
`cpu_lpt_slotted`, and `heap_lpt` for a problem without slots. `greedy` is ours, with twins in numpy
(`greedy_numpy`) and on the GPU (`greedy_triton`). `stages` has the steps that methods share,
`arguments` and `layout` the checks, `maps` the maps that a call returns.

Importing costs numpy alone: torch, triton and the core are imported by the first call that needs
them.
"""

from heuristics import greedy_numpy, greedy_triton
from heuristics.errors import MissingDependency
from heuristics.heap_lpt import cpu_lpt
from heuristics.table import HEURISTICS

__all__ = ["HEURISTICS", "MissingDependency", "cpu_lpt", "greedy_numpy", "greedy_triton"]
