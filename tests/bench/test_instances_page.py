"""`instances/README.md` says of the stored instances what the tables say."""

import re

import numpy as np
import pytest

from eplb_opt.bench import best_known, library

PAGE = (library.find_folder() / "README.md").read_text()


def rows(*, columns):
    """Cells of the page's tables with so many columns, headings left out."""
    lines = re.findall(r"^\| (`.*) \|$", PAGE, re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return {
        row[0].strip("`"): row[1:] for row in cells if len(row) == columns and row[1][0].isdigit()
    }


FILES = {name: row for name, row in rows(columns=5).items() if name.endswith(".npz")}
INSTANCES = {name: row for name, row in rows(columns=5).items() if not name.endswith(".npz")}


def test_the_page_has_every_load_file_with_its_shape():
    stated = {name: tuple(map(int, row[:3])) for name, row in FILES.items()}
    assert stated == {
        f"{name}.npz": (source.num_layers, source.num_experts, source.first_layer)
        for name, source in library.LOAD_FILES.items()
    }


def test_the_page_has_every_instance_with_its_machine():
    stated = {name: tuple(map(int, row)) for name, row in INSTANCES.items()}
    assert stated == {
        name: (entry.num_slots, entry.num_gpus, entry.num_nodes, entry.num_groups)
        for name, entry in library.INSTANCES.items()
    }


@pytest.mark.parametrize("name", library.LOAD_FILES)
def test_a_load_file_holds_the_arrays_that_the_page_names(name):
    with np.load(library.file_of(name), allow_pickle=False) as arrays:
        assert all(f"| `{key}` |" in PAGE for key in arrays.files)
        assert arrays["load"].dtype.kind == "u"
        assert str(arrays["units"]) == "routed (token, expert) assignments"


def test_every_worked_optimum_of_the_page_is_the_known_one():
    known = best_known.load_best_known()
    for name, stated in (("readme", "136 and 172"), ("readme-h", "151 and 359/2")):
        assert " and ".join(str(layer.objective.value) for layer in known[name]) == stated
        assert stated in PAGE
