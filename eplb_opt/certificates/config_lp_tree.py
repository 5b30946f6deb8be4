"""Verification of kind "config_lp_tree": values as of kind "config_lp" for each leaf of a tree.

A node of the tree that is no leaf names an expert and a count: plans with at most that count of the
expert belong to the node's first child, all others to its second. So every plan belongs to one
leaf, and a load that no leaf's plans stay below is a bound of all plans.

The nodes come in preorder; a leaf has -1 for its expert, and the values of the leaves follow one
another in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.config_lp import least_load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

LEAF = -1
LISTS = ("expert", "count", "value")
#: The most nodes of a certificate, for the time that they take.
MAX_NODES = 2_000

CountRange = tuple[list[int], list[int]]


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again in integers as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    experts, counts, values = _read(certificate, problem.num_experts)
    if certificate.bound <= 0:
        return certificate.bound  # no load is negative
    size, begin = problem.num_experts, 0
    for count_range in _leaves(experts, counts, size, problem.num_slots):
        least = least_load(
            problem.load[0],
            problem.num_slots,
            problem.num_gpus,
            values[begin : begin + size],
            certificate.bound,
            count_range,
        )
        if least < certificate.bound:
            raise CertificateError(f"a leaf proves {least}, not {certificate.bound}.")
        begin += size
    return certificate.bound


def _read(certificate: Certificate, num_experts: int) -> tuple[list[int], list[int], list[int]]:
    data = certificate.data
    lists = [entry for name in LISTS if isinstance(entry := data.get(name), list)]
    if set(data) != set(LISTS) or len(lists) < len(LISTS):
        raise CertificateError(f"config_lp_tree has the lists {', '.join(LISTS)} and no more.")
    experts, counts, values = lists
    if len(experts) != len(counts) or not 1 <= len(experts) <= MAX_NODES:
        raise CertificateError(f"a tree has 1 to {MAX_NODES} nodes, a count for each expert.")
    if min(experts) < LEAF or max(experts) >= num_experts:
        raise CertificateError(f"a tree of {num_experts} experts splits another one.")
    if len(values) != experts.count(LEAF) * num_experts or min(values, default=0) < 0:
        raise CertificateError(f"each leaf needs {num_experts} values, none negative.")
    return experts, counts, values


def _leaves(
    experts: list[int], counts: list[int], num_experts: int, num_slots: int
) -> Iterator[CountRange]:
    """The counts that each leaf allows, from the first leaf to the last."""
    waiting: list[CountRange] = [([1] * num_experts, [num_slots] * num_experts)]
    for expert, count in zip(experts, counts, strict=True):
        if not waiting:
            raise CertificateError("the tree goes on after its last leaf.")
        low, high = waiting.pop()
        if expert == LEAF:
            yield low, high
            continue
        fewer, more = high.copy(), low.copy()
        fewer[expert] = min(high[expert], count)
        more[expert] = max(low[expert], count + 1)
        waiting += [(more, high), (low, fewer)]
    if waiting:
        raise CertificateError("the tree ends before its last leaf.")
