"""What the compiled core is asked: its bindings, found by looking, and the calls that drivers make.

The recorder stands between the drivers and the core while they solve small problems. Calls that it
kept are good examples of every binding, which no table has to list; fuzzing changes them,
threads repeat them, and two builds are compared by what they answered.
"""

from __future__ import annotations

import hashlib
import types
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.core import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Examples of a binding that are kept, and numbers in the arrays of one.
MOST_EXAMPLES = 6
MOST_NUMBERS = 100_000
#: Methods asked of one object that are kept.
MOST_ASKED = 4
#: Under these names a call is told how long it may work; then its answer depends on the clock.
CLOCKS = ("seconds", "deadline")


def chapters() -> dict[str, types.ModuleType]:
    """The core's submodules by name."""
    members = {name: getattr(_core, name) for name in dir(_core)}
    return {name: m for name, m in members.items() if isinstance(m, types.ModuleType)}


def is_binding(member: object) -> bool:
    """Whether it is a compiled function or method."""
    return type(member).__name__ in {"nb_func", "nb_method"}


def is_enum(member: object) -> bool:
    return isinstance(member, type) and hasattr(member, "__members__")


def bindings() -> Iterator[tuple[str, Any]]:
    """Every function, class and method of the core: its name with the chapter, and what it is."""
    for chapter, module in chapters().items():
        for name, member in vars(module).items():
            if name.startswith("__") or is_enum(member):
                continue
            if is_binding(member):
                yield f"{chapter}.{name}", member
            elif isinstance(member, type):
                if signature(member):
                    yield f"{chapter}.{name}", member
                for own, method in vars(member).items():
                    if is_binding(method) and not own.startswith("__"):
                        yield f"{chapter}.{name}.{own}", method


def signature(binding: Any) -> list[tuple[str, str]]:
    """Names and types of the parameters, without self, as nanobind writes them."""
    if isinstance(binding, type):
        found = [getattr(binding, n, None) for n in ("__init__", "__new__")]
        binding = next((f for f in found if is_binding(f)), None)
    if binding is None:
        return []
    text = binding.__nb_signature__[-1][0]
    inside = text[text.index("(") + 1 : text.rindex(") ->")]
    parameters, depth, begin = [], 0, 0
    for at, sign in enumerate(inside + ","):
        depth += (sign in "[(") - (sign in "])")
        if sign == "," and depth == 0:
            parameters.append(inside[begin:at].strip())
            begin = at + 1
    pairs = [p.partition(":")[::2] for p in parameters if p not in {"*", "/", ""}]
    return [(n.strip(), t.strip()) for n, t in pairs if n not in {"self", "cls"}]


@dataclass(eq=False)
class Life:
    """An object of the core: how it was made, and what it was asked."""

    made: Call
    asked: list[Call] = field(default_factory=list)


@dataclass(eq=False)
class Call:
    """One call, its arrays as they were before it; objects of the core stand as their lives."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    owner: Life | None = None
    before: tuple[Call, ...] = ()  # what the object was asked by then, from the first on


def frozen(value: Any, lives: dict[int, Life]) -> Any:
    """A copy that later writing does not change."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        return type(value)(frozen(v, lives) for v in value)
    return lives.get(id(value), value)


def thawed(value: Any, made: Callable[[Life], Any]) -> Any:
    """Arguments for one more call."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)):
        return type(value)(thawed(v, made) for v in value)
    return made(value) if isinstance(value, Life) else value


def attribute(name: str) -> Any:
    """The function or class of a name as `bindings` gives it."""
    chapter, *path = name.split(".")
    found: Any = chapters()[chapter]
    for part in path:
        found = getattr(found, part)
    return found


def make(life: Life) -> Any:
    """A new object, made as that one was."""
    return ask(life.made, owner_of(life.made))


def owner_of(call: Call) -> Any:
    """An object like the one that was asked, asked before as that one was; None for functions."""
    if call.owner is None:
        return None
    this = make(call.owner)
    for earlier in call.before:
        ask(earlier, this)
    return this


def ask(call: Call, this: Any = None) -> Any:
    """Make the call once more; of the object `this` where it is a method."""
    args = [thawed(a, make) for a in call.args]
    kwargs = {k: thawed(v, make) for k, v in call.kwargs.items()}
    function = attribute(call.name) if this is None else getattr(this, call.name.split(".")[-1])
    return function(*args, **kwargs)


def numbers(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return int(value.size)
    return sum(map(numbers, value)) if isinstance(value, (list, tuple)) else 0


def digest(value: Any) -> bytes:
    """Of arrays, numbers and what holds them; objects of the core count by their type alone."""
    if isinstance(value, np.ndarray):
        head = f"{value.dtype} {value.shape}".encode()
        return head + np.ascontiguousarray(value).tobytes()
    if isinstance(value, (list, tuple)):
        return b"(" + b",".join(map(digest, value)) + b")"
    if isinstance(value, dict):
        return digest(sorted(value)) + digest([value[key] for key in sorted(value)])
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value).encode()
    return str(getattr(value, "name", type(value).__name__)).encode()


class Maker:
    """Stands for a class of the core: notes what it makes."""

    def __init__(self, recorder: Recorder, name: str, made: type) -> None:
        self._recorder, self._name, self._made = recorder, name, made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._recorder.make(self._name, self._made, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


class Recorder:
    """While it is entered, all calls from Python to the core pass through it.

    Attributes
    ----------
    examples
        Some calls of each binding.
    sums, times
        For each binding a sum of its calls' digests, whatever their order, and their number; calls
        that look at the clock are counted and not added.
    """

    def __init__(self) -> None:
        self.examples: dict[str, list[Call]] = defaultdict(list)
        self.sums: Counter[str] = Counter()
        self.times: Counter[str] = Counter()
        self._lives: dict[int, Life] = {}
        self._held: list[Any] = []
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Recorder:
        for name, member in list(bindings()):
            chapter, *path = name.split(".")
            owner = chapters()[chapter]
            if len(path) == 2:
                owner = attribute(".".join(name.split(".")[:-1]))
                owner = owner._made if isinstance(owner, Maker) else owner
            new = Maker(self, name, member) if isinstance(member, type) else self._around(name)
            self._undo.append((owner, path[-1], member))
            setattr(owner, path[-1], new(member) if not isinstance(member, type) else new)
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, member in reversed(self._undo):
            setattr(owner, name, member)
        self._undo.clear()

    def make(self, name: str, kind: type, args: Any, kwargs: Any) -> Any:
        call = self._note(name, args, kwargs)
        made = kind(*args, **kwargs)
        self._bear(made, call)
        self._count(call, None)
        return made

    def _bear(self, made: Any, call: Call) -> None:
        self._held.append(made)  # or another object would get its number
        self._lives[id(made)] = Life(call)

    def _around(self, name: str) -> Callable[[Any], Any]:
        is_method = name.count(".") == 2

        def wrap(member: Any) -> Any:
            def asked(*args: Any, **kwargs: Any) -> Any:
                this, rest = (args[0], args[1:]) if is_method else (None, args)
                life = self._lives.get(id(this)) if is_method else None
                call = self._note(name, rest, kwargs, life)
                result = member(*args, **kwargs)
                if type(result).__module__.startswith(_core.__name__) and not is_enum(type(result)):
                    self._bear(result, call)
                if life is not None and len(life.asked) < MOST_ASKED:
                    life.asked.append(call)
                written = [a for a in rest if isinstance(a, np.ndarray)]
                self._count(call, [result, written])
                return result

            return asked

        return wrap

    def _note(self, name: str, args: Any, kwargs: Any, owner: Life | None = None) -> Call:
        args = [frozen(a, self._lives) for a in args]
        kwargs = {k: frozen(v, self._lives) for k, v in kwargs.items()}
        call = Call(name, args, kwargs, owner, () if owner is None else tuple(owner.asked))
        known = self.examples[name]
        small = numbers([*args, *kwargs.values()]) <= MOST_NUMBERS
        if small and len(known) < MOST_EXAMPLES:
            known.append(call)
        return call

    def _count(self, call: Call, result: Any) -> None:
        self.times[call.name] += 1
        if clock_of(call) is None:
            text = digest([call.args, list(call.kwargs.values()), result])
            self.sums[call.name] += int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def clock_of(call: Call) -> float | None:
    """How many seconds the call, or one before it, may take; None for any number."""
    for earlier in call.before:
        if (limit := clock_of(earlier)) is not None:
            return limit
    names = [n for n, _ in PARAMETERS[call.name]]
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    found = [given[c] for c in CLOCKS if isinstance(given.get(c), (int, float))]
    return next((s for s in found if s < 1e8), None)


#: Of every binding, names and types.
PARAMETERS = {name: signature(binding) for name, binding in bindings()}
