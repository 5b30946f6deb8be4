"""`eplb_opt.dispatch`: a placement and loads in, each slot's share of its expert's tokens out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from eplb_opt.engines.dispatch.routes import Routes
from eplb_opt.engines.dispatch.split import exact_weights, split
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.placement.plan import Plan
from eplb_opt.problem import gpu_rules
from eplb_opt.problem.arrays import as_numpy


def dispatch(
    plan: Any,
    load: Any,
    *,
    num_gpus: int | None = None,
    gpu_speed: Any = None,
    exact: bool = False,
) -> Any:
    """Split every expert's tokens over its copies so that the largest GPU load is least.

    Where a Plan's experts are is traced at the first call and remembered while the Plan lives; for
    an array it is traced at every call.

    Parameters
    ----------
    plan
        A Plan, or [num_layers, num_slots] logical ids with -1 for an empty slot; then `num_gpus`
        is needed.
    load
        Tokens, finite and at least 0, [num_layers, num_experts], or with any number of scenarios
        before: [num_scenarios, num_layers, num_experts].
    num_gpus
        Slot p is on GPU p // (num_slots // num_gpus).
    gpu_speed
        [num_gpus], above 0; then it is load over speed whose largest is least.
    exact
        In exact rationals instead of float64: milliseconds a layer, not microseconds. Without it
        the largest GPU load is within about 1e-13 of the least.

    Returns
    -------
    ndarray or tensor
        float64 [num_layers, num_slots], or [num_scenarios, num_layers, num_slots]: an expert's
        weights sum to 1. Copies on one GPU get equal parts; an expert without load is split
        equally; an empty slot has 0. A tensor on the load's device where a tensor came in.

    Raises
    ------
    PlanError
        For what is no placement, or where an expert with load has no slot.
    ProblemError
        For loads or speeds that cannot be used.
    """
    return Dispatcher.of(plan, num_gpus=num_gpus, gpu_speed=gpu_speed)(load, exact=exact)


#: A plan's routes, for as long as the plan lives: `dispatch` is called batch after batch.
_TRACED: WeakKeyDictionary[Plan, Routes] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Dispatcher:
    """One placement and its GPUs, checked, ready to split loads.

    Parameters
    ----------
    plan
        The placement.
    gpu_speed
        float64 [num_gpus].
    """

    plan: Plan
    gpu_speed: np.ndarray

    @classmethod
    def of(cls, plan: Any, *, num_gpus: int | None = None, gpu_speed: Any = None) -> Dispatcher:
        """Check the arguments, which are those of `dispatch`."""
        if not isinstance(plan, Plan):
            if num_gpus is None:
                raise PlanError("The plan is an array: num_gpus= must say how many GPUs it is for.")
            plan = Plan(plan, num_gpus)
        elif num_gpus not in (None, plan.num_gpus):
            raise PlanError(f"The plan is for {plan.num_gpus} GPUs, not for num_gpus={num_gpus}.")
        speed = gpu_rules.speeds(gpu_speed, plan.num_gpus)
        return cls(plan, np.ones(plan.num_gpus) if speed is None else speed)

    @cached_property
    def routes(self) -> Routes:
        """Where the experts are."""
        routes = _TRACED.get(self.plan)
        if routes is None:
            routes = _TRACED[self.plan] = Routes.trace(self.plan)
        return routes

    def __call__(self, load: Any, *, exact: bool = False) -> Any:
        """The weights of `dispatch`."""
        values, routes = self._admit(load), self.routes
        routes.require_slots(values)
        rows = values.reshape(-1, *values.shape[-2:])
        if exact:
            weights = exact_weights(routes, rows, self.gpu_speed)
        else:
            weights, _ = split(routes, rows, self.gpu_speed)
        weights = weights.reshape(*values.shape[:-1], self.plan.num_slots)
        return like(load, weights)

    def _admit(self, load: Any) -> np.ndarray:
        """Loads as float64 [.., num_layers, plan's num_experts], contiguous."""
        values = np.ascontiguousarray(as_numpy(load, "load"), dtype=np.float64)
        num_layers, num_experts = self.plan.num_layers, self.plan.num_experts
        if values.ndim < 2 or values.ndim > 3 or values.shape[-2] != num_layers:
            raise ProblemError(
                f"load has shape {list(values.shape)}; the plan's {num_layers} layers need "
                f"[{num_layers}, num_experts] or [num_scenarios, {num_layers}, num_experts]."
            )
        if not values.size:
            raise ProblemError(f"load has shape {list(values.shape)}; it must hold something.")
        # Sums of what is negative or not finite show it, or the minimum does.
        if values.min() < 0 or not np.isfinite(values.sum()):
            raise ProblemError(
                f"load ranges from {values.min():g} to {values.max():g} and sums to "
                f"{values.sum():g}; tokens are finite and at least 0."
            )
        return self._with_experts(values, num_experts)

    def _with_experts(self, values: np.ndarray, num_experts: int) -> np.ndarray:
        """Of the plan's number of experts; those past its ids have no slot, so no load either."""
        extra = values.shape[-1] - num_experts
        if extra < 0:
            raise ProblemError(
                f"load has {values.shape[-1]} experts a layer; the plan's ids need {num_experts}."
            )
        if extra and values[..., num_experts:].any():
            at = np.argwhere(values[..., num_experts:])[0].tolist()
            raise PlanError(
                f"Layer {at[-2]}: expert {num_experts + at[-1]} has load and no slot; the plan "
                f"places {num_experts} experts."
            )
        return np.ascontiguousarray(values[..., :num_experts]) if extra else values


def like(given: Any, array: np.ndarray) -> Any:
    """An array as a tensor on the given one's device, where that is a tensor."""
    if not hasattr(given, "detach"):
        return array
    import torch

    return torch.from_numpy(array).to(given.device)
