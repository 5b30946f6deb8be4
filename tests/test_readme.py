"""What the README shows is what happens; its first example with numpy alone."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)[1]


def test_the_library_example_prints_what_the_readme_says(capsys):
    exec(compile(block("python"), "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    promised = block("text").splitlines()
    assert len(block("python").splitlines()) <= 12
    assert (printed[0], printed[-1]) == (promised[0], promised[-1])
    placed = [int(word) for word in re.findall(r"\d+", printed[1])]
    assert len(placed) == 16  # which of the optimal placements comes back is not promised


def test_every_command_of_the_readme_exists():
    typer = pytest.importorskip("typer")
    from eplb_opt.cli.app import app

    known = set(typer.main.get_command(app).commands)
    in_blocks = "".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL))
    shown = set(re.findall(r"^eplb-opt (\w+)", in_blocks, re.MULTILINE))
    shown |= set(re.findall(r"[|] `eplb-opt (\w+)", README))
    assert shown <= known
    assert {"plan", "gap", "check", "size", "convert"} <= shown


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 140


def test_no_placeholder_is_left():
    assert not re.findall(r"@[A-Z]+@", README)
