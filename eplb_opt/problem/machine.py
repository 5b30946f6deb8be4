"""What loads are planned for: slots, GPUs, nodes and the rules that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from eplb_opt.problem.step_cost import StepCost
    from eplb_opt.problem.topology import Topology


@dataclass(frozen=True)
class GpuRules:
    """In what GPUs differ, and which experts are tied to them; see `Problem`.

    Parameters
    ----------
    lost_gpus
        GPUs that are not there.
    gpu_slots
        Slots that each GPU can fill, [num_gpus]; None for all of them.
    gpu_speed
        Relative speed of each GPU, [num_gpus]; None where they are alike.
    pinned, forbidden
        (expert, GPU) for every layer, or (layer, expert, GPU).
    spread
        "gpu" or "node": every expert is on two of them. None for no such rule.
    """

    lost_gpus: tuple[int, ...] = ()
    gpu_slots: tuple[int, ...] | None = None
    gpu_speed: tuple[float, ...] | None = None
    pinned: tuple[tuple[int, ...], ...] = ()
    forbidden: tuple[tuple[int, ...], ...] = ()
    spread: str | None = None

    def arguments(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        """What `Problem` takes for them.

        Parameters
        ----------
        shape
            Layers, experts and GPUs.

        Raises
        ------
        ProblemError
            For a GPU that is not there, or a pair that names what is not.
        """
        num_gpus = shape[2]
        found: dict[str, Any] = {"spread": self.spread}
        if self.lost_gpus:
            if max(self.lost_gpus) >= num_gpus:
                raise ProblemError(
                    f"GPU {max(self.lost_gpus)} cannot be lost: there are {num_gpus}, from 0."
                )
            found["active_gpus"] = ~np.isin(np.arange(num_gpus), self.lost_gpus)
        for name in ("gpu_slots", "gpu_speed"):
            values = getattr(self, name)
            found[name] = None if values is None else np.array(values)
        for name in ("pinned", "forbidden"):
            found[name] = _mask(getattr(self, name), name, shape)
        return found


@dataclass(frozen=True)
class Machine:
    """Slots, topology and rules, whatever the loads are; see `Problem`.

    Parameters
    ----------
    num_slots, num_gpus
        Physical experts of a layer over all GPUs, and GPUs.
    num_nodes, num_groups
        Nodes of GPUs, and groups of experts that stay on one node.
    colocation
        "allow" or "forbid": whether a GPU may hold two replicas of an expert.
    dispatch
        How tokens are split over an expert's replicas.
    rules
        In what the GPUs differ.
    topology
        The price of what is served off home, or on costly links; None where groups bind.
    cost, batch_tokens, experts_per_token
        What an expert takes on a GPU for the tokens of a step, and the size of that; None to count
        loads.
    """

    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    colocation: str = "allow"
    dispatch: str = "uniform"
    rules: GpuRules = GpuRules()
    topology: Topology | None = None
    cost: StepCost | None = None
    batch_tokens: int | None = None
    experts_per_token: int | None = None

    @classmethod
    def parse(cls, text: str) -> Machine:
        """From "288x32", slots x GPUs, or "288x32/4/8", with nodes and groups.

        Raises
        ------
        ValueError
            When it is neither.
        """
        slots, _, rest = text.partition("x")
        sizes = [int(slots), *map(int, rest.split("/"))]
        if len(sizes) > 4:
            raise ValueError(f"{text!r} has more than slots, GPUs, nodes and groups.")
        num_slots, num_gpus, num_nodes, num_groups = [*sizes, 1, 1][:4]
        return cls(num_slots, num_gpus, num_nodes, num_groups)

    def __str__(self) -> str:
        nodes = f"/{self.num_nodes}/{self.num_groups}" if self.num_nodes > 1 else ""
        return f"{self.num_slots}x{self.num_gpus}{nodes}"

    def problem(self, load: np.ndarray, scenario_weights: np.ndarray | None = None) -> Problem:
        """Loads on this machine.

        Parameters
        ----------
        load
            [num_layers, num_experts], or [num_scenarios, num_layers, num_experts]. One scenario
            alone is a plain load, which has exact solvers of its own.
        scenario_weights
            [num_scenarios], or None where all weigh the same.

        Raises
        ------
        ProblemError
            When the loads do not fit the machine.
        """
        is_alone = load.ndim == 3 and len(load) == 1
        return Problem(
            load[0] if is_alone else load,
            self.num_slots,
            self.num_gpus,
            self.num_nodes,
            self.num_groups,
            self.colocation,
            scenario_weights=None if is_alone else scenario_weights,
            dispatch=self.dispatch,
            topology=self.topology,
            cost=self.cost,
            batch_tokens=self.batch_tokens,
            experts_per_token=self.experts_per_token,
            **self.rules.arguments((load.shape[-2], load.shape[-1], self.num_gpus)),
        )


def _mask(
    pairs: tuple[tuple[int, ...], ...], name: str, shape: tuple[int, int, int]
) -> np.ndarray | None:
    """Flags of `shape` from (expert, GPU) and (layer, expert, GPU); None where there are none."""
    if not pairs:
        return None
    mask: Any = np.zeros(shape, dtype=bool)
    for pair in pairs:
        most = shape[3 - len(pair) :]
        if any(not 0 <= index < bound for index, bound in zip(pair, most, strict=True)):
            raise ProblemError(f"{name} holds {list(pair)}; the range is {list(most)}.")
        mask[(..., *pair)] = True
    return np.asarray(mask)
