"""Whether what a job directory says of a layer is true: checked, scored and proven again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.bounds import Bound, attainable
from eplb_opt.certificates import CertificateError, verify
from eplb_opt.errors import FormatError, PlanError
from eplb_opt.placement import checker, scoring
from eplb_opt.solver import Verdict

if TYPE_CHECKING:
    from fractions import Fraction

    from eplb_opt.planner.job.records import Record
    from eplb_opt.problem.problem import Problem


@dataclass(frozen=True)
class Verified:
    """What is left of a layer's records.

    Parameters
    ----------
    records
        Those that are true.
    unproven
        Sources of bounds that say more than certificates prove.
    """

    records: list[Record] = field(default_factory=list)
    unproven: tuple[str, ...] = ()


def verified(
    problem: Problem, records: list[Record], lower_bound: Fraction, is_counted: bool
) -> Verified:
    """The records of one layer, as far as they are true.

    Of a bound no more is believed than its certificate proves, and where it says more its solver
    has its turn again. Where work is counted the turn's record is left out, and all later ones with
    it: their turns began from that bound.

    Parameters
    ----------
    problem
        The problem of the layer.
    records
        What its file says.
    lower_bound
        What is proven of the layer without them.
    is_counted
        Whether the call counts work.

    Raises
    ------
    FormatError
        When a plan breaks a rule or is not worth what the file says, or a certificate does not
        prove its own claim: somebody has changed the file, or the disk has.
    """
    true: list[Record] = []
    unproven: list[str] = []
    for record in records:
        _check_plan(problem, record)
        proven = _proven(problem, record)
        bound = record.answer.bound
        lower_bound = lower_bound if proven is None else max(lower_bound, proven)
        if bound is None or attainable(problem, 0, bound).value <= lower_bound:
            true.append(record)
            continue
        # An exact solver's last word goes beyond its certificate.
        unproven.append(bound.source)
        if is_counted:
            break
        # The plan and what is proven are kept, and the solver is asked again for its bound.
        less = None if proven is None else Bound(proven, bound.source)
        answer = replace(record.answer, bound=less, verdict=Verdict.AGAIN)
        true.append(replace(record, turns=0, answer=answer))
    return Verified(true, tuple(unproven))


def _check_plan(problem: Problem, record: Record) -> None:
    placed = record.answer.placed
    if placed is None:
        return
    if placed.shape != (problem.num_slots,):
        raise FormatError(
            f"the plan of {record.stage} has {len(placed)} slots, not {problem.num_slots}."
        )
    try:
        checker.check(problem, placed[None])
    except PlanError as error:
        raise FormatError(f"the plan of {record.stage} breaks a rule: {error}") from error
    worth = scoring.objectives(problem, placed[None])[0]
    if worth != record.objective:
        raise FormatError(
            f"the plan of {record.stage} is worth {worth}, not {record.objective} as the file says."
        )


def _proven(problem: Problem, record: Record) -> Fraction | None:
    """What the record's certificate proves, rounded up as incumbents' bounds are; None without."""
    certificate = record.answer.certificate
    if certificate is None:
        return None
    try:
        value = verify(problem, certificate)
    except CertificateError as error:
        raise FormatError(f"the certificate of {record.stage} proves nothing: {error}") from error
    return attainable(problem, 0, Bound(value, certificate.kind)).value
