"""Published expert-parallel load balancing heuristics and our greedy in the compiled core.

Arrays in, arrays out; tensors in, tensors out. Importing costs numpy alone:
torch, triton and the core are imported by the first call that needs them.
"""

from heuristics import greedy_numpy, greedy_triton
from heuristics.errors import MissingDependency
from heuristics.heap_lpt import cpu_lpt
from heuristics.table import HEURISTICS

__all__ = ["HEURISTICS", "MissingDependency", "cpu_lpt", "greedy_numpy", "greedy_triton"]
