import numpy as np
import pytest

from eplb_opt.bench import gpu
from eplb_opt.placement.plan import as_plan
from eplb_opt.problem.problem import Problem
from heuristics import HEURISTICS

torch = pytest.importorskip("torch")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_measures_nothing(capsys, monkeypatch):
    monkeypatch.setattr(gpu, "measure", lambda *_: pytest.fail("measured"))
    assert gpu.main() == 0
    assert "there is no GPU" in capsys.readouterr().out


def test_the_loads_it_compares_are_the_plans():
    load = np.random.default_rng(0).integers(1, 1000, (3, 16))
    maps = HEURISTICS["greedy"](torch.tensor(load), 24, 1, 1, 4)
    problem = Problem(load, num_slots=24, num_gpus=4)
    expected = float(sum(as_plan(maps[0].numpy(), problem).objectives(problem)))
    assert gpu.largest_loads(torch.tensor(load), maps, 4) == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_every_way_is_timed_and_none_is_worse_than_the_greedy():
    pytest.importorskip("triton", reason="triton is not installed: eplb-opt[triton]")
    weight = torch.rand((3, 32), device="cuda")
    rows = gpu.measure(weight, (48, 1, 1, 8), repeats=2)
    assert [row.name for row in rows] == list(gpu.ways(weight, (48, 1, 1, 8)))
    assert all(row.load_ratio <= 1 + 1e-6 and row.seconds > 0 for row in rows)
