"""The dispatch measurements: placements that are valid, optima that hold, rivals scored fairly."""

import json

import numpy as np
import pytest

from eplb_opt import ProblemError
from eplb_opt.bench import dispatch, dispatch_rivals, rivals
from eplb_opt.cli import main
from eplb_opt.problem.machine import Machine

#: A solver that answers what SGLang's does where it has not converged, or the right thing.
STEPS = """
import torch

def solve_ipm_torch_reference(a, b, c, num_iters=5):
    assert a.dtype == b.dtype == c.dtype == torch.float32
    torch.testing.assert_close(a.sum(1), b)  # all ones solve it: that is what the last column does
    assert c[-2:].tolist() == [1, 1000] and not c[:-2].any()
    return torch.full((a.shape[1],), 0.5)
"""
ROOM = "def fits(nc, nv): return nc < 8"


def small_case(placement="spread", machine="24x6"):
    load = np.random.default_rng(0).integers(1, 1000, (2, 16))
    return dispatch.make_case(load, Machine.parse(machine), placement, 3, 0)


@pytest.fixture
def files(tmp_path, monkeypatch):
    for folder, name, text in (
        (dispatch_rivals.SGLANG_STEPS, "lplb", STEPS),
        (dispatch_rivals.SGLANG_ROOM, "shmem_budget", ROOM),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{name}.py").write_text(text)
    monkeypatch.setenv(rivals.FOLDER_VARIABLE, str(tmp_path))


@pytest.mark.parametrize("placement", dispatch.PLACEMENTS)
def test_placements_hold_every_expert_in_all_slots(placement):
    case = small_case(placement)
    assert case.placed.shape == (2, 24)
    assert case.load.shape == (3, 2, 16)
    for row in case.placed:
        assert set(row) == set(range(16))
        if placement == "spread":
            assert all(len(set(gpu)) == 4 for gpu in row.reshape(6, 4))
    with pytest.raises(ProblemError, match="greedy, spread"):
        small_case("best")


def test_our_splits_and_the_linear_program_reach_the_optimum_and_the_even_one_does_not():
    pytest.importorskip("scipy")
    rows = {r.program: r for r in dispatch.measure(small_case(), "24x6", "spread", 1)}
    for name in ("ours", "ours, exact", "SciPy linprog (HiGHS)"):
        assert abs(rows[name].worst) < 1e-8, name
    assert rows["even split"].mean > 0.01
    assert all(row.microseconds > 0 and row.splits == 6 for row in rows.values())


def test_sglangs_program_is_set_up_as_its_own_and_its_checks_are_told(files):
    pytest.importorskip("torch")
    case = small_case()
    split = dispatch_rivals.sglang_reference(case)
    weights = split(case.load)
    even = np.broadcast_to(
        dispatch.Dispatcher.of(case.placed, num_gpus=6).routes.even, weights.shape
    )
    np.testing.assert_allclose(weights, even)
    assert split.note == "6 of 6 not converged; 2 of 2 layers are too large for its kernel"


def test_a_program_whose_files_are_missing_is_left_out(monkeypatch):
    monkeypatch.delenv(rivals.FOLDER_VARIABLE, raising=False)
    programs = {name: dispatch.PROGRAMS[name] for name in ("ours", "SGLang lp, torch reference")}
    rows = list(dispatch.measure(small_case(), "24x6", "spread", 1, programs))
    assert [row.program for row in rows] == ["ours"]


def test_the_command_prints_a_table_and_json(capsys, monkeypatch):
    monkeypatch.delenv(rivals.FOLDER_VARIABLE, raising=False)
    arguments = ["bench", "dispatch", "--machine", "288x32", "--layers", "1", "--rounds", "1"]
    assert main([*arguments, "--placement", "greedy"]) == 0
    assert "even split" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert {row["placement"] for row in json.loads(capsys.readouterr().out)} == {"greedy", "spread"}
