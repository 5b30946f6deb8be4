"""Verification of kind "cost_packing": weights of replicas that no GPU holds much of.

The bound is a whole number B, as all costs are. Suppose that a plan's GPUs cost at most T = B - 1
each. A shift m, at most the least cost, is taken off every replica's cost; a GPU has s slots to
fill or more, so what is left on it is at most R = T - s m. With k parts, a replica of cost x gets
the weight

    w(x) = max(ceil((k + 1) (x - m) / R) - 1, 0),

a whole number below (k + 1) (x - m) / R, or 0. The weights on a GPU add up to less than k + 1, so
to k at most, and those of all replicas to k times the GPUs at most. The certificate holds m and k.
The verifier adds up the least weight of all counts that fill the slots, expert by expert, without
counts whose replicas are above R; where that is more than k times the GPUs there is no such plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: More parts would make weights whose sums leave int64.
MAX_PARTS = 10_000
#: Above every sum of weights of usable counts.
NO_COUNT = 2**61


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes; rules only forbid plans.

    Raises
    ------
    CertificateError
        When it is not proven, or would take too much work.
    """
    bound = certificate.bound
    parts, shift = (certificate.data.get(name) for name in ("parts", "shift"))
    if set(certificate.data) != {"parts", "shift"} or isinstance(parts, list | None):
        raise CertificateError("cost_packing has two integers, parts and shift.")
    if isinstance(shift, list | None):
        raise CertificateError("cost_packing has two integers, parts and shift.")
    if not problem.has_cost:
        raise CertificateError("cost_packing is of problems with costs.")
    if bound.denominator != 1:
        raise CertificateError(f"costs are whole numbers, and {bound} is none.")
    table = problem.replica_cost[0, :, 1:].tolist()
    if not 1 <= parts <= MAX_PARTS or not 0 <= shift <= min(map(min, table)):
        raise CertificateError(f"parts={parts} or shift={shift} is out of range.")
    slots = [number for number in problem.open_slots.tolist() if number]
    room = int(bound) - 1 - min(slots) * shift
    if room <= 0:
        raise CertificateError("the shift leaves no room on a GPU.")
    least = _least_weight(table, sum(slots) - len(table), parts, shift, room)
    if least <= parts * len(slots):
        raise CertificateError(f"counts of weight {least} allow less than {bound}.")
    return bound


def _least_weight(table: list[list[int]], spare: int, parts: int, shift: int, room: int) -> int:
    """The least weight of counts that fill the slots; `NO_COUNT` where there are none."""
    spend(len(table) * (spare + 1) * (spare + 4) // 16)
    reached = np.full(spare + 1, NO_COUNT, dtype=np.int64)
    reached[0] = 0
    for row in table:
        before, reached = reached, np.full(spare + 1, NO_COUNT, dtype=np.int64)
        for more, cost in enumerate(row[: spare + 1]):
            if cost - shift > room:
                continue
            weight = (more + 1) * max(-(-(parts + 1) * (cost - shift) // room) - 1, 0)
            sums = np.minimum(before[: spare + 1 - more] + weight, NO_COUNT)
            np.minimum(reached[more:], sums, out=reached[more:])
    return int(reached[-1])
