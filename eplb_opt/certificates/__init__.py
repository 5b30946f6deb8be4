"""Proofs of lower bounds that can be saved, and verified without any solver.

A certificate holds integers alone. Its verifier reads the loads and these integers, computes in
integers, and shares no code with the engine that made it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import Certificate, CertificateError
from eplb_opt.certificates.config_lp import leaf_units
from eplb_opt.certificates.work import MAX_UNITS, limited
from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from eplb_opt.problem.problem import Problem

__all__ = ["VERIFIERS", "Certificate", "CertificateError", "verify"]

#: Kind of a certificate to the "module:function" that verifies it.
VERIFIERS = {
    "k2": "eplb_opt.certificates.pairs:verify",
    "config_lp": "eplb_opt.certificates.config_lp:verify",
    "config_lp_tree": "eplb_opt.certificates.config_lp_tree:verify",
    "nodes": "eplb_opt.certificates.nodes:verify",
    "enumeration": "eplb_opt.certificates.enumeration:verify",
    "scenario_water": "eplb_opt.certificates.scenario_water:verify",
    "scenario_pairs": "eplb_opt.certificates.scenario_water:verify",
}

#: Kinds that take scenarios and GPU rules into account; the others are of one load, split
#: uniformly, and like GPUs.
GENERAL = {"scenario_water", "scenario_pairs"}
#: Of these, the kinds that ask nothing of how tokens are split over replicas.
ANY_SPLIT = {"scenario_water"}


#: However many slots a GPU has, a tree of so many leaves may be verified.
LEAVES = 4


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """The bound of a certificate, proven anew for a problem of one layer.

    Parameters
    ----------
    problem
        One layer; its loads are all that is taken from it besides slots and topology.
    certificate
        Of any origin: nothing in it is trusted.

    Returns
    -------
    A lower bound of the layer's largest GPU load, in the problem's integer units.

    Raises
    ------
    CertificateError
        When the certificate does not prove its bound, or not with a bounded amount of work.
    ProblemError
        For a problem of several layers.
    """
    if problem.num_layers != 1:
        raise ProblemError(
            f"A certificate is of one layer, not {problem.num_layers}; use problem.layer()."
        )
    if certificate.kind not in VERIFIERS:
        raise CertificateError(
            f"kind {certificate.kind!r} is unknown; known: {', '.join(VERIFIERS)}."
        )
    if problem.is_split_freely and certificate.kind not in ANY_SPLIT:
        raise CertificateError(f"{certificate.kind} holds for the uniform split alone.")
    if not (problem.is_plain or certificate.kind in GENERAL):
        raise CertificateError("certificates are of one load on GPUs that are all alike.")
    module, function = VERIFIERS[certificate.kind].split(":")
    verifier: Callable[[Problem, Certificate], Fraction] = getattr(import_module(module), function)
    with limited(max(MAX_UNITS, LEAVES * leaf_units(problem.slots_per_gpu))):
        return verifier(problem, certificate)
