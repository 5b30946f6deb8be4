"""Figures as a person reads them, the same in a terminal and on a page."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb_opt.result import Result

#: A price below this is what rounding makes of nothing.
NO_PRICE = 1e-12
#: A number and the unit after it, or a word and its number: neither is broken in two.
UNIT = re.compile(r"(?<=\d) (?=(?:%|s|ms|h|[KMGT]i?B|GPUs?|tokens|slots|moves|layers|nodes)\b|%)")
NO_BREAK = "\u00a0"


def percent(fraction: float) -> str:
    """A gap as a person reads it: 0 when it is proven to be, else the digits that matter.

    >>> percent(0.0), percent(0.0123), percent(2.3e-06), percent(1e-12)
    ('0', '1.23 %', '0.00023 %', '< 0.00001 %')
    >>> percent(-0.02)
    '-2 %'
    """
    if np.isnan(fraction):
        return "-"
    if fraction == 0:
        return "0"
    if np.isinf(fraction):
        return "no bound"
    if fraction < 0:
        return "-" + percent(-fraction).removeprefix("< ")
    value = 100 * fraction
    if value < 1e-5:
        return "< 0.00001 %"
    return f"{value:.3g} %" if value >= 1e-3 else f"{value:.5f}".rstrip("0") + " %"


def percent_at_least(fraction: Fraction) -> str:
    """A share of at least 0 as a claim: three digits, rounded down.

    >>> percent_at_least(Fraction(2, 3)), percent_at_least(Fraction(1, 1)), percent_at_least(0)
    ('66.6 %', '100 %', '0 %')
    >>> percent_at_least(Fraction(1, 10**9))
    '0.0000001 %'
    """
    value = 100 * Fraction(fraction)
    if value == 0:
        return "0 %"
    last = math.floor(math.log10(value)) - 2
    step = Fraction(10) ** last
    text = f"{float(math.floor(value / step) * step):.{max(-last, 0)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + " %"


def unbroken(text: str) -> str:
    """The text with no place to break a line before a unit.

    >>> unbroken("2 % in 3 s on 4 GPUs, 5 apples").replace(NO_BREAK, "~")
    '2~% in 3~s on 4~GPUs, 5 apples'
    """
    return UNIT.sub(NO_BREAK, text)


def duration(seconds: float | None) -> str:
    """Seconds, or milliseconds below one."""
    if seconds is None:
        return "given"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def amount(load: float) -> str:
    """A load, its thousands grouped; with decimals below a million, where a gap shows in them."""
    if load >= 1e6:
        return f"{load:,.0f}"
    return f"{load:,.3f}".rstrip("0").rstrip(".")


def price_text(at_least: float, at_most: float) -> str:
    """An interval as a person reads it.

    >>> price_text(0.16, 0.16), price_text(0.0, 0.0), price_text(0.0, 0.01)
    ('16 %', '0', '≤ 1 %')
    >>> price_text(0.02, 0.03), price_text(-0.001, 0.03), price_text(-0.03, -0.02)
    ('2-3 %', '≤ 3 %', '-3 to -2 %')
    >>> price_text(-0.001, 0.0)
    '≤ 0'
    """
    at_least, at_most = (0.0 if abs(v) < NO_PRICE else v for v in (at_least, at_most))
    least, most = percent(at_least), percent(at_most)
    if least == most:
        return least
    if at_least <= 0 <= at_most:
        return f"≤ {most}"
    between = "-" if at_least > 0 else " to "
    return f"{least.removesuffix(' %')}{between}{most}"


#: A way of splitting tokens, as a person calls it.
DISPATCH_WORDS = {
    "uniform": "uniform split",
    "optimal": "optimal dispatch",
    "nearest": "nearest copy",
    "rank_modulo": "rank modulo",
}


def describe(result: Result) -> str:
    """The shape of the problem and how the call ended, in one line."""
    problem = result.problem
    shape = (
        f"{problem.num_layers} layers x {problem.num_experts} experts, {problem.num_slots} slots "
        f"on {problem.num_gpus} GPUs"
    )
    if problem.is_hierarchical:
        shape += f", {problem.num_groups} groups on {problem.num_nodes} nodes"
    if problem.topology is not None:
        what = "off home" if problem.topology.counts_off_home else "links"
        what = "crossing" if problem.splits_by_sender else what
        shape += f", {problem.num_nodes} nodes, {what} at {problem.topology.price:g}"
    if problem.counts_seconds:
        name = getattr(problem.cost, "name", "") or "a step cost"
        shape += f", {name} at {problem.batch_tokens} tokens a GPU"
    has_nodes = problem.is_hierarchical or problem.has_topology
    if problem.dispatch == "nearest" and not has_nodes:
        shape += f", {problem.num_nodes} nodes"
    if problem.dispatch != "uniform":
        shape += f", {DISPATCH_WORDS[problem.dispatch]}"
    return f"{shape}; {result.elapsed:.2f} s, stopped by {result.stop_reason}"
