"""Loads that come with the program, and what it says to try with them."""

import shlex

import pytest

from eplb_opt.bench.generator import generate_loads
from eplb_opt.cli import main
from eplb_opt.guide.loads import EXAMPLES, read_example
from eplb_opt.io import read_loads, write_loads


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_stored_loads_are_generated_byte_for_byte(tmp_path, name):
    example = EXAMPLES[name]
    shape = example.num_layers, example.num_experts
    write_loads("new.csv", generate_loads(example.profile, *shape, example.seed), format="csv")
    assert (tmp_path / "new.csv").read_text() == read_example(name)
    assert len(read_example(name)) < 4096


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_what_is_proposed_runs(capsys, name):
    assert main(["example", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{name}.csv: {EXAMPLES[name].summary}. Try:"
    assert read_loads(f"{name}.csv").num_experts == EXAMPLES[name].num_experts
    assert len(lines) == 3
    for line in lines[1:]:
        program, *arguments = shlex.split(line)
        assert program == "eplb-opt"
        assert main([*arguments, "--time-limit", "0.1"]) == 0


def test_examples_are_listed(capsys):
    assert main(["example"]) == 0
    out = capsys.readouterr().out
    assert all(f"eplb-opt example {name}" in out for name in EXAMPLES)


def test_a_file_of_ones_own_is_kept(tmp_path, capsys):
    (tmp_path / "skewed.csv").write_text("mine")
    assert main(["example", "skewed"]) == 2
    assert "skewed.csv: there is another file of that name" in capsys.readouterr().err
    assert (tmp_path / "skewed.csv").read_text() == "mine"
    assert main(["example", "skewed", "--output", "a b.csv"]) == 0
    assert "gap 'a b.csv' --gpus" in capsys.readouterr().out
    assert main(["example", "skewed", "--output", "a b.csv"]) == 0


def test_an_unknown_example_lists_the_known_ones(capsys):
    assert main(["example", "nope"]) == 2
    assert "known: skewed, groups" in capsys.readouterr().err
