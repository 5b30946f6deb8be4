"""What the command line does, and says, about how tokens are split."""

import json

import numpy as np
import pytest

import eplb_opt
from eplb_opt.cli import main
from eplb_opt.io import read_plan

MACHINE = ["--gpus", "4", "--slots", "12"]
WORK = ["--effort", "2", "--workers", "1"]
OPTIMAL = ["--dispatch", "optimal"]


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    path = tmp_path_factory.mktemp("loads") / "loads.npy"
    np.save(path, np.random.default_rng(0).integers(1, 100, (4, 2, 8)) ** 2)
    return str(path)


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def planned(capsys, loads, path, *options):
    code, _, err = run(capsys, "plan", loads, *MACHINE, *WORK, "--output", str(path), *options)
    assert code == 0
    return err


def test_a_plan_for_optimal_dispatch_is_what_the_library_makes(capsys, loads):
    _, out, _ = run(capsys, "plan", loads, *MACHINE, *WORK, *OPTIMAL, "--json")
    found = json.loads(out)
    total = np.load(loads).sum(axis=0)
    problem = eplb_opt.Problem(total, 12, 4, dispatch="optimal")
    wanted = eplb_opt.plan(problem, effort=2, workers=1)
    assert found["objective"] == wanted.objective.tolist()
    assert (found["dispatch"], found["noise"]) == ("optimal", 0)


def test_what_it_is_worth_without_is_said_before_it_is_written(capsys, loads, tmp_path):
    path = tmp_path / "plan.json"
    err = planned(capsys, loads, path, *OPTIMAL, "--engine", "sglang")
    problem = eplb_opt.Problem(np.load(loads).sum(axis=0), 12, 4)
    score = eplb_opt.evaluate(problem, read_plan(path))
    uniform = (score.balancedness * score.objective).sum() / score.objective.sum()
    assert f"{uniform:.4f} under the uniform split" in err
    assert "nearest copy" in err
    assert "--ep-dispatch-algorithm lp" in err
    assert "noise 0, for the known loads alone" in err


@pytest.mark.parametrize(
    ("engine", "words"),
    [("vllm", "vllm has no optimal dispatch"), ("npz", "sglang with --ep-dispatch-algorithm lp")],
)
def test_nothing_is_refused_to_engines_without_it_but_they_are_told(
    capsys, loads, tmp_path, engine, words
):
    path = tmp_path / "plan.npz"
    assert words in planned(capsys, loads, path, *OPTIMAL, "--engine", engine)
    assert path.exists()


def test_a_plan_for_the_uniform_split_needs_no_words(capsys, loads, tmp_path):
    assert planned(capsys, loads, tmp_path / "plan.npz") == ""


def test_snapshots_and_files_become_scenarios_and_noise_is_chosen_or_given(capsys, loads, tmp_path):
    problem = eplb_opt.Problem(np.load(loads), 12, 4)
    plan = ["plan", loads, *MACHINE, *WORK, "--json"]
    _, out, err = run(capsys, *plan, "--scenarios")
    wanted = eplb_opt.plan(problem, effort=2, workers=1)
    assert json.loads(out)["objective"] == wanted.objective.tolist()
    assert err == ""
    _, out, err = run(capsys, *plan, "--scenarios", *OPTIMAL)
    assert f"planned with noise {json.loads(out)['noise']:g}" in err
    assert json.loads(out)["noise"] > 0
    _, out, err = run(capsys, *plan, "--scenarios", *OPTIMAL, "--noise", "0.2")
    assert json.loads(out)["noise"] == 0.2
    assert err == ""
    other = tmp_path / "other.npy"
    np.save(other, np.load(loads)[::-1, :, ::-1])
    _, out, _ = run(capsys, "plan", loads, str(other), *MACHINE, *WORK)
    assert "largest load / mean" in out
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, np.ones((2, 7)))
    code, _, err = run(capsys, "plan", loads, str(narrow), *MACHINE, *WORK)
    assert code == 2
    assert "one plan cannot serve both" in err


@pytest.mark.parametrize("command", ["plan", "size"])
def test_noise_without_optimal_dispatch_is_refused(capsys, loads, command):
    code, _, err = run(capsys, command, loads, *MACHINE, "--noise", "0.3")
    assert code == 2
    assert "--dispatch optimal" in err


def test_check_says_which_dispatch_it_scores(capsys, loads, tmp_path):
    path = tmp_path / "plan.npy"
    # Two copies of a hot expert beside a cold and a hot one: freely split they even out.
    np.save(path, [[0, 1, 0, 2]])
    hot = tmp_path / "hot.npy"
    np.save(hot, [[60, 50, 10]])
    check = ["check", str(path), str(hot), "--gpus", "2", "--slots", "4"]
    code, out, err = run(capsys, *check)
    assert code == 0
    assert "scored under uniform split" in out
    # The greedy's plan is level here, and so is this one under optimal dispatch: both are said.
    assert "33.3 % above those of a greedy plan" in err
    assert "made for other loads" in err
    assert "its balancedness would be 1.0000" in err
    assert "check it with --dispatch optimal" in err
    code, out, err = run(capsys, *check, *OPTIMAL, "--max-gap", "0")
    assert code == 0
    assert "scored under optimal dispatch" in out
    assert "scored under optimal dispatch, which only sglang" in err
    answer = json.loads(run(capsys, *check, *OPTIMAL, "--json")[1])
    assert answer["dispatch"] == "optimal"
    assert answer["objective"] == [60]
    assert answer["nearest_copy"]["needs_dispatch"] == pytest.approx(80 / 60 - 1)


def test_a_plan_that_is_good_for_the_uniform_split_is_not_suspected(capsys, loads, tmp_path):
    path, even = tmp_path / "plan.npy", tmp_path / "even.npy"
    np.save(path, [[0, 1, 0, 2]])
    np.save(even, [[60, 30, 30]])
    _, _, err = run(capsys, "check", str(path), str(even), "--gpus", "2", "--slots", "4")
    assert err == ""


def test_bound_and_gap_take_the_dispatch(capsys, loads):
    bound = ["bound", loads, *MACHINE, *WORK, "--json"]
    uniform, optimal = (json.loads(run(capsys, *bound, *more)[1]) for more in ([], OPTIMAL))
    assert optimal["objective"] != uniform["objective"]
    gap = ["gap", loads, *MACHINE, "--time-limit", "0.3"]
    code, out, _ = run(capsys, *gap, *OPTIMAL)
    assert code == 0
    assert "optimal dispatch" in out
    assert "uniform split" not in out
    assert "uniform split" in run(capsys, *gap)[1]


def test_a_plan_of_yesterday_is_not_said_to_be_made_for_optimal_dispatch(capsys, tmp_path):
    today, yesterday = tmp_path / "today.npy", tmp_path / "yesterday.npy"
    np.save(today, [[80, 10, 30, 20, 40, 5, 60, 15]])
    np.save(yesterday, [[1, 0, 2, 3, 4, 5, 6, 7, 1, 3]])
    code, _, err = run(capsys, "check", str(yesterday), str(today), "--gpus", "2", "--slots", "10")
    assert code == 0
    assert "The common cause is that the plan was made for other loads" in err
    assert "26.9 % above the best possible" in err
    assert "optimal dispatch" not in err


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_plan_check_and_gap_score_by_senders(capsys, loads, tmp_path, dispatch):
    path = tmp_path / "plan.npz"
    options = ["--nodes", "2", "--dispatch", dispatch]
    err = planned(capsys, loads, path, *options, "--engine", "npz")
    problem = eplb_opt.Problem(np.load(loads).sum(axis=0), 12, 4, 2, dispatch=dispatch)
    wanted = eplb_opt.evaluate(problem, read_plan(path))
    level = (wanted.balancedness * wanted.objective).sum() / wanted.objective.sum()
    words = {"nearest": "nearest copy", "rank_modulo": "rank modulo"}[dispatch]
    assert f"designed for {words}: balancedness {level:.4f} with it" in err
    check = ["check", str(path), loads, *MACHINE, *options]
    code, out, err = run(capsys, *check)
    assert code == 0
    assert f"scored under {words}" in out
    answer = json.loads(run(capsys, *check, "--json")[1])
    assert answer["objective"] == wanted.objective.tolist()
    assert answer["lower_bound"] == wanted.lower_bound.tolist()
    assert answer["nearest_copy"][dispatch] == wanted.objective.tolist()
    gap = ["gap", loads, *MACHINE, *options, "--time-limit", "0.5", "--plan", str(path)]
    code, out, _ = run(capsys, *gap)
    assert code == 0
    assert words in out
    rows = json.loads(run(capsys, *gap, "--no-prices", "--json")[1])["rows"]
    given = next(row for row in rows if row["name"] == str(path))
    assert given["model_gap"] == pytest.approx(wanted.model_gap, abs=0.02)


@pytest.mark.parametrize(
    ("engine", "dispatch", "words"),
    [
        ("sglang", "nearest", "all-to-all backend and --ep-dispatch-algorithm dynamic"),
        ("vllm-ascend", "rank_modulo", "no tensor parallelism"),
        ("vllm-ascend", "nearest", "vllm-ascend has no nearest copy"),
        ("vllm-ascend", "uniform", "splits tokens by rank modulo"),
    ],
)
def test_who_splits_by_senders_is_said(capsys, loads, tmp_path, engine, dispatch, words):
    path = tmp_path / "plan.json"
    options = ["--dispatch", dispatch, "--engine", engine, "--colocation", "forbid"]
    assert words in planned(capsys, loads, path, *options)
    assert path.exists()
