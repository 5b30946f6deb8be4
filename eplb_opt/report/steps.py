"""What serving steps see of plans, at the batch sizes given: figures, advice, and their noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement.plan import as_plan
from eplb_opt.problem.step_cost import StepCost
from eplb_opt.report.step_advice import advice, time_advice
from eplb_opt.workloads.forecast import DISPATCHES, Forecast, forecast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eplb_opt.problem.problem import Problem

#: What steps see of plans for a split in parts: vLLM and SGLang do not divide the tokens of a step
#: so, they draw a replica for each.
SEEN = {"uniform": "drawn", "optimal": "optimal_drawn"}


@dataclass(frozen=True)
class Batch:
    """The size of a batch.

    Parameters
    ----------
    tokens
        Tokens of a GPU in a step, at least 1.
    experts_per_token
        Experts that a token goes to in every layer, at least 1.
    """

    tokens: int
    experts_per_token: int


@dataclass(frozen=True)
class BatchNoise:
    """How far the balancedness of a layer varies from one step to the next, by chance.

    Parameters
    ----------
    batch_tokens
        Tokens of a GPU in a step.
    std
        The standard deviation of a layer's balancedness, the mean over the layers.
    """

    batch_tokens: int
    std: float

    def mark(self, gap: float) -> str:
        """A star for a gap that is above 0 and smaller than that, else nothing."""
        return " *" if 0 < gap < self.std else ""

    @property
    def note(self) -> str:
        """What the star means."""
        return (
            f"* below the noise of {self.batch_tokens:,}-token batches: there the balancedness of "
            f"a layer varies by {100 * self.std:.2g} % from step to step"
        )


@dataclass(frozen=True, eq=False)
class StepRow:
    """One plan under one dispatch at one batch size, the mean over the layers.

    Parameters
    ----------
    plan
        The plan's name.
    dispatch
        A name of `workloads.forecast.DISPATCHES`.
    batch_tokens
        Tokens of a GPU in a step.
    balancedness
        Mean over largest GPU load of a step, expected.
    plan_part, noise_part, burst_part
        What the plan, chance, and traffic that varies beyond chance take from 1; the last is None
        where no steps were given.
    std
        The standard deviation of a layer's balancedness from step to step.
    layer_balancedness
        float64 [num_layers].
    step_seconds, mean_seconds
        Seconds of a layer that the slowest GPU, and the GPUs on average, are expected to take; None
        without a cost.
    """

    plan: str
    dispatch: str
    batch_tokens: int
    balancedness: float
    plan_part: float
    noise_part: float
    burst_part: float | None
    std: float
    layer_balancedness: np.ndarray
    step_seconds: float | None = None
    mean_seconds: float | None = None


@dataclass(frozen=True, eq=False)
class StepReport:
    """What steps see of plans.

    Parameters
    ----------
    rows
        The first plan under every dispatch, then the others under the one that steps see; each at
        every batch size.
    experts_per_token
        Experts that a token goes to.
    seen
        The dispatch that the advice is about.
    advice
        What to do about it, in a sentence.
    noise
        The noise of the largest batches, the least one; None where gaps are of seconds.
    dispersion
        How many times as much as by chance the recorded steps vary, in squares, the mean over the
        layers; None without steps.
    messages
        What was taken otherwise than asked, in sentences.
    """

    rows: list[StepRow]
    experts_per_token: int
    seen: str
    advice: str
    noise: BatchNoise | None
    dispersion: float | None = None
    messages: tuple[str, ...] = ()


def step_report(
    problem: Problem,
    plans: Mapping[str, Any],
    batches: Sequence[Batch],
    *,
    steps: np.ndarray | None = None,
    model_gap: float | None = None,
) -> StepReport:
    """Forecast the balancedness that steps will see.

    Parameters
    ----------
    problem
        Loads and machine; of several loads the mean of their shares.
    plans
        Name -> a Plan or [num_layers, num_slots] ids. The first one is what is advised on; another
        that breaks a rule is left out.
    batches
        The sizes, one or more, with the same number of experts a token.
    steps
        Recorded steps, [num_steps, num_layers, num_experts], for how far traffic varies beyond
        chance.
    model_gap
        The first plan's gap to the proven bound, where it is known.

    Raises
    ------
    PlanError
        When the first plan breaks a rule.
    """
    load, sizes = mixed_load(problem), sorted({batch.tokens for batch in batches})
    top_k = batches[0].experts_per_token
    speed = [float(value) for value in problem.speed]
    cost = problem.cost if isinstance(problem.cost, StepCost) else None

    def made(plan: Any, dispatch: str, asked: Sequence[int]) -> Forecast:
        return forecast(
            load, plan, problem.num_gpus, asked, top_k, dispatch,
            num_nodes=problem.num_nodes, gpu_speed=speed, steps=steps, cost=cost,
        )  # fmt: skip

    (name, first), *others = plans.items()
    plan, seen = as_plan(first, problem), SEEN.get(problem.dispatch, problem.dispatch)
    found = {each: made(plan, each, sizes) for each in DISPATCHES}
    rows = [row for each in DISPATCHES for row in _rows(name, found[each])]
    for other, placed in others:
        try:
            rows += _rows(other, made(as_plan(placed, problem), seen, sizes))
        except (PlanError, ProblemError):
            continue
    of_seen, dispersion = found[seen], found[seen].dispersion
    if problem.has_cost:
        noise, text = None, time_advice(of_seen)
    else:
        larger = made(plan, seen, [4 * sizes[0]])
        noise = BatchNoise(sizes[-1], float(of_seen.std[-1].mean()))
        text = advice(of_seen, found["optimal_drawn"], larger, model_gap)
    return StepReport(
        rows,
        top_k,
        seen,
        text,
        noise,
        None if dispersion is None else float(dispersion.mean()),
        of_seen.messages,
    )


def mixed_load(problem: Problem) -> np.ndarray:
    """One load of a problem, float64 [num_layers, num_experts], of several the mean of the shares.

    Parameters
    ----------
    problem
        With or without scenarios.
    """
    if not problem.has_scenarios:
        return problem.load.astype(np.float64)
    totals = np.maximum(problem.load.sum(axis=-1, keepdims=True), 1)
    weights = np.array([float(share) for share in problem.shares])
    return np.asarray(np.tensordot(weights, problem.load / totals, axes=1))


def _rows(name: str, found: Forecast) -> Iterator[StepRow]:
    bursts = found.burst_part
    for at, tokens in enumerate(found.batch_tokens):
        yield StepRow(
            name,
            found.dispatch,
            tokens,
            float(found.balancedness[at].mean()),
            float(found.plan_part.mean()),
            float(found.noise_part[at].mean()),
            None if bursts is None else float(bursts[at].mean()),
            float(found.std[at].mean()),
            found.balancedness[at],
            None if found.step_seconds is None else float(found.step_seconds[at].mean()),
            None if found.mean_seconds is None else float(found.mean_seconds[at].mean()),
        )
