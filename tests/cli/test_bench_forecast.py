"""`eplb-opt bench forecast` compares forecasts with simulated steps."""

import json

import numpy as np

from eplb_opt.cli import main
from tests.workloads.forecast.cases import machine

SMALL = ["bench", "forecast", "--batch-tokens", "64", "--steps", "60", "--json"]


def test_a_recording_is_forecast_and_simulated(capsys, tmp_path):
    np.save(tmp_path / "loads.npy", machine(40, 8, 32, 4)[0])
    command = [*SMALL, str(tmp_path / "loads.npy"), "--machine", "40x8"]
    assert main([*command, "--experts-per-token", "4", "--dispatch", "drawn"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert abs(row["balancedness"] - row["simulated"]) < 4 * row["error"] + 0.001
    assert row["worst"] < 5 * row["worst_error"] + 0.001
    assert (row["machine"], row["dispatch"], row["batch_tokens"]) == ("40x8", "drawn", 64)


def test_generated_loads_are_of_known_machines(capsys):
    command = ["bench", "forecast", "--layers", "1", "--steps", "4", "--batch-tokens", "64"]
    assert main([*command, "--machine", "288x32", "--dispatch", "uniform"]) == 0
    assert "largest difference" in capsys.readouterr().out
    assert main([*command, "--machine", "16x4"]) == 2
    assert "needs LOADS" in capsys.readouterr().err
