"""What a certificate's data prove of the layer without its topology: the flat layer.

A plan with a topology, or under senders, is a plan without one too. So a certificate of kind
"pairs" for the flat layer bounds its load, and may stand within the data of another kind's
certificate, in entries that begin with `PAIRS_PREFIX`. The water level of its slots bounds it, too.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from eplb_opt.certificates import pairs
from eplb_opt.certificates.certificate import Certificate, CertificateError

if TYPE_CHECKING:
    from eplb_opt.problem.problem import Problem

#: Names of the data of a certificate of the flat layer begin with this.
PAIRS_PREFIX = "pairs_"


def flat_bound(
    problem: Problem, data: dict[str, int | list[int]]
) -> tuple[Fraction, dict[str, int | list[int]]]:
    """What the data prove of the flat layer's load, 0 for nothing; and the rest of the data."""
    of_pairs, rest = apart_from_pairs("pairs", data)
    if of_pairs is None:
        return Fraction(0), rest
    if problem.has_gpu_rules:
        raise CertificateError("pairs is for GPUs that are alike.")
    return pairs.verify(problem.flat().with_colocation("allow"), of_pairs), rest


def apart_from_pairs(
    kind: str, data: dict[str, int | list[int]]
) -> tuple[Certificate | None, dict[str, int | list[int]]]:
    """The certificate of pairs that stands in another's data, of this kind; and the other data."""
    parts = {name: value for name, value in data.items() if name.startswith(PAIRS_PREFIX)}
    rest = {name: value for name, value in data.items() if name not in parts}
    if not parts:
        return None, rest
    terms = parts.pop(PAIRS_PREFIX + "bound", None)
    if not isinstance(terms, list) or len(terms) != 2 or min(terms) < 1:
        raise CertificateError("pairs_bound has a numerator and a denominator, above 0.")
    inner = {name.removeprefix(PAIRS_PREFIX): value for name, value in parts.items()}
    return Certificate(kind, Fraction(*terms), inner), rest


def is_below_water(problem: Problem, level: Fraction) -> bool:
    """Whether every plan's largest load is at least the level, because the slots are too few."""
    # In a plan below it, an expert has more than load / level replicas.
    top, bottom = level.numerator, level.denominator
    replicas = sum(int(w) * bottom // top + 1 for w in problem.load[0].tolist())
    return replicas > int(problem.open_slots.sum())
