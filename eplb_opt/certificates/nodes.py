"""Verification of kind "nodes": a hierarchical layer, by its sets of groups.

A node that holds a set of groups is a flat problem of its own. Where no plan of that problem stays
below T, call the set heavy. Every plan shares the groups out over the nodes by some
partition into sets of equal size; where each such partition has a heavy set, T is a bound.

A set is heavy when its mean or water level is at least T, which is computed here, or when one of
the certificate's proofs shows it, which is verified as a certificate of the set's own problem.
"""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LISTS = ("mask", "kind", "entry")
#: The kinds of proofs of sets, in the order of their numbers in `kind`, with the names and types of
#: their entries. The order is part of the file format.
SCHEMA: dict[str, dict[str, type]] = {
    "config_lp": {"value": list},
    "config_lp_tree": {"expert": list, "count": list, "value": list},
    "pairs": {
        "level": int,
        "scale": int,
        "digits": int,
        "rounds": list,
        "expert": list,
        "count": list,
        "entries": list,
        "threshold": list,
        "multiplier": list,
    },
    "enumeration": {},
}
#: The module here that verifies each kind.
MODULES = {
    "config_lp": "config_lp",
    "config_lp_tree": "config_lp_tree",
    "pairs": "pairs",
    "enumeration": "enumeration",
}
#: The most sets of groups, and steps from placed groups to more of them, for the time they take.
MAX_SETS = 20_000
MAX_STEPS = 200_000


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again in integers as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if not problem.is_hierarchical:
        raise CertificateError("nodes is for problems with nodes.")
    size, num_groups = problem.groups_per_node, problem.num_groups
    if comb(num_groups, size) > MAX_SETS or _num_steps(num_groups, size) > MAX_STEPS:
        raise CertificateError(f"{num_groups} groups make too many partitions.")
    proofs = dict(_proofs(certificate, num_groups, size))
    if certificate.bound <= 0:
        return certificate.bound  # no load is negative
    light = set()
    for members in combinations(range(num_groups), size):
        mask = sum(1 << group_idx for group_idx in members)
        part = _part(problem, members)
        if not _is_heavy(part, certificate.bound, proofs.get(mask)):
            light.add(mask)
    if _has_partition(light, num_groups, size):
        raise CertificateError(f"groups can be shared out with no node proven {certificate.bound}.")
    return certificate.bound


def _num_steps(num_groups: int, size: int) -> int:
    return sum(
        comb(num_groups, done) * comb(num_groups - done - 1, size - 1)
        for done in range(0, num_groups, size)
    )


def _part(problem: Problem, members: tuple[int, ...]) -> Problem:
    """A node with these groups as a flat problem."""
    load = problem.load[0].reshape(problem.num_groups, -1)[list(members)].ravel()
    return Problem(
        load[None, :],
        problem.slots_per_node,
        problem.gpus_per_node,
        colocation=problem.colocation,
    )


def _is_heavy(part: Problem, bound: Fraction, proof: Certificate | None) -> bool:
    load = [int(w) for w in part.load[0]]
    if sum(load) >= bound * part.num_gpus:
        return True
    # In a plan below the bound, an expert has more than load / bound replicas.
    if sum(w * bound.denominator // bound.numerator + 1 for w in load) > part.num_slots:
        return True
    return proof is not None and proof.bound >= bound and _verified(part, proof) >= bound


def _verified(part: Problem, proof: Certificate) -> Fraction:
    check: Callable[[Problem, Certificate], Fraction]
    check = import_module(f"eplb_opt.certificates.{MODULES[proof.kind]}").verify
    return check(part, proof)


def _has_partition(light: set[int], num_groups: int, size: int) -> bool:
    """Whether some sets of the collection are a partition of all groups."""
    full = (1 << num_groups) - 1
    reached = {0}
    for _ in range(num_groups // size):
        after = set()
        for done in reached:
            free = [g for g in range(num_groups) if not done >> g & 1]
            # Some set holds the first group that is left.
            for others in combinations(free[1:], size - 1):
                mask = 1 << free[0] | sum(1 << g for g in others)
                if mask in light:
                    after.add(done | mask)
        reached = after
    return full in reached


def _proofs(
    certificate: Certificate, num_groups: int, size: int
) -> Iterator[tuple[int, Certificate]]:
    """The mask and proof of each set, read from one list of integers."""
    data = certificate.data
    lists = [entry for name in LISTS if isinstance(entry := data.get(name), list)]
    if set(data) != set(LISTS) or len(lists) < len(LISTS):
        raise CertificateError(f"nodes has the lists {', '.join(LISTS)} and no more.")
    masks, kinds, entries = lists
    if len(masks) != len(kinds) or len(masks) > MAX_SETS:
        raise CertificateError(f"nodes has up to {MAX_SETS} sets, a kind for each.")
    if min(kinds, default=0) < 0 or max(kinds, default=0) >= len(SCHEMA):
        raise CertificateError(f"a kind of proof is a number below {len(SCHEMA)}.")
    reader = _Reader(entries)
    for mask, kind in zip(masks, kinds, strict=True):
        if not 0 <= mask < 1 << num_groups or mask.bit_count() != size:
            raise CertificateError(f"{mask} is no set of {size} of {num_groups} groups.")
        name = list(SCHEMA)[kind]
        top, bottom = reader.number(), reader.number()
        if bottom <= 0:
            raise CertificateError("a proof's bound has a denominator below 1.")
        fields: dict[str, int | list[int]] = {
            key: reader.numbers() if type_ is list else reader.number()
            for key, type_ in SCHEMA[name].items()
        }
        yield mask, Certificate(name, Fraction(top, bottom), fields)
    if reader.at != len(entries):
        raise CertificateError("nodes has entries after its last proof.")


class _Reader:
    """Takes numbers off a list, from first to last."""

    def __init__(self, entries: list[int]) -> None:
        self.entries, self.at = entries, 0

    def number(self) -> int:
        """The next number."""
        return self._take(1)[0]

    def numbers(self) -> list[int]:
        """A list: the next number is its length."""
        return self._take(self.number())

    def _take(self, num: int) -> list[int]:
        if not 0 <= num <= len(self.entries) - self.at:
            raise CertificateError("nodes has too few entries for its proofs.")
        self.at += num
        return self.entries[self.at - num : self.at]
