import json

import numpy as np
import pytest

from eplb_opt.cli import main
from eplb_opt.workloads.replay import POLICIES

MACHINE = ["--gpus", "4", "--slots", "8", "--every", "3", "--effort", "1", "--workers", "1"]


@pytest.fixture
def trace(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "trace.npz"
    np.savez(path, load=rng.integers(1, 100, (10, 2, 6)))
    return str(path)


def run(capsys, *arguments):
    code = main(["replay", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_table_holds_policies_and_heuristics_with_held_out_figures(capsys, trace):
    code, out, _ = run(capsys, trace, *MACHINE, "--heuristic", "greedy", "--expert-bytes", "1000")
    assert code == 0
    for word in [
        *(name for name in POLICIES if name not in ("limited", "worth")),
        "greedy",
        "held-out",
        "GiB",
    ]:
        assert word in out


def test_json_holds_every_step_and_every_plan(capsys, trace):
    code, out, _ = run(
        capsys, trace, *MACHINE, "--policy", "last", "--heuristic", "none", "--json", "--choose"
    )
    answer = json.loads(out)
    (last,) = answer["replay"]["policies"]
    assert code == 0
    assert last["name"] == "last"
    assert len(last["steps"]["held_out"]) == 7
    assert last["num_plans"] == len(last["plans"]["moves"]) == 3
    assert last["held_out"] == pytest.approx(np.mean(last["steps"]["held_out"]))
    assert last["bytes"] is None
    assert {"name", "held_out", "methods"} <= set(answer["choice"])


def test_heuristics_may_look_further_back_than_the_last_window(capsys, trace):
    views = ["--heuristic-on", "last", "--heuristic-on", "total"]
    code, out, _ = run(
        capsys, trace, *MACHINE, "--policy", "last", "--heuristic", "greedy", *views, "--json"
    )
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["replay"]["policies"]}
    assert set(rows) == {"last", "greedy", "greedy on total"}
    assert rows["greedy"]["held_out"] != rows["greedy on total"]["held_out"]


def test_every_heuristic_runs_by_default(capsys, trace):
    from heuristics import HEURISTICS

    pytest.importorskip("torch")
    _, out, _ = run(capsys, trace, *MACHINE, "--policy", "last", "--json")
    rows = {row["name"]: row for row in json.loads(out)["replay"]["policies"]}
    assert set(rows) == {"last", *HEURISTICS}
    assert all(row["held_out"] > 0 for row in rows.values())


def test_a_given_plan_and_the_choice_have_their_rows(capsys, trace, tmp_path):
    plan = tmp_path / "plan.npy"
    np.save(plan, [[0, 1, 2, 3, 4, 5, 0, 1]] * 2)
    code, out, _ = run(
        capsys, trace, *MACHINE, "--policy", "last", "--heuristic", "none", "--plan", str(plan),
        "--json",
    )  # fmt: skip
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["replay"]["policies"]}
    assert rows[str(plan)]["moves"] == 0
    assert run(capsys, trace, *MACHINE, "--heuristic", "none", "--choose")[1].count("held-out") == 2


def test_a_dispatch_is_in_the_title_and_two_are_in_the_names(capsys, trace, tmp_path):
    few = ["--policy", "static", "--policy", "last", "--heuristic", "greedy"]
    _, out, _ = run(capsys, trace, *MACHINE, *few, "--dispatch", "optimal")
    assert "optimal dispatch" in out
    assert "last, optimal" not in out
    both = ["--dispatch", "uniform", "--dispatch", "optimal", "--noise", "0.2"]
    _, out, _ = run(capsys, trace, *MACHINE, *few, *both, "--json")
    rows = {row["name"]: row for row in json.loads(out)["replay"]["policies"]}
    assert rows.keys() == {
        f"{name}, {dispatch}"
        for name in ("static", "last", "greedy")
        for dispatch in ("uniform", "optimal")
    }
    assert rows["static, optimal"]["moves"] == 0
    assert rows["greedy, optimal"]["held_out"] > rows["greedy, uniform"]["held_out"]


COST = "expert_bytes=1000000,bandwidth={},step_seconds=0.05,moe_share=0.5,steps_until_next=30"


def test_a_move_cost_shows_the_net_and_names_who_loses(capsys, trace):
    few = ["--policy", "near", "--heuristic", "deepseek", "--move-cost"]
    code, out, _ = run(capsys, trace, *MACHINE, *few, COST.format(1e6))
    assert code == 0
    for word in ("net", "worth", "near", "re-planning loses time with", "--engine-files"):
        assert word in " ".join(out.split())
    _, out, _ = run(capsys, trace, *MACHINE, *few, COST.format(1e6), "--json")
    rows = {row["name"]: row for row in json.loads(out)["replay"]["policies"]}
    assert rows["deepseek"]["net"]["seconds"] < 0
    assert rows["worth"]["net"]["moving"] <= rows["near"]["net"]["moving"]


def test_the_table_of_a_net_fits_a_hundred_columns_with_its_figures(capsys, trace, monkeypatch):
    monkeypatch.setattr("eplb_opt.cli.output.PIPE_WIDTH", 100)
    cost = ["--policy", "near", "--heuristic", "deepseek", "--move-cost", COST.format(1e3)]
    _, out, _ = run(capsys, trace, *MACHINE, *cost)
    assert max(map(len, out.splitlines())) <= 100
    for heading in ("held-out", "moves a plan", "moved", "a plan takes", "net"):
        assert heading.split()[-1] in out


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_plot_is_written_in_the_format_of_its_name(capsys, trace, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    target = tmp_path / f"replay.{suffix}"
    code, _, _ = run(capsys, trace, *MACHINE, "--heuristic", "greedy", "--plot", str(target))
    assert code == 0
    assert target.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--every", "10"], "nothing follows"),
        (["--heuristic", "magic"], "'magic' is unknown; known: "),
        (["--policy", "limited"], "needs --max-moves"),
        (["--policy", "worth"], "needs --move-cost"),
        (["--move-cost", "bandwidth=1"], "--move-cost='bandwidth=1' lacks expert_bytes"),
        (["--engine-files", "absent"], "engines' own files are needed"),
        (["--noise", "0.3"], "--dispatch optimal"),
        (["--dispatch", "optimal", "--dispatch", "uniform", "--choose"], "one --dispatch"),
        (["--policy", "magic"], "magic"),
        (["--plan", "absent.json"], "absent.json"),
        (["--slots", "4"], "num_slots=4"),
        (["--plot", "replay.magic", "--heuristic", "none"], "magic"),
    ],
)
def test_bad_input_exits_with_2_and_says_why(capsys, trace, arguments, words):
    code, out, err = run(capsys, trace, *MACHINE, *arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert out == ""
