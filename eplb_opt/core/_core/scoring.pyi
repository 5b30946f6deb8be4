"""What a placement is worth, exactly."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


def least_levels(load: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], placed: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)], rate: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], tokens: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')], is_tight: Annotated[NDArray[numpy.bool_], dict(shape=(None, None), order='C', device='cpu')]) -> None:
    """
    Find the sets of GPUs that prove the least largest load over rate of every layer.

    `load` is int64 [num_layers, num_experts], `placed` int64 [num_layers, num_slots] with
    -1 for an empty slot, `rate` int64 [num_gpus]. Written are `is_tight`, bool
    [num_layers, num_gpus], and `tokens`, int64 [num_layers], of the experts that stand
    on such GPUs alone; -1 where the integers would not fit, and nothing is known.
    """

def deal(state: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order='C', device='cpu', writable=False)], left: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], odd: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], count: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], start: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], extra: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')]) -> None:
    """
    Deal the odd senders of experts to their replicas, as Python's `random` draws them.

    `state` is uint32 [625], the second entry of `random.Random(seed).getstate()`. For
    each expert, int64 [num_experts], `left` are the senders to be dealt, `odd` those of
    them beyond equally many a replica, `count` the replicas and `start` the place of the
    first. Written is `extra`, int64 [num_replicas] of zeros: 1 for a replica that gets
    one. Taken from the sequence is what `sample(range(count), odd)` and `shuffle` of a
    list of `left` take.
    """
