"""Processes in a gloo group, and what each of them does; imported by the children, too."""

import os
import time
from datetime import timedelta

import numpy as np

WEIGHT = np.random.default_rng(5).integers(1, 1000, (3, 24))
NUMBERS = (32, 1, 1, 8)
#: Seconds for ranks that answer, and for one that waits for a rank that will not.
PATIENT, IMPATIENT = 20.0, 1.0


def call(weight=WEIGHT, numbers=NUMBERS, **options):
    from eplb_opt.engines.distributed import rebalance_experts_distributed

    options = {"time_limit": 0.2, "timeout": PATIENT} | options
    maps = rebalance_experts_distributed(weight, *numbers, **options)
    return [np.asarray(m).tolist() for m in maps]


def each_has_its_own_loads(rank):
    return call(WEIGHT * (rank + 1) + rank)


def with_a_map_in_force(rank):
    return call(current=np.arange(32)[None, :].repeat(3, axis=0) % 24, time_limit=0.0)


def with_tensors(rank):
    import torch

    return call(torch.from_numpy(WEIGHT))


def shapes_differ(rank):
    return call(WEIGHT[: 3 - rank])


def only_one_has_a_map(rank):
    return call(current=np.full((3, 32), -1) if rank else None)


def loads_that_are_none(rank):
    return call(WEIGHT - 500)


def one_after_the_other(rank):
    """All that leaves the group whole, by name."""
    names = (
        "each_has_its_own_loads",
        "shapes_differ",
        "with_a_map_in_force",
        "only_one_has_a_map",
        "loads_that_are_none",
        "with_tensors",
    )
    return {name: outcome(name, rank) for name in names}


def the_other_never_calls(rank):
    if rank == 0:
        return call(timeout=IMPATIENT)
    time.sleep(3 * IMPATIENT)
    return None


def the_first_never_calls(rank):
    if rank == 1:
        return call(timeout=IMPATIENT)
    time.sleep(4 * IMPATIENT)
    return None


def the_other_dies_before(rank):
    if rank == 1:
        os._exit(0)
    return call()


def the_first_dies_planning(rank):
    if rank == 0:
        from eplb_opt.engines import distributed

        distributed.rebalance_experts = lambda *a, **k: os._exit(0)
    return call()


def the_other_dies_before_it_confirms(rank):
    if rank == 1:
        from eplb_opt.engines import distributed

        distributed._Ranks.confirm = lambda self: os._exit(0)
    return call()


def the_last_of_three_dies_before_it_confirms(rank):
    if rank == 2:
        from eplb_opt.engines import distributed

        distributed._Ranks.confirm = lambda self: os._exit(0)
    return call(timeout=2 * IMPATIENT)


def outcome(name, rank):
    """What came of it, the answer or the error's text, and the seconds it took."""
    began = time.monotonic()
    try:
        said = ("returned", globals()[name](rank))
    except Exception as error:
        said = (type(error).__name__, str(error))
    return *said, time.monotonic() - began


def run(name, rank, size, file, pipe):
    """The child: join the group, do as named, and report what came of it."""
    import torch.distributed

    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{file}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=30),
    )
    # One that dies while another still joins would spoil the joining, which is not tested here.
    (file.parent / f"{file.name}-{rank}").touch()
    while not all((file.parent / f"{file.name}-{other}").exists() for other in range(size)):
        time.sleep(0.01)
    pipe.send(outcome(name, rank))
    pipe.close()
    # After a failure the group is not fit for an orderly end.
    os._exit(0)
