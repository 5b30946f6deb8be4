"""Verification of kind "enumeration": all counts of a small layer with two slots a GPU.

Suppose a plan's largest load is below T. Then every expert has more than w_e / T replicas, and the
slots that this leaves go to the experts in few ways. For given counts the least largest load pairs
the heaviest replica with the lightest, the second heaviest with the second lightest, and so on.
Where that is at least T for all of these counts, T is a bound; so the certificate needs no data.

Replicas are rounded down to units 2**-s, so a sum of two lies less than two units below the
truth. With counts of at most M, a sum below T = p / q is at least 1 / (q M**2) below it; where that
exceeds two units, a rounded sum of at least T less two units is truly at least T.
"""

from __future__ import annotations

from itertools import chain, combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: The most count vectors times slots; they take less than a tenth of a second.
MAX_CELLS = 1_000_000
#: The bits of a sum of two replicas.
BITS = 61


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Rules of nodes and co-location only forbid plans, so the bound holds under them too.

    Raises
    ------
    CertificateError
        When it is not proven, or would take too much work.
    """
    bound = certificate.bound
    if certificate.data:
        raise CertificateError("enumeration has no data but its bound.")
    if problem.slots_per_gpu != 2:
        raise CertificateError(f"enumeration is for 2 slots a GPU, not {problem.slots_per_gpu}.")
    if bound <= 0:
        return bound  # no load is negative
    load = [int(w) for w in problem.load[0]]
    fewest = [w * bound.denominator // bound.numerator + 1 for w in load]
    spare = problem.num_slots - sum(fewest)
    if spare < 0:
        return bound  # the water level
    num_vectors = comb(spare + len(load) - 1, spare)
    if num_vectors * problem.num_slots > MAX_CELLS:
        raise CertificateError(f"{num_vectors} count vectors are too many to look at.")
    spend(num_vectors * problem.num_slots)
    shift = BITS - sum(load).bit_length()
    largest = max(fewest) + spare
    if shift < 0 or 2**shift <= 2 * bound.denominator * largest**2:
        raise CertificateError("the loads are too large, or the bound too fine, to tell sums.")
    counts = np.array(fewest) + _extras(spare, len(load))
    reached = int(_peaks(np.array(load) << shift, counts, problem.num_slots).min())
    if (reached + 2) * bound.denominator < bound.numerator << shift:
        raise CertificateError(f"some counts allow less than {bound}.")
    return bound


def _extras(spare: int, num_experts: int) -> np.ndarray:
    """All ways to give spare slots to experts (stars and bars), int64 [num_ways, num_experts]."""
    bars = combinations(range(spare + num_experts - 1), num_experts - 1)
    at = np.fromiter(chain.from_iterable(bars), dtype=np.int64)
    at = at.reshape(comb(spare + num_experts - 1, spare), num_experts - 1)
    return np.asarray(np.diff(at, axis=1, prepend=-1, append=spare + num_experts - 1) - 1)


def _peaks(load: np.ndarray, counts: np.ndarray, num_slots: int) -> np.ndarray:
    """The largest sum of two under the best pairing, of replicas rounded down; int64 [num_ways]."""
    sizes = np.repeat((load // counts).ravel(), counts.ravel()).reshape(len(counts), num_slots)
    sizes.sort(axis=1)
    return np.asarray((sizes + sizes[:, ::-1]).max(axis=1))
