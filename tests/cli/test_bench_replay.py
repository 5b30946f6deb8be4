import json

import numpy as np
import pytest

from eplb_opt.cli import main

SMALL = ["bench", "replay", "--machine", "24x4", "--windows", "3"]
COST = "expert_bytes=1000000000,bandwidth=1e6,step_seconds=0.05,moe_share=0.5,steps_until_next=30"


@pytest.fixture
def traces(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        np.savez(tmp_path / f"{name}.npz", load=rng.integers(1, 100, (4, 2, 16)))
    return [str(tmp_path / "first.npz"), str(tmp_path / "second.npz")]


def test_every_series_has_a_table_and_who_loses_is_said(capsys, traces):
    assert main([*SMALL, *traces, "--move-cost", COST]) == 0
    out = capsys.readouterr().out
    assert out.count("held-out") == 2
    assert "first: re-planning loses time with" in out
    assert "second: re-planning loses time with" in out
    assert "--engine-files runs theirs" in out


def test_recordings_may_be_one_series(capsys, traces):
    assert main([*SMALL, *traces, "--join", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out).values()
    assert report["num_steps"] == 8
    assert {row["name"] for row in report["policies"]} == {"near", "worth", "deepseek"}
    assert report["move_cost"]["steps_until_next"] == 3000


def test_without_recordings_loads_drift(capsys):
    small = ["bench", "replay", "--windows", "3", "--layers", "1", "--drift", "0.1", "--json"]
    assert main(small) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["deepseek-v3, drift 10%"]


def test_a_machine_that_is_none_is_refused(capsys):
    assert main(["bench", "replay", "--machine", "many"]) == 2
    assert "288x32" in capsys.readouterr().err
