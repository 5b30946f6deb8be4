"""The pages are built without a warning and without the network, and leave no public name out."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import eplb_opt
import heuristics
from eplb_opt.guide import TOPICS

ROOT = Path(__file__).parent.parent
#: Sphinx in a process that cannot reach the network.
BUILD = """
import socket, sys
def refuse(self, address): raise OSError(f"the build asks for {address}")
socket.socket.connect = refuse
from sphinx.cmd.build import main
sys.exit(main(["--quiet", "--fail-on-warning", "--keep-going", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    for package in ("sphinx", "numpydoc", "myst_parser"):
        pytest.importorskip(package, reason="the extra eplb-opt[docs] is not installed")
    out = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / ".docs", out / "pages")
    shutil.copytree(ROOT / "eplb_opt" / "guide", out / "pages" / "guide")
    folders = [str(out / "pages"), str(out / "html"), "--doctree-dir", str(out / "trees")]
    run = subprocess.run(
        [sys.executable, "-c", BUILD, *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return out / "html"


def names_on(page):
    return set(re.findall(r'<dt class="sig[^>]* id="([^"]+)"', page.read_text()))


def test_every_public_name_of_the_library_has_its_place(pages):
    assert {f"eplb_opt.{name}" for name in eplb_opt.__all__} <= names_on(pages / "eplb_opt.html")


def test_every_heuristic_has_its_place(pages):
    text = (pages / "heuristics.html").read_text()
    assert all(name in text for name in heuristics.HEURISTICS)
    assert {"heuristics.cpu_lpt", "heuristics.greedy.rebalance_experts"} <= names_on(
        pages / "heuristics.html"
    )


def test_every_page_of_the_guide_is_built_and_listed(pages):
    index = (pages / "index.html").read_text()
    assert all((pages / "guide" / f"{topic}.html").exists() for topic in TOPICS)
    assert all(f'href="guide/{topic}.html"' in index for topic in TOPICS)
