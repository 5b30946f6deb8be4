"""A recording of steps is served by phase, and several loads by their share of time."""

import json

import numpy as np
import pytest

import eplb_opt
from eplb_opt.cli import main
from eplb_opt.workloads.phases import phases
from tests.workloads.test_phases import steps_of

MACHINE = ["--gpus", "2", "--slots", "10"]


@pytest.fixture
def steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = steps_of([64, 8192, 60, 70, 4096, 58])
    np.save("steps.npy", found)
    return found


def objective(capsys, *options):
    assert main(["plan", *options, *MACHINE, "--effort", "3", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["objective"]


def test_each_phase_is_planned_for(steps, capsys):
    split = phases(steps)
    for name in ("prefill", "decode"):
        problem = eplb_opt.Problem(getattr(split, name), 10, 2)
        expected = eplb_opt.plan(problem, effort=3).objective
        np.testing.assert_allclose(objective(capsys, "steps.npy", "--phase", name), expected)


def test_both_phases_weigh_by_their_steps_or_as_asked(steps, capsys):
    split = phases(steps)
    loads = np.array([split.prefill, split.decode])
    for options, weights in (([], [2, 4]), (["--weight", "3", "--weight", "1"], [3, 1])):
        problem = eplb_opt.Problem(loads, 10, 2, scenario_weights=weights)
        expected = eplb_opt.plan(problem, effort=3).objective
        found = objective(capsys, "steps.npy", "--phase", "both", *options)
        np.testing.assert_allclose(found, expected)


def test_the_check_that_is_told_has_phase_and_weights(steps, capsys):
    command = ["plan", "steps.npy", *MACHINE, "--phase", "both", "--effort", "1"]
    assert main([*command, "--output", "p.npz", "--certificate", "proof.json"]) == 0
    told = capsys.readouterr().err
    assert "2 steps are taken for prefill and 4 for decode" in told
    assert "--phase both" in told
    assert "--weight 2.0 --weight 4.0" in told
    check = ["check", "p.npz", "steps.npy", *MACHINE, "--phase", "both"]
    assert main([*check, "--certificate", "proof.json"]) == 0


def test_files_of_each_phase_may_be_weighted(steps, capsys):
    split = phases(steps)
    np.save("prefill.npy", split.prefill)
    np.save("decode.npy", split.decode)
    weights = ["--weight", "3", "--weight", "1"]
    problem = eplb_opt.Problem([split.prefill, split.decode], 10, 2, scenario_weights=[3, 1])
    found = objective(capsys, "prefill.npy", "decode.npy", *weights)
    np.testing.assert_allclose(found, eplb_opt.plan(problem, effort=3).objective)


@pytest.mark.parametrize(
    "options", [["--weight", "1"], ["--phase", "both", "--scenarios"], ["--phase", "night"]]
)
def test_what_does_not_fit_is_refused(steps, capsys, options):
    assert main(["plan", "steps.npy", *MACHINE, "--effort", "1", *options]) == 2
    assert "--" in capsys.readouterr().err
