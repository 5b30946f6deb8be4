"""Verification of kind "sender_pairs": two slots a GPU, and every GPU sends to one replica.

Sizes are whole numbers of senders' parts, w / G for G senders. Suppose a plan's largest load is at
most t, and let d(x) = 2 x - t for a replica of size x. Two replicas on a GPU have d(x) + d(y) <= 0.
For steps at a_k >= 0 of heights h_k >= 0 let

    g(x) = sum_k h_k ([d(x) > a_k] - [d(x) < -a_k])

where d(x) > a_k there is d(y) < -a_k, so g(x) + g(y) <= 0, and over all GPUs the sum of g is at
most 0. But g does not fall where a replica grows, and an expert with n replicas has none smaller
than the `least_senders` say. So for any price p of a slot the sum is at least

    sum_e min_n (g of its least replicas - p n) + p slots

over the counts n whose replicas are at most t. Where this is above 0 no such plan exists, and the
next whole number of parts, t + 1, is a bound. The data: the price p, the steps a_k, ascending, and
their heights h_k.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.work import spend

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem

#: Units of work for one expert and count.
COUNT_UNITS = 60


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Rules of nodes, co-location and single GPUs only forbid plans, so the bound holds under them
    too.

    Raises
    ------
    CertificateError
        When it is not proven, or would take too much work.
    """
    check_problem(problem)
    bound = certificate.bound * problem.num_senders
    if bound.denominator != 1:
        raise CertificateError("the bound is no whole number of senders' parts.")
    if bound <= 0:
        return certificate.bound  # no load is negative
    price, steps, heights = _read(certificate)
    spare = problem.num_slots - problem.num_experts
    spend(COUNT_UNITS * problem.num_experts * (spare + 1))
    level = bound.numerator - 1
    sums = [0, *accumulate(heights)]

    def worth(size: int) -> int:
        away = 2 * size - level
        return sums[bisect_left(steps, away)] if away > 0 else -sums[bisect_left(steps, -away)]

    counts = [least_senders(problem, n) for n in range(1, spare + 2)]
    total = price * problem.num_slots
    for load in problem.load[0].tolist():
        values = [
            sum(times * worth(load * sent) for times, sent in parts) - price * n
            for n, parts in enumerate(counts, 1)
            if load * parts[0][1] <= level
        ]
        if not values:
            return certificate.bound  # no count of replicas of at most t
        total += min(values)
    if total <= 0:
        raise CertificateError(f"the steps do not prove {certificate.bound}.")
    return certificate.bound


def check_problem(problem: Problem) -> None:
    """Refuse problems that the argument is not for.

    Raises
    ------
    CertificateError
        With what is wanted.
    """
    whole = problem.splits_by_sender and (problem.open_slots == 2).all()
    if not whole or problem.has_scenarios or problem.gpu_speed is not None:
        raise CertificateError(
            "sender_pairs is of one load on GPUs with two slots each, all of one speed, where "
            "every GPU sends to one replica."
        )


def least_senders(problem: Problem, count: int) -> tuple[tuple[int, int], ...]:
    """The fewest senders that the replicas of an expert can have, the most first.

    Under rank modulo the numbers are what they are. Under nearest copy some replica has at least
    the mean. For the others take the fewest in each case: where each replica is the first on a node
    it has that node's GPUs, and where some are not, these may have nothing but their part of what
    is left. That is least where the others have as many nodes as can be, or where all stand on one
    node, of which then each GPU with a replica serves itself.

    Parameters
    ----------
    problem
        The machine and the dispatch.
    count
        Replicas of the expert.

    Returns
    -------
    tuple
        (times, senders) pairs whose times add up to the count.
    """
    senders = problem.num_senders
    each, odd = divmod(senders, count)
    if problem.dispatch == "rank_modulo" or count == 1:
        return ((odd, each + 1), (count - odd, each)) if odd else ((count, each),)
    per_node = problem.gpus_per_node
    hosts = min(count, per_node)
    # On one node: all on GPUs of their own, or some on a GPU that has one already.
    fewest = [1 + (senders - count) // count] if count <= per_node else []
    fewest.append((senders - min(count - 1, hosts)) // count)
    nodes = min(count - 1, problem.num_nodes)
    if nodes > 1:
        fewest.append(max(senders - nodes * per_node, 0) // count)
    if 1 < count <= problem.num_nodes:
        fewest.append(per_node + (senders - count * per_node) // count)
    return ((1, -(-senders // count)), (count - 1, min(fewest)))


def _read(certificate: Certificate) -> tuple[int, list[int], list[int]]:
    if set(certificate.data) != {"price", "steps", "heights"}:
        raise CertificateError("sender_pairs has price, steps and heights.")
    price, steps, heights = (certificate.data[name] for name in ("price", "steps", "heights"))
    if isinstance(price, list) or isinstance(steps, int) or isinstance(heights, int):
        raise CertificateError("price is a number, steps and heights are lists.")
    if len(steps) != len(heights) or steps != sorted(steps):
        raise CertificateError("steps must ascend, with a height each.")
    if min([*steps, *heights], default=0) < 0:
        raise CertificateError("steps and heights are at least 0.")
    spend(len(steps))
    return price, steps, heights
