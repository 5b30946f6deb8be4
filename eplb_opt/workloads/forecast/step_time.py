"""The seconds that the slowest GPU of a step takes, from simulated steps and a cost of replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.workloads.forecast.hosts import EVEN
from eplb_opt.workloads.forecast.simulate import Counts, dealt

if TYPE_CHECKING:
    from eplb_opt.problem.step_cost import StepCost
    from eplb_opt.workloads.forecast.draws import Draws
    from eplb_opt.workloads.forecast.hosts import Hosts
    from eplb_opt.workloads.forecast.split import Splitter

#: Steps that are simulated; whether a rare expert has a token is decided in whole tokens.
NUM_STEPS = 48


@dataclass(frozen=True, eq=False)
class StepTime:
    """Seconds of a layer in a step.

    Parameters
    ----------
    slowest, mean
        float64 [num_layers], expected, of the slowest GPU and of the GPUs on average; what a layer
        takes besides its experts is in both.
    """

    slowest: np.ndarray
    mean: np.ndarray


def step_time(
    draws: Draws,
    hosts: Hosts,
    law: str,
    splitter: Splitter | None,
    num_tokens: int,
    speed: np.ndarray,
    cost: StepCost,
    seed: int,
    num_steps: int = NUM_STEPS,
) -> StepTime:
    """Simulate steps and add up what their replicas cost.

    Replicas of an expert on one GPU count as one. Where GPUs send their tokens whole, each token is
    taken to draw its replica by the GPUs' shares.

    Parameters
    ----------
    draws, hosts, law, splitter
        As `simulate.simulated` takes them.
    num_tokens
        Tokens of a step, on all GPUs.
    speed
        float64 [num_gpus], 0 for a lost one; seconds are divided by it.
    cost
        Seconds of a replica for its tokens.
    seed, num_steps
        The seed of the random numbers, and how many steps are drawn.
    """
    source = np.random.default_rng(seed)
    drawn = Counts(draws).draw(num_tokens, num_steps, source)
    share = np.broadcast_to(hosts.share, (num_steps, len(hosts.gpu)))
    if splitter is not None:
        share = splitter.shares(drawn.astype(np.float64))
    here = drawn[:, hosts.layer, hosts.expert]
    tokens = _in_parts(here, hosts, share) if law == EVEN else dealt(here, hosts, share, source)
    live = speed > 0
    spent = hosts.per_gpu(cost.seconds(tokens))[..., live] / speed[live]
    slowest, mean = spent.max(axis=2).mean(axis=0), spent.mean(axis=(0, 2))
    return StepTime(slowest + cost.other_seconds, mean + cost.other_seconds)


def _in_parts(counts: np.ndarray, hosts: Hosts, share: np.ndarray) -> np.ndarray:
    """Whole tokens of each pair, as near to the shares as can be; pairs of an expert in a row."""
    key = hosts.layer * hosts.plan.num_experts + hosts.expert
    is_first = np.diff(key, prepend=-1) != 0
    ends = np.cumsum(share, axis=1)
    before = (ends - share)[:, is_first][:, np.cumsum(is_first) - 1]
    upto = np.rint((ends - before) * counts)
    previous = np.concatenate([np.zeros((len(upto), 1)), upto[:, :-1]], axis=1)
    return np.asarray(upto - np.where(is_first, 0, previous))
