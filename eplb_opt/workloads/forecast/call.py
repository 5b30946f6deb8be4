"""`eplb_opt.forecast`: the balancedness that a serving step will see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.dispatch.call import Dispatcher
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem.arrays import as_int, as_numpy
from eplb_opt.workloads.forecast.bursts import Bursts
from eplb_opt.workloads.forecast.draws import Draws
from eplb_opt.workloads.forecast.gpu_loads import GpuLoads
from eplb_opt.workloads.forecast.hosts import DISPATCHES, DRAWN, Hosts, live_gpus
from eplb_opt.workloads.forecast.largest import inverse_of_largest
from eplb_opt.workloads.forecast.simulate import simulated
from eplb_opt.workloads.forecast.split import Splitter
from eplb_opt.workloads.forecast.step_time import StepTime, step_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.step_cost import StepCost

#: Mean and variance of one over the largest load, and the standard error of the mean.
Figures = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What steps see of a plan. One batch size gives [num_layers], several [num_batches, ...].

    1 - balancedness is the sum of the parts.

    Parameters
    ----------
    balancedness
        float64 [.., num_layers], mean over largest GPU load of a step, expected. It is the mean of
        the ratio, which is what SGLang logs; one over the mean of the largest load is lower, by
        0.0004 at 64 tokens and 8 experts a token on 32 GPUs, and by less in larger steps.
    plan_part
        float64 [num_layers], what the plan loses on the mean of the load: all that endless batches
        lose.
    noise_part
        float64 [.., num_layers], what chance takes on top, as every step draws its experts anew.
        Where one GPU is far above the others it can be slightly below 0.
    burst_part
        The same of traffic that varies from step to step beyond chance; None without steps.
    std
        float64 [.., num_layers], the standard deviation of a step's balancedness.
    error
        float64 [.., num_layers], the standard error of `balancedness` by sampling; 0 where it is
        computed.
    dispersion
        float64 [num_layers], how many times as much as by chance the recorded steps vary, in
        squares; None without steps.
    step_tokens
        Tokens of a recorded step, over all GPUs, the median; None without steps.
    batch_tokens, experts_per_token, dispatch
        What was asked.
    messages
        What was taken otherwise than asked, in sentences.
    step_seconds, mean_seconds
        float64 [.., num_layers], the seconds that a layer's slowest GPU, and its GPUs on average,
        are expected to take; None without a cost.
    """

    balancedness: np.ndarray
    plan_part: np.ndarray
    noise_part: np.ndarray
    burst_part: np.ndarray | None
    std: np.ndarray
    error: np.ndarray
    dispersion: np.ndarray | None
    step_tokens: float | None
    batch_tokens: tuple[int, ...]
    experts_per_token: int
    dispatch: str
    messages: tuple[str, ...] = ()
    step_seconds: np.ndarray | None = None
    mean_seconds: np.ndarray | None = None


def forecast(
    load: Any,
    plan: Any,
    num_gpus: int | None = None,
    batch_tokens: int | Sequence[int] = 256,
    experts_per_token: int = 8,
    dispatch: str = "uniform",
    *,
    num_nodes: int = 1,
    gpu_speed: Any = None,
    steps: Any = None,
    cost: StepCost | None = None,
    simulate: int = 0,
    seed: int = 0,
) -> Forecast:
    """Forecast the balancedness of a step whose tokens draw their experts from recorded loads.

    Every GPU brings equally many tokens, and each token goes to so many different experts, each as
    often as it was recorded. The expected largest GPU load follows from the distribution of each
    GPU's load, see `gpu_loads` and `largest`: off by 0.0015 of balancedness at most against
    simulation at 64 tokens a GPU and more. Under optimal dispatch steps are sampled, see
    `split`.

    Parameters
    ----------
    load
        Recorded tokens, finite and at least 0, [num_layers, num_experts].
    plan
        A Plan, or [num_layers, num_slots] logical ids with -1 for an empty slot; then `num_gpus`
        is needed. A GPU without any expert is lost and sends no tokens.
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    batch_tokens
        Tokens of a GPU in a step; or several numbers.
    experts_per_token
        Experts that a token goes to in a layer.
    dispatch
        "uniform": each step's tokens of an expert are split into equal parts. "drawn": each token
        takes a replica at random, as in vLLM and under SGLang's dynamic dispatch. "nearest": each
        GPU has one replica that it sends to, SGLang's static dispatch. "rank_modulo": as
        vllm-ascend. "optimal": the split that makes the largest GPU load of the step least.
        "optimal_drawn": each token takes a replica at random, with the shares of that split, as
        under SGLang's lp.
    num_nodes
        Nodes, for "nearest".
    gpu_speed
        [num_gpus], above 0: a GPU's load counts divided by its speed.
    steps
        Recorded steps, [num_steps, num_layers, num_experts], two or more: what they vary beyond
        chance is forecast too. A step in service is taken to vary as they do, so they should be of
        about its size.
    cost
        What replicas cost for their tokens: the seconds of a step are forecast too, from 48
        simulated steps; bursts are not in them.
    simulate
        Steps to simulate, each drawn token by token in law, in place of the computation.
    seed
        Of the simulation's random numbers.

    Returns
    -------
    Forecast
        A layer without load has balancedness 1.

    Raises
    ------
    ProblemError
        For loads, batches or names that cannot be used.
    PlanError
        For what is no placement, or where an expert with load has no slot.
    """
    if dispatch not in DISPATCHES:
        raise ProblemError(f"dispatch={dispatch!r} is unknown; known: {', '.join(DISPATCHES)}.")
    weights = _loads(load, "load", 2)
    machine = _machine(plan, weights, num_gpus, gpu_speed)
    if num_nodes < 1 or machine.plan.num_gpus % num_nodes:
        raise ProblemError(
            f"{machine.plan.num_gpus} GPUs do not fill num_nodes={num_nodes} evenly; give a "
            "divisor."
        )
    top_k = as_int(experts_per_token, "experts_per_token", 1, weights.shape[1])
    sizes, is_one = _batches(batch_tokens)
    has_load = np.asarray(weights.any(axis=1))
    # A layer without load gets some, and then the figures of a layer without load.
    weights = np.where(has_load[:, None] | (machine.plan.logical_count == 0), weights, 1.0)
    hosts = Hosts.of(machine.plan, dispatch, num_nodes)
    sampler = _Sampler(machine, hosts, dispatch, seed, as_int(simulate, "simulate", 0))
    if cost is not None and cost.experts_per_token not in (None, top_k):
        raise ProblemError(
            f"experts_per_token={top_k}, but the cost is for {cost.experts_per_token}; give the "
            "same."
        )
    draws = Draws.of(weights, top_k)
    bursts = None if steps is None else _bursts(steps, weights, top_k)
    level = np.where(has_load, sampler.level(draws), 1.0)
    steady = [sampler.figures(draws, size) for size in sizes]
    shown = steady if bursts is None else [sampler.over(bursts, top_k, size) for size in sizes]
    calm, ratio, variance, error = (
        np.array([np.where(has_load, each[at], idle) for each in rows])
        for rows, at, idle in ((steady, 0, 1.0), (shown, 0, 1.0), (shown, 1, 0.0), (shown, 2, 0.0))
    )

    times = [] if cost is None else [sampler.time(draws, size, cost) for size in sizes]

    def pick(values: np.ndarray) -> np.ndarray:
        return np.asarray(values[0] if is_one else values)

    return Forecast(
        pick(ratio),
        1 - 1 / level,
        pick(1 / level - calm),
        None if bursts is None else pick(calm - ratio),
        pick(np.sqrt(variance)),
        pick(error),
        None if bursts is None else bursts.dispersion,
        None if bursts is None else bursts.step_tokens,
        sizes,
        top_k,
        dispatch,
        _messages(draws, has_load),
        pick(np.array([each.slowest for each in times])) if times else None,
        pick(np.array([each.mean for each in times])) if times else None,
    )


@dataclass(frozen=True, eq=False)
class _Machine:
    """A plan and the speeds of its GPUs, 0 for lost ones."""

    plan: Plan
    speed: np.ndarray

    @property
    def num_live(self) -> int:
        return int((self.speed > 0).sum())


class _Sampler:
    """One plan under one dispatch: figures of any draws and batch sizes."""

    def __init__(
        self, machine: _Machine, hosts: Hosts, dispatch: str, seed: int, num_steps: int
    ) -> None:
        self.machine, self.hosts, self.seed, self.num_steps = machine, hosts, seed, num_steps
        self.law = DISPATCHES[dispatch].law
        is_optimal = DISPATCHES[dispatch].is_optimal
        self.splitter = Splitter(hosts, machine.speed) if is_optimal else None

    def level(self, draws: Draws) -> np.ndarray:
        """Largest over mean GPU load of the mean load, float64 [num_layers]."""
        if self.splitter is not None:
            return np.asarray(self.splitter.levels(draws.rate[None])[0])
        hosts, speed = self.hosts, self.machine.speed
        mean = hosts.per_gpu(hosts.share * draws.rate[hosts.layer, hosts.expert])
        level = draws.experts_per_token * np.where(speed > 0, speed, np.inf) / speed.sum()
        return np.asarray((mean / level).max(axis=1))

    def figures(self, draws: Draws, batch_tokens: int, step_idx: int | None = None) -> Figures:
        """Those of steps whose tokens are drawn alike; `step_idx` is the one of many of them."""
        num_tokens = batch_tokens * self.machine.num_live
        if self.num_steps:
            ratio = simulated(
                draws, self.hosts, self.law, self.splitter, batch_tokens,
                self.machine.speed, self.num_steps, self.seed,
            )  # fmt: skip
            error = ratio.std(axis=0) / np.sqrt(len(ratio))
            return ratio.mean(axis=0), ratio.var(axis=0), error
        if self.splitter is not None:
            found = self.splitter.expected(
                draws,
                num_tokens,
                self.seed + (step_idx or 0),
                is_drawn=self.law == DRAWN,
                is_one_of_many=step_idx is not None,
            )
            return found.mean, found.variance, found.error
        loads = GpuLoads.of(draws, self.hosts, self.law, num_tokens, self.machine.speed)
        inverse = inverse_of_largest(loads.mean, loads.deviation, loads.skewness, loads.shared)
        return inverse.mean, inverse.variance, np.zeros(len(inverse.mean))

    def time(self, draws: Draws, batch_tokens: int, cost: StepCost) -> StepTime:
        """Seconds of steps whose tokens are drawn alike."""
        speed, num_tokens = self.machine.speed, batch_tokens * self.machine.num_live
        return step_time(
            draws, self.hosts, self.law, self.splitter, num_tokens, speed, cost, self.seed
        )

    def over(self, bursts: Bursts, experts_per_token: int, batch_tokens: int) -> Figures:
        """Those of steps that vary as recorded ones do."""
        found = [
            self.figures(Draws.of(load, experts_per_token), batch_tokens, step_idx)
            for step_idx, load in enumerate(bursts.load)
        ]
        mean, variance, error = (np.array(each) for each in zip(*found, strict=True))
        whole = variance.mean(axis=0) + mean.var(axis=0)
        return mean.mean(axis=0), whole, np.sqrt((error**2).sum(axis=0)) / len(error)


def _machine(plan: Any, load: np.ndarray, num_gpus: int | None, gpu_speed: Any) -> _Machine:
    found = Dispatcher.of(plan, num_gpus=num_gpus, gpu_speed=gpu_speed)
    num_layers, num_experts = load.shape
    placed = found.plan
    if placed.num_layers != num_layers:
        raise ProblemError(
            f"load has {num_layers} layers, the plan {placed.num_layers}; both must be of one "
            "model."
        )
    if placed.num_experts > num_experts:
        raise ProblemError(
            f"load has {num_experts} experts a layer; the plan's ids need {placed.num_experts}."
        )
    placed = Plan(placed.physical_to_logical, placed.num_gpus, num_experts)
    homeless = np.argwhere((placed.logical_count == 0) & (load > 0))
    if len(homeless):
        layer_idx, expert = homeless[0].tolist()
        raise PlanError(
            f"Layer {layer_idx}: expert {expert} has load {load[layer_idx, expert]:g} and no slot. "
            "Give it one, or no load."
        )
    return _Machine(placed, np.where(live_gpus(placed), found.gpu_speed, 0.0))


def _loads(values: Any, name: str, num_axes: int) -> np.ndarray:
    found = np.ascontiguousarray(as_numpy(values, name), dtype=np.float64)
    if found.ndim != num_axes or not found.size:
        shape = "[num_layers, num_experts]" if num_axes == 2 else "[num_steps, num_layers, ...]"
        more = "; sum its snapshots, and give them as steps=" if found.ndim == 3 else ""
        raise ProblemError(f"{name} has shape {list(found.shape)}; it must be {shape}{more}.")
    if found.min() < 0 or not np.isfinite(found.sum()):
        raise ProblemError(
            f"{name} ranges from {found.min():g} to {found.max():g} and sums to {found.sum():g}; "
            "tokens are finite and at least 0."
        )
    return found


def _batches(batch_tokens: Any) -> tuple[tuple[int, ...], bool]:
    is_one = np.ndim(batch_tokens) == 0
    given = [batch_tokens] if is_one else list(batch_tokens)
    if not given:
        raise ProblemError("batch_tokens is empty; give the tokens of a GPU in a step.")
    return tuple(as_int(value, "batch_tokens") for value in given), is_one


def _bursts(steps: Any, load: np.ndarray, experts_per_token: int) -> Bursts:
    found = _loads(steps, "steps", 3)
    if len(found) < 2 or found.shape[1:] != load.shape:
        raise ProblemError(
            f"steps has shape {list(found.shape)}; two or more steps of {list(load.shape)} loads "
            "are needed to tell how far steps vary."
        )
    return Bursts.of(found, load, experts_per_token)


def _messages(draws: Draws, has_load: np.ndarray) -> tuple[str, ...]:
    odd = np.flatnonzero(draws.is_independent & has_load)
    if not len(odd):
        return ()
    top_k, layer_idx = draws.experts_per_token, int(odd[0])
    share = draws.rate[layer_idx].max() / top_k
    return (
        f"in {len(odd)} of {len(has_load)} layers an expert has more of the assignments than the "
        f"{100 / top_k:.3g} % that {top_k} different experts a token allow ({100 * share:.3g} % in "
        f"layer {layer_idx}); there every assignment is taken for drawn by itself. Check "
        "experts_per_token.",
    )
