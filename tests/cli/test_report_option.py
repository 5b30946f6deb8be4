"""`--report` of plan and gap: a file that says what was typed."""

import html
import json
import os
import re
import shlex

import numpy as np
import pytest

import eplb_opt
from eplb_opt.cli import main
from eplb_opt.io.fingerprint import fingerprint
from tests.report.pages import data_of

pytest.importorskip("jinja2")

MACHINE = ["--gpus", "4", "--slots", "8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files of a user who works there, so that names are short."""
    monkeypatch.chdir(tmp_path)
    load = np.random.default_rng(0).integers(1, 99, (3, 6))
    np.save("loads.npy", load)
    np.save("later.npy", load[:, ::-1])
    np.save("small.npy", load[:, :4])
    placed = [[0, 1, 2, 3, 4, 5, 0, 1]] * 3
    (tmp_path / "old.json").write_text(json.dumps({"physical_to_logical_map": placed}))
    return tmp_path


def test_plan_reports_what_was_typed_against_the_plan_in_force(folder, capsys):
    command = ["plan", "loads.npy", *MACHINE, "--effort", "2", "--current", "old.json"]
    command += ["--held-out", "later.npy", "--report", "a page.html"]
    assert main(command) == 0
    page = (folder / "a page.html").read_text()
    assert data_of(page)["before"]["name"] == "old.json"
    assert len(data_of(page)["moves"]) == 3
    assert "later.npy (held out)" in page
    typed = " ".join(page.split("<pre>")[1].split("</pre>")[0].split())
    words = typed.replace("<span>", "").replace("</span>", "")
    assert words.startswith("eplb-opt plan loads.npy --gpus 4 --slots 8 --effort 2")
    assert words.endswith("--report &#39;a page.html&#39;")
    assert str(folder) not in page
    assert os.getcwd() not in page
    assert "<h2>" not in capsys.readouterr().out


def test_gap_reports_every_plan_and_every_price(folder, capsys):
    command = ["gap", "loads.npy", *MACHINE, "--time-limit", "0.3", "--plan", "old.json"]
    assert main([*command, "--report", "gap.html", "--json"]) == 0
    page = (folder / "gap.html").read_text()
    rows = json.loads(capsys.readouterr().out)["rows"]
    told = {name for line in data_of(page)["gaps"] for name in line["names"]}
    assert told == {row["name"] for row in rows if not row["problem"]}
    assert data_of(page)["before"]["name"] == "old.json"
    assert "What each constraint costs" in page


def test_held_out_loads_are_scored_in_the_terminal_too(folder, capsys):
    command = ["plan", "loads.npy", *MACHINE, "--effort", "2", "--current", "old.json"]
    command += ["--held-out", "later.npy"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "later.npy (held out)" in out
    assert "old.json" in out
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    problem = eplb_opt.Problem(np.load("later.npy"), 8, 4)
    worth = eplb_opt.evaluate(problem, [[0, 1, 2, 3, 4, 5, 0, 1]] * 3).objective
    mean = problem.load.sum() / 4
    assert answer["loads"]["rows"]["old.json"][1] == pytest.approx(mean / worth.sum())
    gap = ["gap", "loads.npy", *MACHINE, "--time-limit", "0.2", "--no-prices"]
    assert main([*gap, "--held-out", "later.npy"]) == 0
    assert "later.npy (held out)" in capsys.readouterr().out


def test_a_held_out_load_of_another_shape_is_bad_input_before_planning(folder, capsys):
    command = ["plan", "loads.npy", *MACHINE, "--time-limit", "500", "--held-out", "small.npy"]
    assert main([*command, "--report", "a.html"]) == 2
    assert "small.npy has shape [3, 4]" in capsys.readouterr().err
    assert not (folder / "a.html").exists()


def test_the_box_names_the_file_with_a_check_that_can_be_pasted(folder, capsys):
    command = ["plan", "loads.npy", *MACHINE, "--effort", "2", "--current", "old.json"]
    command += ["--engine", "sglang", "--output", "my plan.json", "--certificate", "proof.json"]
    command += ["--report", "a.html", "--batch-tokens", "64", "--experts-per-token", "2"]
    assert main(command) == 0
    page = (folder / "a.html").read_text()
    box = page.split("Deploy this")[1].split("</section>")[0]
    code, options = (
        html.unescape(re.sub(r"<.*?>", "", part)) for part in re.findall(r"<pre>(.*?)</pre>", box)
    )
    assert fingerprint("my plan.json")[:16] in box
    assert options == "--init-expert-location 'my plan.json' --ep-num-redundant-experts 2"
    words = shlex.split(code)
    assert words[:3] == ["eplb-opt", "check", "my plan.json"]
    assert words[-4:] == ["--engine", "sglang", "--current", "old.json"]
    assert main(words[1:]) == 0
    assert "At 64 tokens" in page.replace("\u00a0", " ")


def test_the_page_has_the_fingerprints_of_all_that_was_read(folder):
    command = ["plan", "loads.npy", *MACHINE, "--effort", "0", "--current", "old.json"]
    assert main([*command, "--held-out", "later.npy", "--report", "a.html"]) == 0
    listed = (folder / "a.html").read_text().split('<ul class="inputs">')[1].split("</ul>")[0]
    found = dict(re.findall(r"<code>(\w+)</code> (\S+)</li>", listed))
    names = {"loads.npy", "old.json", "later.npy"}
    assert found == {fingerprint(name)[:16]: name for name in names}


def test_a_plan_that_was_not_saved_has_no_file_in_the_box(folder, capsys):
    command = ["plan", "loads.npy", *MACHINE, "--effort", "0", "--report", "a.html"]
    assert main(command) == 0
    assert "The plan was not saved" in (folder / "a.html").read_text()


@pytest.mark.parametrize("command", ["plan", "gap"])
def test_half_a_batch_is_refused(folder, capsys, command):
    assert main([command, "loads.npy", *MACHINE, "--batch-tokens", "64"]) == 2
    assert "go together" in capsys.readouterr().err
