"""Plans stored instances and keeps what is better than the best known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench import best_known
from eplb_opt.bench.proofs import Proofs, read_proofs
from eplb_opt.certificates import CertificateError, verify
from eplb_opt.planner.planner import plan

if TYPE_CHECKING:
    from eplb_opt.bench.instance import Instance
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.planner.arguments import Progress
    from eplb_opt.result import Result


@dataclass(frozen=True)
class Improvement:
    """What a call brought.

    Parameters
    ----------
    name
        The instance.
    seconds
        How long the planner took.
    layers
        Layers of the instance.
    better_plans, better_bounds
        Layers whose objective is smaller, and whose bound is higher, than what was known.
    closed
        Layers whose optimum is known now.
    without_proof
        Layers for which the planner proved a higher bound than its certificate does, so that it is
        not kept.
    """

    name: str
    seconds: float
    layers: int
    better_plans: int
    better_bounds: int
    closed: int
    without_proof: int


def improve(
    instance: Instance,
    *,
    time_limit: float,
    model: str = "cpsat",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Improvement:
    """Plan an instance, from the best known plan if there is one, and keep what is better.

    Parameters
    ----------
    instance
        The instance, with the folder that is to be changed.
    time_limit, model, workers, progress
        As of `plan`.

    Raises
    ------
    Contradiction
        When what was found contradicts what is known: one of them is false.
    """
    problem = instance.problem()
    most = instance.max_moves if instance.current is not None else None
    starts = None
    if best_known.load_best_known(instance.folder)[instance.name]:
        starts = {"best known": read_proofs(instance).placed}
    result = plan(
        problem,
        time_limit=time_limit,
        model=model,
        workers=workers,
        progress=progress,
        starts=starts,
        current=instance.current,
        max_moves=None if most is None else np.full(problem.num_layers, most),
    )
    run = best_known.this_program(f"plan, time_limit={time_limit:g}", result.elapsed)
    proofs = Proofs(result.plan.physical_to_logical, _verified(result))
    old, new = best_known.update_best_known(instance, run, proofs)
    return Improvement(
        instance.name,
        result.elapsed,
        problem.num_layers,
        sum(
            not old or layer.objective.value < old[i].objective.value for i, layer in enumerate(new)
        ),
        sum(
            not old or layer.lower_bound.value > old[i].lower_bound.value
            for i, layer in enumerate(new)
        ),
        sum(layer.is_closed for layer in new),
        sum(
            pair.lower > layer.lower_bound.value
            for pair, layer in zip(result.bounds, new, strict=True)
        ),
    )


def _verified(result: Result) -> list[Certificate | None]:
    """The certificates of a result that can be verified; the others are left out."""
    problem = result.problem.without_lost_gpus() or result.problem
    kept: list[Certificate | None] = []
    for layer_idx, certificate in enumerate(result.certificates):
        try:
            if certificate is not None:
                verify(problem.layer(layer_idx), certificate)
            kept.append(certificate)
        except CertificateError:
            kept.append(None)
    return kept
