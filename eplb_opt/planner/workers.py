"""Where the turns of a call run: threads of this process, the caller's executor, or a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb_opt.core.parts import cores
from eplb_opt.errors import ProblemError
from eplb_opt.planner.executor import ThreadExecutor
from eplb_opt.planner.remote import RemoteExecutor

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor as Pool

    from eplb_opt.clock import Budget
    from eplb_opt.planner.executor import Executor, LayerSolvers
    from eplb_opt.planner.ray_executor import Cluster

#: A cluster that has not answered after this part of the time left is done without.
CONNECT_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Workers:
    """Who takes the turns of a call.

    Parameters
    ----------
    pool
        The caller's `concurrent.futures.Executor`, or None.
    cluster
        A cluster that is being connected to, or None; threads of this process where neither is.
    num
        The number of turns at a time; None for as many as the workers are.
    """

    pool: Pool | None = None
    cluster: Cluster | None = None
    num: int | None = None

    def executor(
        self, solvers: LayerSolvers, budget: Budget, say: Callable[[str], None]
    ) -> Executor:
        """Who takes the turns.

        Parameters
        ----------
        solvers
            The solvers of this process.
        budget
            What all turns may spend.
        say
            Called with a sentence on what went wrong.

        Raises
        ------
        ProblemError
            When there is no such cluster.
        MissingDependency
            When a package for it is not installed.
        """
        pool: Pool | None = self.pool
        num = self.num
        if self.cluster is not None:
            found = self.cluster.executor(budget.deadline.part(CONNECT_SHARE))
            if found is None:
                say(f"the cluster {self.cluster.address} did not answer in time: no turn ran on it")
            else:
                pool, num = found, num or found.num_cpus
        if pool is None:
            return ThreadExecutor(solvers, budget.workers)
        # Pools of the standard library say how many workers they have, if not in public.
        num = num or getattr(pool, "_max_workers", None) or cores()
        return RemoteExecutor(pool, solvers, num, budget.effort is not None, say)

    def leave(self) -> None:
        """Let go of the cluster; the caller's executor is the caller's to shut down."""
        if self.cluster is not None:
            self.cluster.leave()


def find_workers(executor: Any, cluster: Any, num: int | None) -> Workers:
    """Who is to take the turns; a cluster is connected to while other work goes on.

    Parameters
    ----------
    executor, cluster, num
        The arguments `executor`, `cluster` and `workers` of `plan`.

    Raises
    ------
    ProblemError
        When they cannot be used, or exclude each other.
    """
    if executor is not None and cluster is not None:
        raise ProblemError("executor and cluster exclude each other: turns run in one place.")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ProblemError(
            f"executor={executor!r} has no submit(); give a concurrent.futures.Executor."
        )
    if cluster is None:
        return Workers(executor, None, num)
    if not isinstance(cluster, str) or not cluster:
        raise ProblemError(f'cluster={cluster!r} is neither "auto" nor an address.')
    from eplb_opt.planner.ray_executor import Cluster

    return Workers(None, Cluster(cluster), num)
