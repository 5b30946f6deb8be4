"""What proves the values of a stored instance: a plan and certificates, an archive an instance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.certificates.certificate import Certificate
from eplb_opt.errors import FormatError
from eplb_opt.io.containers.npz import Archive, npz_bytes
from eplb_opt.io.containers.plain_json import parse_json
from eplb_opt.io.files import naming, open_checked
from eplb_opt.placement import scoring
from eplb_opt.planner.evaluate import verified_bounds

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from eplb_opt.bench.instance import Instance
    from eplb_opt.bounds.bounds import Bound

FOLDER = "known"
PLAN_KEY, CERTIFICATES_KEY = "physical_to_logical", "certificates"
#: How a bound is proven: by the stored certificate, or by what `fast_bounds` computes in a moment.
BY_CERTIFICATE, RECOMPUTED = "certificate", "recomputed"


@dataclass(frozen=True, eq=False)
class Proofs:
    """What proves the values of an instance.

    Parameters
    ----------
    placed
        The best plan known, int64 [num_layers, num_slots].
    certificates
        [num_layers]; None where the bound is recomputed.
    """

    placed: np.ndarray
    certificates: list[Certificate | None]


def read_proofs(instance: Instance) -> Proofs:
    """The stored plan and certificates of an instance.

    Raises
    ------
    FormatError
        When they are absent or damaged; nothing in them is believed until it is verified.
    """
    path = proofs_path(instance)
    with naming(path):
        arrays = Archive(open_checked(path))
        placed, text = arrays[PLAN_KEY], arrays[CERTIFICATES_KEY]
        if placed.ndim != 2 or placed.dtype.kind != "i" or text.dtype != np.uint8:
            raise FormatError(f"{PLAN_KEY} and {CERTIFICATES_KEY} are no map and no text.")
        listed = parse_json(text.tobytes().decode("utf-8", "replace"))
        if not isinstance(listed, list) or len(listed) != len(placed):
            raise FormatError(f"one certificate a layer is due, or null; {len(placed)} layers.")
        certificates = [None if one is None else Certificate.from_dict(one) for one in listed]
    return Proofs(placed.astype(np.int64), certificates)


def proofs_path(instance: Instance) -> Path:
    """Where the proofs of an instance lie."""
    return instance.folder / FOLDER / f"{instance.name}.npz"


def packed(proofs: Proofs) -> bytes:
    """The bytes of a file of proofs.

    Parameters
    ----------
    proofs
        The plan and the certificates.
    """
    listed = [None if one is None else one.to_dict() for one in proofs.certificates]
    text = json.dumps(listed, separators=(",", ":")).encode()
    placed = proofs.placed
    arrays = {
        PLAN_KEY: placed.astype("<i2" if placed.max(initial=0) < 2**15 else "<i4"),
        CERTIFICATES_KEY: np.frombuffer(text, dtype=np.uint8),
    }
    return npz_bytes(arrays)


def proven(instance: Instance, proofs: Proofs) -> tuple[list[Fraction], list[tuple[Bound, str]]]:
    """What plan and certificates prove: exact objectives, and bounds with the word on their proof.

    No planner is called, and nothing in the proofs is believed.

    Parameters
    ----------
    instance
        The instance.
    proofs
        A plan and certificates of any origin.

    Raises
    ------
    PlanError, FormatError
        When the plan breaks a rule, or moves too much.
    CertificateError
        When a certificate does not prove its bound.
    """
    problem = instance.problem()
    plan = instance.check(problem, proofs.placed)
    objectives = scoring.objectives(problem, plan.physical_to_logical)
    cheap = fast_bounds(problem)
    best = verified_bounds(problem, proofs.certificates)
    bounds = []
    for low, high, certificate in zip(cheap, best, proofs.certificates, strict=True):
        if certificate is not None and high.value > low.value:
            bounds.append((high, f"{BY_CERTIFICATE} {certificate.kind}"))
        else:
            bounds.append((low, f"{RECOMPUTED} {low.source}"))
    return objectives, bounds
