"""A clock that kernels read without asking the interpreter; importing this loads numba."""

from __future__ import annotations

import time
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: None on systems without `clock_gettime`; there a time limit brings the greedy alone.
CLOCK = getattr(time, "CLOCK_MONOTONIC", None)


def now_ns() -> int | None:
    """The time of `kernel_ns`, read from Python; None where there is none."""
    return None if CLOCK is None else time.clock_gettime_ns(CLOCK)


@intrinsic  # type: ignore[untyped-decorator]
def kernel_ns(_: Any) -> Any:
    """Nanoseconds of the monotonic clock, int64: one call of `clock_gettime`, 25 to 80 ns."""

    def codegen(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        word, number = ir.IntType(64), ir.IntType(32)
        if CLOCK is None:
            return word(0)
        spec = cgutils.alloca_once(builder, ir.ArrayType(word, 2))
        read = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(number, [number, spec.type]), "clock_gettime"
        )
        builder.call(read, [number(CLOCK), spec])
        seconds, nanoseconds = (
            builder.load(cgutils.gep_inbounds(builder, spec, 0, i)) for i in range(2)
        )
        return builder.add(builder.mul(seconds, word(10**9)), nanoseconds)

    return types.int64(), codegen
