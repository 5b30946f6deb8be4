"""Forecasts of what steps see beside simulated steps: how far they differ, and what they take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench.generator import generate_loads
from eplb_opt.planner.planner import plan
from eplb_opt.problem.machine import Machine
from eplb_opt.workloads.forecast import forecast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Tokens of a GPU in a step.
BATCHES = (64, 256, 1024, 4096)
#: Dispatches whose every step is simulated in seconds; the others draw each GPU's tokens apart.
DISPATCHES = ("uniform", "drawn", "optimal", "optimal_drawn")


@dataclass(frozen=True)
class Case:
    """Loads and a machine.

    Parameters
    ----------
    profile, num_experts, experts_per_token
        Of the generated loads.
    num_slots, num_gpus
        Of the machine.
    """

    profile: str
    num_experts: int
    experts_per_token: int
    num_slots: int
    num_gpus: int

    @property
    def name(self) -> str:
        """What the machine is called."""
        return f"{self.num_slots}x{self.num_gpus}"


#: Five machines, of two to nine slots a GPU.
CASES = (
    Case("deepseek-v3", 256, 8, 288, 32),
    Case("deepseek-v3", 256, 8, 320, 64),
    Case("deepseek-v3", 256, 8, 288, 72),
    Case("deepseek-v3", 256, 8, 288, 144),
    Case("gpt-oss", 128, 4, 144, 16),
)


#: The same by their names.
MACHINES = tuple(case.name for case in CASES)


@dataclass(frozen=True)
class ForecastRow:
    """One machine, dispatch and batch size.

    Parameters
    ----------
    machine, dispatch, batch_tokens
        What was forecast.
    balancedness
        As forecast, the mean over the layers.
    simulated, error
        The same of simulated steps, and its standard error.
    worst
        The largest difference of a layer.
    worst_error
        The largest standard error of a layer's simulation.
    milliseconds
        What the forecast took, for all layers, and for the batch sizes of the row alone.
    """

    machine: str
    dispatch: str
    batch_tokens: int
    balancedness: float
    simulated: float
    error: float
    worst: float
    worst_error: float
    milliseconds: float

    @property
    def difference(self) -> float:
        """Forecast less simulation."""
        return self.balancedness - self.simulated


def measure(
    case: Case,
    *,
    load: np.ndarray | None = None,
    num_layers: int = 58,
    batches: Sequence[int] = BATCHES,
    dispatches: Sequence[str] = DISPATCHES,
    num_steps: int = 200,
    effort: int = 20,
    seed: int = 0,
) -> Iterator[ForecastRow]:
    """Forecast and simulate one machine.

    Parameters
    ----------
    case
        Loads and machine.
    load
        int64 [num_layers, num_experts], recorded loads in place of generated ones.
    num_layers
        Of the generated loads.
    batches, dispatches
        What is forecast.
    num_steps
        Steps that are simulated.
    effort
        What the plan is made with.
    seed
        Of the simulation.
    """
    if load is None:
        load = generate_loads(case.profile, num_layers, case.num_experts, 0)
    problem = Machine(case.num_slots, case.num_gpus).problem(load)
    placed = plan(problem, effort=effort).plan
    top_k = case.experts_per_token
    for dispatch in dispatches:
        for tokens in batches:
            began = time.perf_counter()
            found = forecast(load, placed, None, tokens, top_k, dispatch)
            seconds = time.perf_counter() - began
            seen = forecast(
                load, placed, None, tokens, top_k, dispatch, simulate=num_steps, seed=seed
            )
            yield ForecastRow(
                case.name,
                dispatch,
                tokens,
                float(found.balancedness.mean()),
                float(seen.balancedness.mean()),
                float(np.sqrt((seen.error**2).sum()) / len(load)),
                float(np.abs(found.balancedness - seen.balancedness).max()),
                float(seen.error.max()),
                1000 * seconds,
            )
