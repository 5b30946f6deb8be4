"""Bad input to every binding of the core, run in a process of its own: an error, never a crash.

    python -m tests.core.fuzz NOTES EXAMPLES [BEGINNING-OF-A-NAME ...]

Before each call it is written to the file NOTES, so that whoever started this process can say what
ended it.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.core import calls, scenes

#: A call that takes longer is taken for one that never ends.
SECONDS = 30
MEMORY = 6 << 30
SANITIZED = "EPLB_OPT_SANITIZED" in os.environ
#: Parameters that say how much work is to be done: any number of it would be allowed.
WORK = {
    "slices", "proposals", "steps", "rounds", "nodes", "swaps", "sweeps", "num_sweeps",
    "most_searches", "transfers", "budget", "seconds", "deadline", "keep", "effort",
}  # fmt: skip
INTEGERS = [
    -(2**63),
    -(2**31),
    -7,
    -1,
    0,
    1,
    2,
    3,
    5,
    17,
    255,
    65536,
    2**31,
    2**40,
    2**62,
    2**63 - 1,
]
FLOATS = [float("nan"), float("inf"), float("-inf"), -1.0, -0.0, 0.0, 5e-324, 0.5, 1.0, 1e9, 1e308]
ODD = [None, True, 2**64, 1.5, "x", b"", [], (), {}, np.float64(2), np.int8(3), object()]
DTYPES = ["bool", "int8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex128",
          "object", "U1", "M8[s]", ">i8", ">f8"]  # fmt: skip
#: No call is for such a number, as far as these bytes were never written.
HUGE = 2**44


def same_kind(array: np.ndarray) -> list[Any]:
    """Numbers that the array's dtype holds."""
    if array.dtype.kind == "f":
        return FLOATS
    if array.dtype.kind == "b":
        return [False, True]
    low, high = np.iinfo(array.dtype).min, np.iinfo(array.dtype).max
    return [n for n in INTEGERS if low <= n <= high]


def other_values(draw: Any, array: np.ndarray) -> np.ndarray:
    """Some entries, or all, are others."""
    if array.size == 0:
        return array
    array = array.copy()
    value = draw(st.sampled_from(same_kind(array)))
    if draw(st.booleans()):
        array[...] = value
    for _ in range(draw(st.integers(0, 3))):
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(same_kind(array)))
    return array


def other_shape(draw: Any, array: np.ndarray) -> np.ndarray:
    """Longer, shorter or empty along one axis, or with other axes."""
    kind = draw(
        st.sampled_from(["shorter", "longer", "empty", "flat", "more", "scalar", "swapped"])
    )
    if kind == "flat":
        return array.ravel()
    if kind == "more":
        return array[None]
    if kind == "scalar":
        return array.ravel()[:1].reshape(()) if array.size else np.zeros((), array.dtype)
    if kind == "swapped":
        return array.T
    if array.ndim == 0:
        return array
    axis = draw(st.integers(0, array.ndim - 1))
    length = array.shape[axis]
    if kind == "longer":
        return np.concatenate([array, array.take([0] * min(length, 1), axis)], axis)
    return array.take(range(0 if kind == "empty" else max(length - 1, 0)), axis)


def other_layout(draw: Any, array: np.ndarray) -> np.ndarray:
    """The same numbers, or as many, otherwise in memory."""
    kind = draw(st.sampled_from(["strided", "reversed", "fortran", "read-only", "swapped", "odd"]))
    if kind == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if kind == "reversed" and array.ndim:
        return array[::-1]
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "swapped":
        return array.astype(array.dtype.newbyteorder("S"))
    if kind == "odd":  # begins in the middle of a number
        raw = np.empty(array.nbytes + 1, dtype=np.uint8)[1:]
        moved = raw.view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    array = array.copy()
    array.flags.writeable = False
    return array


def huge(draw: Any, array: np.ndarray) -> np.ndarray:
    """One number that stands for more than memory holds."""
    one = np.zeros(1, array.dtype) if array.size == 0 else array.ravel()[:1]
    shape = [1] * max(array.ndim, 1)
    shape[draw(st.integers(0, len(shape) - 1))] = HUGE
    return np.broadcast_to(one, shape)


def changed_array(draw: Any, array: np.ndarray) -> Any:
    # AddressSanitizer ends the process where `new` would only have thrown.
    more = [] if SANITIZED else ["huge"]
    kind = draw(st.sampled_from(["values", "values", "shape", "layout", "dtype", "odd", *more]))
    if kind == "values":
        return other_values(draw, array)
    if kind == "shape":
        return other_shape(draw, array)
    if kind == "layout":
        return other_layout(draw, array)
    if kind == "huge":
        return huge(draw, array)
    if kind == "odd":
        return draw(st.sampled_from([*ODD, array.tolist()]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return array.astype(draw(st.sampled_from(DTYPES)))
        except (TypeError, ValueError, OverflowError):
            return array


def changed(draw: Any, name: str, value: Any) -> Any:
    """Something else in the place of an argument."""
    if isinstance(value, np.ndarray):
        return changed_array(draw, value)
    if isinstance(value, tuple) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return (*value[:at], changed(draw, name, value[at]), *value[at + 1 :])
    if name in WORK:
        return draw(
            st.sampled_from([-1, 0, 1, 3, -1.0, 0.01, float("nan"), float("-inf"), None, "x"])
        )
    if isinstance(value, calls.Life):
        return draw(st.sampled_from(ODD))
    near = [value - 1, value + 1, value * 2] if type(value) in (int, float) else []
    return draw(st.sampled_from([*near, *INTEGERS, *FLOATS, *ODD]))


def from_type(draw: Any, name: str, kind: str) -> Any:
    """Any argument for a parameter of that type; for bindings of which there is no example."""
    if kind.startswith("ndarray"):
        num_dims = kind.partition("shape=(")[2].partition(")")[0].count("*")
        shape = [draw(st.sampled_from([0, 1, 2, 4])) for _ in range(num_dims)]
        dtype = kind.partition("dtype=")[2].partition(",")[0] or "float64"
        array = np.zeros(shape, dtype=dtype)
        return changed_array(draw, array) if draw(st.booleans()) else other_values(draw, array)
    if kind.startswith("tuple"):
        return tuple(changed(draw, name, 2) for _ in kind.split(","))
    if kind.startswith("float"):
        return changed(draw, name, 1.0)
    return changed(draw, name, 2 if kind.startswith("int") else False)


def told(value: Any) -> str:
    if isinstance(value, np.ndarray):
        head = np.array2string(value.ravel()[:6], separator=", ") if value.size < HUGE else "..."
        return f"array(shape={value.shape}, dtype={value.dtype}, {head})"
    return repr(value)[:200]


class Watch:
    """Notes what is asked, and ends the process where an answer does not come."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes.open("w")

    def ask(self, name: str, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        given_ = [*map(told, args), *(f"{k}={told(v)}" for k, v in kwargs.items())]
        self._notes.seek(0)
        self._notes.truncate()
        self._notes.write(f"{name}({', '.join(given_)})\n")
        self._notes.flush()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            return function(*args, **kwargs)
        except Exception:  # of any kind: an error is what bad input is to get
            return None
        finally:
            faulthandler.cancel_dump_traceback_later()


def look_at(this: Any) -> None:
    """Read all that a spoilt object says of itself."""
    for name in dir(type(this)):
        if isinstance(getattr(type(this), name), property):
            getattr(this, name)


def attack(watch: Watch, draw: Any, name: str, examples: list[calls.Call]) -> None:
    """One call with bad input."""
    parameters = calls.PARAMETERS[name]
    if not examples:
        if name.count(".") == 2:
            return  # no object to ask; a test says that an example is missing
        args = [from_type(draw, n, t) for n, t in parameters]
        watch.ask(name, calls.attribute(name), args, {})
        return
    call = draw(st.sampled_from(examples))
    names = [n for n, _ in parameters][: len(call.args)] + list(call.kwargs)
    values = [*call.args, *call.kwargs.values()]
    chosen = draw(st.sets(st.integers(0, len(values) - 1), max_size=3)) if values else set()
    values = [changed(draw, n, v) if i in chosen else calls.thawed(v, calls.make)
              for i, (n, v) in enumerate(zip(names, values, strict=True))]  # fmt: skip
    args, kwargs = (
        values[: len(call.args)],
        dict(zip(call.kwargs, values[len(call.args) :], strict=False)),
    )
    this = calls.owner_of(call)
    method = calls.attribute(name) if this is None else getattr(this, name.rpartition(".")[2])
    watch.ask(name, method, args, kwargs)
    if this is not None:  # whatever was refused left an object that still works
        watch.ask(name + ", then again", calls.ask, [call, this], {})
        watch.ask(name + ", then its properties", look_at, [this], {})


def fuzz(watch: Watch, name: str, examples: list[calls.Call], num: int) -> None:
    @seed(len(name))
    @settings(
        max_examples=num, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        attack(watch, data.draw, name, examples)

    run()


def main() -> None:
    notes, num, *only = sys.argv[1:]
    faulthandler.enable()
    with calls.Recorder() as recorder:
        scenes.play()
    if not SANITIZED:  # sanitizers reserve terabytes of addresses
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    watch = Watch(Path(notes))
    names = [n for n, _ in calls.bindings() if not only or n.startswith(tuple(only))]
    for name in names:
        fuzz(watch, name, recorder.examples[name], int(num))
    print(*(n for n in names if not recorder.examples[n]), sep="\n")


if __name__ == "__main__":
    main()
