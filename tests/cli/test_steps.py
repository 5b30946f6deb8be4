"""--batch-tokens tells what steps see, in every command that tells of plans."""

import json

import numpy as np
import pytest

from eplb_opt.cli import main
from tests.workloads.forecast.cases import machine

MACHINE = ["--gpus", "8", "--slots", "40"]
SIZES = ["--batch-tokens", "64", "--batch-tokens", "512", "--experts-per-token", "4"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load, plan = machine(40, 8, 32, 4)
    np.save("loads.npy", load)
    steps = np.random.default_rng(0).poisson(load / 1e4, (6, *load.shape))
    np.save("steps.npy", steps)
    np.save("plan.npy", plan.physical_to_logical)
    return tmp_path


COMMANDS = {
    "check": ["check", "plan.npy"],
    "plan": ["plan"],
    "gap": ["gap", "--no-prices"],
}


def run(name, loads, *options):
    command, *more = COMMANDS[name]
    given = [command, *more[:1], loads, *more[1:]] if name == "check" else [command, loads, *more]
    limit = [] if name == "check" else ["--time-limit", "0.2"]
    return main([*given, *MACHINE, *limit, *options])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_what_steps_see(folder, capsys, name):
    assert run(name, "loads.npy", *SIZES) == 0
    text = capsys.readouterr().out
    assert "What a step sees" in text
    assert "At 64 tokens a GPU a step loses" in text.replace("\n", " ")
    assert "* below the noise of 512-token batches" in text
    assert run(name, "loads.npy") == 0
    text = capsys.readouterr().out
    assert "step sees" not in text
    assert "*" not in text


@pytest.mark.parametrize("name", COMMANDS)
def test_json_has_the_figures(folder, capsys, name):
    assert run(name, "loads.npy", *SIZES, "--json") == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert {row["batch_tokens"] for row in steps["rows"]} == {64, 512}
    row = steps["rows"][0]
    assert 1 - row["balancedness"] == pytest.approx(row["plan_part"] + row["noise_part"])
    assert len(row["layer_balancedness"]) == 3
    assert row["burst_part"] is None
    assert steps["noise"]["batch_tokens"] == 512
    if name == "gap":
        assert {row["plan"] for row in steps["rows"]} == {"eplb-opt", "deepseek"}


def test_snapshots_that_are_steps_show_how_far_traffic_varies(folder, capsys):
    assert run("check", "steps.npy", *SIZES, "--bursts") == 0
    text = capsys.readouterr().out
    assert "times as much as by chance" in text.replace("\n", " ")
    assert "traffic" in text
    assert run("check", "loads.npy", *SIZES, "--bursts") == 2
    assert "per_pass" in capsys.readouterr().err


def test_the_page_has_the_table_and_the_advice(folder, capsys):
    assert run("plan", "loads.npy", *SIZES, "--report", "a.html") == 0
    page = (folder / "a.html").read_text().replace("\u00a0", " ")
    assert "<h2>What a step sees</h2>" in page
    assert "At 64 tokens a GPU a step loses" in page
    assert "below the noise of 512-token batches" in page
    assert run("plan", "loads.npy", "--report", "a.html") == 0
    assert "What a step sees" not in (folder / "a.html").read_text()


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    "options", [["--batch-tokens", "64"], ["--experts-per-token", "2"], ["--bursts"]]
)
def test_half_a_size_is_refused(folder, capsys, name, options):
    assert run(name, "loads.npy", *options) == 2
    assert "--batch-tokens and --experts-per-token" in capsys.readouterr().err
