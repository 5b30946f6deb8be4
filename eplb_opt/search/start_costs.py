"""What the heuristics cost, roughly: from a table, for who asks before they have run.

The figures are those of two busy cores, so that a quiet machine is done sooner than expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class Cost:
    """Seconds that a heuristic takes.

    Parameters
    ----------
    fixed
        For a call.
    step
        For a step that all layers take together, one for each slot of a node.
    replica
        For a replica of one layer that is placed.
    lookup
        For a replica of one layer that is placed, and each GPU that it may go to.
    spare
        For a replica of one layer above its expert's first.
    """

    fixed: float = 2e-3
    step: float = 0.0
    replica: float = 0.0
    lookup: float = 0.0
    spare: float = 0.0

    def seconds(self, problem: Problem) -> float:
        """Seconds for a problem.

        Parameters
        ----------
        problem
            Layers, slots and GPUs.
        """
        nodes = problem.num_nodes if problem.is_hierarchical else 1
        placed = problem.num_layers * problem.num_slots
        spare = problem.num_layers * max(problem.num_slots - problem.num_experts, 0)
        return (
            self.fixed
            + self.step * problem.num_slots / nodes
            + (self.replica + self.lookup * problem.num_gpus / nodes) * placed
            + self.spare * spare
        )


#: By name in `heuristics.HEURISTICS`. The tensor methods take a step a slot, whatever the layers.
COSTS = {
    "deepseek": Cost(replica=4e-6, lookup=2e-8, spare=8e-6),
    "cpu_lpt_slotted": Cost(replica=2e-6, lookup=1e-8, spare=20e-6),
    "vectorized_lpt": Cost(step=2e-4, lookup=2e-8),
    "replica_refine": Cost(step=4.5e-4, lookup=3e-8),
    "replica_refine_guarded": Cost(step=4.5e-4, lookup=3e-8),
    "swap_refine": Cost(fixed=0.6, step=2e-4, lookup=2e-8),
    "waterfill_diverse": Cost(fixed=0.1, step=2e-3, lookup=5e-8),
}
#: What is not in the table counts as much as the dearest.
UNKNOWN = Cost(fixed=0.6, step=2e-3, replica=4e-6, lookup=5e-8, spare=20e-6)


def expected_seconds(name: str, problem: Problem) -> float:
    """What a heuristic takes on a problem, in seconds; more than it does on a quiet machine.

    Parameters
    ----------
    name
        A key of `heuristics.HEURISTICS`; a new one may be missing in the table here.
    problem
        Layers, slots and GPUs.
    """
    return COSTS.get(name, UNKNOWN).seconds(problem)
