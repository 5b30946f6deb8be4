"""What a recording is replayed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from eplb_opt.workloads.representatives import Scenarios


@dataclass(frozen=True)
class Machine:
    """Slots, topology and the way tokens are split; see `Problem`."""

    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    colocation: str = "allow"
    dispatch: str = "uniform"

    def problem(self, scenarios: Scenarios) -> Problem:
        """The scenarios on this machine; one alone is a plain load, which has exact engines.

        Raises
        ------
        ProblemError
            When they do not fit it.
        """
        alone = scenarios.num_scenarios == 1
        return Problem(
            scenarios.load[0] if alone else scenarios.load,
            self.num_slots,
            self.num_gpus,
            self.num_nodes,
            self.num_groups,
            self.colocation,
            scenario_weights=None if alone else scenarios.weights,
            dispatch=self.dispatch,
        )
