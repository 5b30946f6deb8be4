"""Verification of kind "scenario_topology": load and price of what is off home, for several loads.

One plan serves all scenarios, and its homes are one choice for all. `topology` says what each
scenario is worth at least under every choice of homes; whatever the choice is, the layer is worth
at least what these make together, their weighted mean or the largest of them. A scenario without
load is worth 1.

A limit on what is off home is one on the weighted mean of the scenarios, so that it is left out of
what is proven of each alone; where the worst scenario counts it holds for each.

The data have the levels of each scenario and their scale, "levels_0", "scale_0" and so on.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError
from eplb_opt.certificates.topology import least_of_choices

if TYPE_CHECKING:
    from eplb_opt.certificates.certificate import Certificate
    from eplb_opt.problem.problem import Problem


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound, proven again as the module describes.

    Raises
    ------
    CertificateError
        When it is not proven.
    """
    if problem.topology is None or not problem.has_scenarios:
        raise CertificateError("scenario_topology is of several loads with a topology.")
    problem = problem.without_lost_gpus() or problem
    rules = problem.topology
    if rules is not None and rules.max_off_home is not None and problem.objective != "max":
        problem = problem.with_topology(replace(rules, max_off_home=None))
    scenarios = range(problem.num_scenarios)
    names = {f"{name}_{r}" for r in scenarios for name in ("levels", "scale")}
    if set(certificate.data) != names:
        raise CertificateError("wanted are levels and a scale for each scenario, and no more.")
    of_each: list[list[Fraction]] = []
    for r in scenarios:
        alone = problem.scenario(r)
        if not alone.load.any():
            of_each.append([])
            continue
        data = {name: certificate.data[f"{name}_{r}"] for name in ("levels", "scale")}
        of_each.append(least_of_choices(alone, data))
    num_choices = max((len(values) for values in of_each), default=0) or 1
    rows = [values or [Fraction(1)] * num_choices for values in of_each]
    if min(_together(problem, values) for values in zip(*rows, strict=True)) < certificate.bound:
        raise CertificateError(f"a choice of homes is not proven {certificate.bound}.")
    return certificate.bound


def _together(problem: Problem, values: tuple[Fraction, ...]) -> Fraction:
    pairs = list(zip(values, problem.shares, strict=True))
    if problem.objective == "max":
        return max(value for value, share in pairs if share)
    return sum((value * share for value, share in pairs), Fraction(0))
