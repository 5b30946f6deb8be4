"""The work that verifying a certificate may take.

A certificate is a text of any origin, and a short one can ask for hours of work. So verifiers count
what they are about to do, in units of about 50 ns, and the limit depends on nothing but the shape
of the problem: the same certificate is accepted or refused on every machine.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The units of about five seconds.
MAX_UNITS = 100_000_000


class _Meter(threading.local):
    left: int | None = None


_METER = _Meter()


@contextmanager
def limited(units: int) -> Iterator[None]:
    """Limit what is verified in the context, in this thread, to a number of units of work."""
    _METER.left = units
    try:
        yield
    finally:
        _METER.left = None


def spend(units: int) -> None:
    """Take units from what is left; without a limit nothing happens.

    Raises
    ------
    CertificateError
        When too few are left.
    """
    if _METER.left is None:
        return
    _METER.left -= units
    if _METER.left < 0:
        raise CertificateError("it takes more work to verify than a certificate is worth.")
