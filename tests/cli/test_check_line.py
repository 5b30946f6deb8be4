"""What `plan` and `bound` prove can be proven anew by the line that they print."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eplb_opt.certificates import Certificate
from eplb_opt.cli import main
from eplb_opt.cli.check_line import provable
from eplb_opt.io import WRITERS, read_certificates
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem

MARK = "anew by: "
PAIRS = ["--gpus", "8", "--slots", "16"]
CASES = {
    "one load": ["loads.npy", *PAIRS],
    "scenarios": ["steps.npy", *PAIRS, "--scenarios"],
    "files": ["loads.npy", "other file.npy", *PAIRS],
    "files and scenarios": ["steps.npy", "steps.npy", *PAIRS, "--scenarios"],
    "nodes": ["loads.npy", *PAIRS, "--nodes", "2", "--groups", "4"],
    "nodes and scenarios": [
        *["steps.npy", *PAIRS, "--scenarios"],
        *["--nodes", "2", "--groups", "4"],
    ],
    "forbid": ["loads.npy", "--gpus", "4", "--slots", "16", "--colocation", "forbid"],
    "optimal": ["loads.npy", *PAIRS, "--dispatch", "optimal"],
    "optimal and scenarios": ["steps.npy", *PAIRS, "--dispatch", "optimal", "--scenarios"],
    "a format": ["loads.npy", *PAIRS, "--format", "npy"],
    "a name like an option": ["--gpus", "8", "--slots", "16", "--", "-loads.npy"],
    "kept apart by the engine": ["loads.npy", *PAIRS, "--engine", "vllm-ascend"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draws = np.random.default_rng(3)
    steps = draws.lognormal(4, 1, (3, 2, 12)).astype(np.int64) + 1
    for name, load in {
        "loads.npy": steps[0],
        "other file.npy": steps[1],
        "-loads.npy": steps[0],
        "steps.npy": steps,
    }.items():
        np.save(tmp_path / name, load)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[dict, str]:  # type: ignore[type-arg]
    """What a command prints as JSON, and the line that checks it."""
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    (line,) = [each for each in err.splitlines() if MARK in each] or [""]
    return json.loads(out), line.partition(MARK)[2]


def checked(capsys: pytest.CaptureFixture[str], line: str) -> dict:  # type: ignore[type-arg]
    """What the line proves."""
    program, *arguments = shlex.split(line)
    assert program == "eplb-opt"
    return answered(capsys, [*arguments, "--json"])[0]


@pytest.mark.parametrize("case", CASES)
def test_the_proof_of_every_plan_is_checked_by_the_line_that_plan_prints(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    files = ["--output", "my plan.json", "--certificate", "the proof's.json"]
    engine = [] if "--engine" in CASES[case] else ["--engine", "json"]
    arguments = ["plan", "--effort", "3", "--json", *files, *engine, *CASES[case]]
    made, line = answered(capsys, arguments)
    proven = checked(capsys, line)
    assert proven["objective"] == made["objective"]
    for layer_idx, certificate in enumerate(read_certificates("the proof's.json")):
        if certificate is not None:
            assert proven["lower_bound"][layer_idx] >= made["lower_bound"][layer_idx]


@pytest.mark.parametrize("case", ["one load", "scenarios", "files", "optimal and scenarios"])
def test_bound_takes_the_same_loads_and_prints_a_line_for_any_plan(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    rest = ["--effort", "3", *CASES[case]]
    answered(capsys, ["plan", "--json", "--output", "p.npz", *rest])
    made, line = answered(capsys, ["bound", "--json", "--certificate", "b.json", *rest])
    assert " PLAN " in line
    proven = checked(capsys, line.replace("PLAN", "p.npz"))
    for layer_idx, certificate in enumerate(read_certificates("b.json")):
        if certificate is not None:
            assert proven["lower_bound"][layer_idx] == made["lower_bound"][layer_idx]


# Of the two left out one wants the name of a model, which `convert` takes, the other no replicas.
@pytest.mark.parametrize("engine", sorted(WRITERS.keys() - {"vllm-hcu", "vllm-ranks"}))
def test_a_plan_under_any_name_and_in_any_format_can_be_checked(
    folder: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    if engine in ("deepseek", "pt"):
        pytest.importorskip("torch")
    for name in ("plan", "plan.txt", "plan.csv", "plan.json"):
        files = ["--output", name, "--certificate", "c.json", "--engine", engine]
        made, line = answered(capsys, ["plan", "--effort", "0", "--json", *files, *CASES["forbid"]])
        assert checked(capsys, line)["objective"] == made["objective"]


def test_a_config_file_does_not_change_what_the_line_checks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("eplb-opt.toml").write_text(
        'nodes = 2\ngroups = 4\n[plan]\nnodes = 1\ndispatch = "optimal"\n'
    )
    files = ["--output", "p.npz", "--certificate", "c.json"]
    made, line = answered(capsys, ["plan", "--effort", "1", "--json", *files, *CASES["one load"]])
    assert checked(capsys, line)["objective"] == made["objective"]


def test_a_proof_that_check_would_refuse_is_left_out_and_said() -> None:
    result = plan(Problem([[90, 132, 40, 61, 104, 165]], 8, 4), effort=0)
    false = Certificate("enumeration", result.bounds[0].objective * 2, {})
    result = replace(result, layers=(replace(result.layers[0], certificate=false),))
    kept, words = provable(result)
    assert kept == [None]
    assert words[0].startswith("layer 0: the proof of its bound is left out")
