"""The split of tokens over replicas."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class Routes:
    """
    Where a placement's experts are, traced once.

    `placed` is int64 [num_layers, num_slots], -1 in an empty slot; slot p is on
    GPU p // (num_slots // num_gpus). One object may be used by several threads.
    """

    def __init__(self, placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], num_experts: int, num_gpus: int) -> None: ...

    def split(self, load: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], speed: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_sweeps: int = 1, most_searches: int = 9223372036854775807) -> tuple[Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))], Annotated[NDArray[numpy.float64], dict(shape=(None, None))]]:
        """
        Split loads so that the largest load of a GPU over its speed is least.

        `load` is float64 [num_scenarios, num_layers, num_experts], finite and at least 0, and
        0 for experts without a slot; `speed` is float64 [num_gpus], above 0. `num_sweeps` of
        least squares come first, then at most `most_searches` a layer for augmenting paths.

        Returns weights, float64 [num_scenarios, num_layers, num_slots], each slot's share of
        its expert's tokens, and the level that no split is below, up to rounding, float64
        [num_scenarios, num_layers].
        """
