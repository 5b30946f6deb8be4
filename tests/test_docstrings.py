"""Docstrings: public names say what they take and return; an entry anywhere is a parameter.

That every public module, class, function and method has a docstring at all is ruff's to check.
"""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import eplb_opt
import heuristics

ROOT = Path(__file__).parent.parent
PACKAGES = ("eplb_opt", "heuristics")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
#: numpydoc's names of what may not be missing, by the object's own signature and code.
CHECKS = {
    "GL08",  # a docstring
    "SS01",  # its first line
    "PR01",  # an entry for a parameter
    "PR02",  # a parameter for an entry
    "PR03",  # their order
    "PR07",  # what a parameter is
    "RT01",  # what is returned
    "RT03",  # what that is
    "YD01",  # what is yielded
}
#: Types that the public calls return and that nobody has to import.
RETURNED = (
    "eplb_opt.migration.frontier.Frontier",
    "eplb_opt.placement.after_loss.AfterLoss",
    "eplb_opt.result.HistoryPoint",
    "eplb_opt.result.ObjectiveBounds",
    "eplb_opt.result.StartResult",
)
ENUMERATIONS = {"eplb_opt.Status", "eplb_opt.StopReason"}
MEMBERS = (property, classmethod, staticmethod)


def public_members(owner):
    """Methods and properties that a class, or a class of ours that it extends, defines, by name."""
    ours = [base for base in owner.__mro__ if base.__module__.partition(".")[0] in PACKAGES]
    for name, member in {name: m for base in ours for name, m in vars(base).items()}.items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, MEMBERS)):
            yield name


def public_functions(module):
    """Functions that a module defines itself, by name."""
    for name, value in vars(module).items():
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_":
            yield name


def exported():
    """Dotted names of all that both packages export, with the members of classes and modules."""
    for package in (eplb_opt, heuristics):
        for name in package.__all__:
            value, place = getattr(package, name), f"{package.__name__}.{name}"
            if inspect.isclass(value):
                yield place
                yield from (f"{place}.{member}" for member in public_members(value))
            elif isinstance(value, ModuleType):
                yield from (f"{place}.{function}" for function in public_functions(value))
            elif inspect.isfunction(value):
                yield place
    for place in RETURNED:
        yield place
        yield from (f"{place}.{member}" for member in public_members(found(place)))
    yield "heuristics.table.Heuristic"
    yield "heuristics.table.Heuristic.__call__"
    yield "heuristics.greedy.rebalance_experts"


def found(place):
    """The object of a dotted name."""
    module, _, name = place.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("place", list(exported()))
def test_a_public_name_documents_every_parameter_and_what_it_returns(place):
    validate = pytest.importorskip("numpydoc.validate", reason="eplb-opt[docs] is missing")
    # The parameters of an enumeration's class are Python's.
    checks = CHECKS - {"PR01"} if place in ENUMERATIONS else CHECKS
    errors = validate.validate(place)["errors"]
    assert not [f"{code}: {text}" for code, text in errors if code in checks]


def entries(docstring):
    """Names of the Parameters section, or None where there is no such section."""
    docscrape = pytest.importorskip("numpydoc.docscrape", reason="eplb-opt[docs] is missing")
    if not docstring or not re.search(r"^Parameters\n-+$", docstring, re.MULTILINE):
        return None
    section = docscrape.NumpyDocString(docstring)["Parameters"]
    return [name.strip() for entry in section for name in entry.name.split(",")]


def parameters(function):
    """Names of a function's parameters as its docstring writes them."""
    args = function.args
    plain = [a.arg for a in (*args.posonlyargs, *args.args)]
    starred = [f"*{args.vararg.arg}"] if args.vararg else []
    named = [a.arg for a in args.kwonlyargs]
    rest = [f"**{args.kwarg.arg}"] if args.kwarg else []
    return [name for name in (*plain, *starred, *named, *rest) if name not in ("self", "cls")]


def fields(owner):
    """Names of the fields of a dataclass or named tuple that its call takes."""
    for line in owner.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            left_out = "init=False" in ast.unparse(line) or "ClassVar" in ast.unparse(
                line.annotation
            )
            if not left_out and not line.target.id.startswith("_"):
                yield line.target.id


def is_record(owner):
    """Whether a class is made of its fields, so that its entries are those."""
    heads = [ast.unparse(head) for head in (*owner.decorator_list, *owner.bases)]
    return any(re.search(r"dataclass|NamedTuple", head) for head in heads)


def test_where_a_docstring_has_entries_they_are_the_parameters_in_their_order():
    wrong = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                expected = parameters(node)
            elif isinstance(node, ast.ClassDef) and is_record(node):
                expected = list(fields(node))
            else:
                continue
            if entries(ast.get_docstring(node)) not in (None, expected):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not wrong
