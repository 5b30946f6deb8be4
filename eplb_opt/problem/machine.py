"""What loads are planned for: slots, GPUs, nodes and the rules that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    import numpy as np


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
        "uniform" or "optimal": how tokens are split over an expert's replicas.
    """

    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    colocation: str = "allow"
    dispatch: str = "uniform"

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
        )
