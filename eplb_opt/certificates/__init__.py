"""Proofs of lower bounds that can be saved, and verified without any solver.

A `Certificate` (module `certificate`) has a kind, a bound and a table of integers, and is written
as JSON. `verify` takes a problem of one layer and a certificate of any origin: it proves the bound
again in exact integers or raises `CertificateError`, within an amount of work that depends on the
problem's shape alone (`work`). Every kind has a module whose docstring states the mathematics of
the proof: `enumeration` (all replica counts), `pairs` (two slots a GPU), `config_lp` and
`config_lp_tree` (patterns of replicas), `nodes` (groups that stay on a node), `unlike_nodes` (the
same where GPUs of nodes differ), `scenario_water`
(several loads at once), `sender_pairs` (two slots a GPU, each sending to one replica), `topology`
(a price on what is served off home), `home_prices` (the same with two slots a GPU), `node_prices`
(the same by prices of slots and of load on nodes),
`scenario_topology` and `scenario_split` (the same for several loads), `traffic` (a price on what
links cost), `crossing` (one on what crosses nodes where GPUs send) and `cost_packing` (costs of
replicas). No verifier uses code of the solvers (`eplb_opt.exact`) whose bounds it checks.
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

__all__ = ["VERIFIERS", "Certificate", "CertificateError", "bound_source", "verify"]

#: The kinds of certificates, and the "module:function" that verifies each.
VERIFIERS = {
    "pairs": "eplb_opt.certificates.pairs:verify",
    # The name of this kind in older files.
    "k2": "eplb_opt.certificates.pairs:verify",
    "config_lp": "eplb_opt.certificates.config_lp:verify",
    "config_lp_tree": "eplb_opt.certificates.config_lp_tree:verify",
    "nodes": "eplb_opt.certificates.nodes:verify",
    "unlike_nodes": "eplb_opt.certificates.unlike_nodes:verify",
    "enumeration": "eplb_opt.certificates.enumeration:verify",
    "topology": "eplb_opt.certificates.topology:verify",
    "scenario_topology": "eplb_opt.certificates.scenario_topology:verify",
    "scenario_split": "eplb_opt.certificates.scenario_split:verify",
    "home_prices": "eplb_opt.certificates.home_prices:verify",
    "node_prices": "eplb_opt.certificates.node_prices:verify",
    "traffic": "eplb_opt.certificates.traffic:verify",
    "cost_packing": "eplb_opt.certificates.cost_packing:verify",
    "scenario_water": "eplb_opt.certificates.scenario_water:verify",
    "scenario_pairs": "eplb_opt.certificates.scenario_water:verify",
    "sender_pairs": "eplb_opt.certificates.sender_pairs:verify",
    "crossing": "eplb_opt.certificates.crossing:verify",
}

#: The kinds that take scenarios and GPU rules into account; the others hold for one load, split
#: evenly, on GPUs that are alike.
GENERAL = {"scenario_water", "scenario_pairs", "sender_pairs", "unlike_nodes"}
#: The kinds that hold where tokens are not split evenly; their verifiers say for which dispatch.
ANY_SPLIT = {"scenario_water", "sender_pairs", "crossing"}

#: The kinds for a topology, whose objective is load and price together.
PRICED = {
    "topology",
    "home_prices",
    "node_prices",
    "scenario_topology",
    "scenario_split",
    "traffic",
    "crossing",
}

#: The leaves of a tree that may be verified however many slots a GPU has.
LEAVES = 4


#: What a result calls the source of a bound where that is not the certificate's kind.
BOUND_SOURCES = {
    "pairs": "k2",
    "home_prices": "topology",
    "node_prices": "topology",
    "unlike_nodes": "hierarchy",
}


def bound_source(certificate: Certificate) -> str:
    """What a result calls the source of the bound that the certificate proves."""
    return BOUND_SOURCES.get(certificate.kind, certificate.kind)


def verify(problem: Problem, certificate: Certificate) -> Fraction:
    """Prove the bound of a certificate again, for a problem of one layer.

    Parameters
    ----------
    problem
        The layer; its loads, slots and topology are all that is read.
    certificate
        A certificate of any origin: nothing in it is trusted.

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
    if problem.dispatch != "uniform" and certificate.kind not in ANY_SPLIT:
        raise CertificateError(f"{certificate.kind} holds for the uniform split alone.")
    if problem.has_topology != (certificate.kind in PRICED):
        raise CertificateError(f"{certificate.kind} is not of such a problem's objective.")
    if problem.has_cost != (certificate.kind == "cost_packing"):
        raise CertificateError(f"{certificate.kind} is not of such a problem's objective.")
    own = problem.has_topology or problem.has_cost
    if not (problem.is_plain or own or certificate.kind in GENERAL):
        raise CertificateError("certificates are of one load on GPUs that are all alike.")
    module, function = VERIFIERS[certificate.kind].split(":")
    verifier: Callable[[Problem, Certificate], Fraction] = getattr(import_module(module), function)
    with limited(max(MAX_UNITS, LEAVES * leaf_units(problem.slots_per_gpu))):
        return verifier(problem, certificate)
