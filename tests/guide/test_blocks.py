"""What the guide shows is what happens."""

import re

import pytest

from eplb_opt.guide import TOPICS, read_topic
from tests.guide.documents import ROOT, Block, blocks, commands
from tests.guide.workplace import fill, keep_stored_instances, run_console, run_python

README = (ROOT / "README.md").read_text()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A current folder with the files that the texts speak of."""
    for package in ("typer", "torch", "safetensors", "yaml", "pyarrow", "scipy", "ortools"):
        pytest.importorskip(package)
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    keep_stored_instances(monkeypatch)
    return tmp_path


@pytest.mark.parametrize("topic", TOPICS)
def test_every_example_of_a_page_runs_and_prints_what_the_page_says(workplace, topic):
    names = {}
    for block in blocks(read_topic(topic), "python", "console"):
        if block.language == "python":
            run_python(block, names)
        else:
            run_console(block)


def test_the_commands_of_the_readme_run_once_their_dots_are_filled_in(workplace):
    shown = list(blocks(README, "console"))
    listed = re.findall(r"^[|].*[|] `(eplb-opt [^`]*)` [|]", README, re.MULTILINE)
    assert sum(len(commands(block)) for block in shown) >= 2
    assert len(listed) >= 7
    for name in ("day.npz", "night.npz"):
        (workplace / name).write_bytes((workplace / "loads.npz").read_bytes())
    for block in shown:
        run_console(block)
    for line in listed:
        filled = line.replace(" ...", " --gpus 32 --slots 288")
        run_console(Block("console", filled, None))
