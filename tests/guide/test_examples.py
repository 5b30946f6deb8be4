"""The runnable examples of the guide."""

import re

import pytest

from eplb_opt.guide import read_topic
from tests.guide.documents import GUIDE, blocks

pytest.importorskip("matplotlib")

PNG = b"\x89PNG"


@pytest.fixture
def needs_solvers():
    for package in ("scipy", "ortools"):
        pytest.importorskip(package)


def test_from_a_recording_to_a_proven_plan(tmp_path, capsys, needs_solvers):
    from eplb_opt.guide.examples import recording_to_plan

    assert recording_to_plan.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    promised = [block.text for block in blocks(read_topic("deploying"), "text")]
    assert printed in promised
    assert (tmp_path / "recording_to_plan.png").read_bytes().startswith(PNG)
    assert {"recording.npz", "plan.json", "proof.json"} <= {p.name for p in tmp_path.iterdir()}


def test_few_moves_are_as_good_as_the_many_of_the_greedy(tmp_path, capsys):
    from eplb_opt.guide.examples import few_moves

    assert few_moves.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = [figures_of(line) for line in lines[:5]]
    stay, forty, two_hundred, greedy, best = figures
    assert stay[0] == 0 and forty[0] <= 40 and two_hundred[0] <= 200
    assert stay[1] > forty[1] > two_hundred[1] >= best[1]
    assert two_hundred[1] < greedy[1] and greedy[0] > 4 * two_hundred[0]
    assert (tmp_path / "few_moves.png").read_bytes().startswith(PNG)


def figures_of(line):
    """Moves, and percent above the bound."""
    moves, percent = re.findall(r": (\d+) moves, ([\d.]+) %", line)[0]
    return int(moves), float(percent)


def test_the_page_shows_the_lines_that_the_example_prints(tmp_path, capsys):
    from eplb_opt.guide.examples import few_moves

    few_moves.main([str(tmp_path)])
    shown = next(b.text for b in blocks(read_topic("workloads"), "output"))
    without_figures = [re.sub(r"[\d.]+", "", t) for t in (shown, capsys.readouterr().out)]
    assert without_figures[0] == without_figures[1]


def test_every_example_has_its_picture_and_is_named_in_the_guide():
    pages = "".join(path.read_text() for path in GUIDE.glob("*.md"))
    examples = [p for p in (GUIDE / "examples").glob("*.py") if p.stem != "__init__"]
    assert len(examples) >= 2
    for path in examples:
        assert path.with_suffix(".png").read_bytes().startswith(PNG)
        assert f"python -m eplb_opt.guide.examples.{path.stem}" in pages
        assert "![" in pages and f"(examples/{path.stem}.png)" in pages
