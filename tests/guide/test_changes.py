"""The page of changes names modules that are there."""

import re
from importlib.util import find_spec

from eplb_opt.guide import read_topic

ROWS = re.findall(r"^\| (`[^|]+) \| (`[^|]+) \|$", read_topic("changes"), re.MULTILINE)


def names(cell):
    return re.findall(r"`(eplb_opt\.[\w.]+)`", cell)


def test_what_has_moved_can_be_imported_from_its_new_place():
    targets = {name for _, now in ROWS for name in names(now)}
    assert len(targets) > 100
    assert not [name for name in sorted(targets) if find_spec(name) is None]


def test_no_module_is_listed_twice():
    sources = [name for before, _ in ROWS for name in names(before)]
    assert len(sources) == len(set(sources))
