"""`instances/README.md` says of the stored instances what the tables say."""

import re

import numpy as np
import pytest

from eplb_opt.bench import best_known, library, proofs
from eplb_opt.bench.instance import KEYS
from eplb_opt.bench.load_files import LOAD_FILES

PAGE = (library.find_folder() / "README.md").read_text()


def rows(*, columns):
    """Cells of the page's tables with that many columns, headings left out."""
    lines = re.findall(r"^\| (`.*) \|$", PAGE, re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells if len(row) == columns}


def test_the_page_has_every_load_file_with_its_shape():
    stated = {name: tuple(map(int, row[:3])) for name, row in rows(columns=5).items()}
    assert stated == {
        f"{name}.npz": (source.num_layers, source.num_experts, source.first_layer)
        for name, source in LOAD_FILES.items()
    }


@pytest.mark.parametrize("name", LOAD_FILES)
def test_a_load_file_holds_the_arrays_that_the_page_names(name):
    with np.load(library.find_folder() / f"{name}.npz", allow_pickle=False) as arrays:
        assert all(f"| `{key}` |" in PAGE for key in arrays.files)


def test_the_page_has_every_key_of_a_row_and_every_file():
    assert all(f"`{key}`" in PAGE for key in KEYS)
    for path in library.find_folder().iterdir():
        assert path.suffix == ".npz" or path.name == "README.md" or f"`{path.name}" in PAGE


def test_the_proofs_that_are_stored_are_those_that_the_page_names():
    known = best_known.load_best_known()
    words = {
        layer.lower_bound.proof.split()[1]
        for layers in known.values()
        for layer in layers
        if layer.lower_bound.proof.startswith(proofs.RECOMPUTED)
    }
    assert not {word for word in words if f"`{word}`" not in PAGE}
