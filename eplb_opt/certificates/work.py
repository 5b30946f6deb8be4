"""How much work a certificate may cost whoever verifies it.

A certificate is a text of any origin, and a short one can ask for hours. So verifiers say what they
are about to do, in units of some 50 ns, and the limit depends on nothing but the problem's shape:
the same certificate is accepted or refused on every machine.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eplb_opt.certificates.certificate import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Some five seconds.
MAX_UNITS = 100_000_000


class _Meter(threading.local):
    left: int | None = None


_METER = _Meter()


@contextmanager
def limited(units: int) -> Iterator[None]:
    """Let what is verified in the context, in this thread, cost so much together."""
    _METER.left = units
    try:
        yield
    finally:
        _METER.left = None


def spend(units: int) -> None:
    """Take units off what is left; without a limit nothing happens.

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
