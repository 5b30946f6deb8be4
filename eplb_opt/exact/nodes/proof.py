"""The certificate of a hierarchical layer, from those of its sets of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bounds import partitions
from eplb_opt.certificates import verify
from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.nodes import SCHEMA

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem


def nodes_certificate(
    problem: Problem, simple_bound: dict[int, Fraction], proofs: dict[int, Certificate]
) -> Certificate | None:
    """The certificate of a layer from those of its sets; None where they prove nothing more.

    A set whose bound has no proof counts with its mean and water level, so the certificate may
    prove less than is known of the layer, and says so in its own bound.

    Parameters
    ----------
    problem
        A problem of one layer, hierarchical.
    simple_bound
        The larger of mean and water level of every set, by its bit mask.
    proofs
        The certificates of some sets' flat problems, by bit mask.
    """
    least = _least(problem, simple_bound)
    proven = simple_bound | {
        mask: max(proof.bound, simple_bound[mask]) for mask, proof in proofs.items()
    }
    bound = _least(problem, proven)
    if bound <= least:
        return None
    # The others are not needed: without them their sets are below the bound, or above it anyway.
    used = {
        mask: proof for mask, proof in proofs.items() if simple_bound[mask] < bound <= proof.bound
    }
    certificate = Certificate("nodes", bound, _data(used))
    try:
        verify(problem, certificate)
    except CertificateError:
        # It takes more work than a verifier does.
        return None
    return certificate


def _least(problem: Problem, bound: dict[int, Fraction]) -> Fraction:
    parts = partitions.least_partition(problem, bound) or ()
    return max(bound[mask] for mask in parts)


def _data(proofs: dict[int, Certificate]) -> dict[str, int | list[int]]:
    """The proofs as lists of integers, in the format of `certificates.nodes`."""
    kinds = list(SCHEMA)
    entries: list[int] = []
    for proof in proofs.values():
        entries += [proof.bound.numerator, proof.bound.denominator]
        for name in SCHEMA[proof.kind]:
            value = proof.data[name]
            entries += [len(value), *value] if isinstance(value, list) else [value]
    return {
        "mask": list(proofs),
        "kind": [kinds.index(proof.kind) for proof in proofs.values()],
        "entry": entries,
    }
