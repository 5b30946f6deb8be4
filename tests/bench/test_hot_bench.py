"""The measurements of the hot path: every policy in turn, gaps that are exact, honest lateness."""

import json

import numpy as np
import pytest

from eplb_opt.bench import hot, overshoot
from eplb_opt.bench.soak import check_maps, random_call
from eplb_opt.cli import main
from eplb_opt.errors import PlanError
from eplb_opt.problem.machine import Machine
from heuristics import HEURISTICS

pytest.importorskip("torch")

SMALL = hot.Model("lognormal-1.0", 3, 32), Machine.parse("48x8")


def test_thirty_one_configurations_have_four_slots_a_gpu_or_more():
    assert len(set(hot.CONFIGURATIONS)) == 31
    assert all(machine.num_slots >= 4 * machine.num_gpus for _, machine in hot.CONFIGURATIONS)
    assert any(machine.num_nodes > 1 for _, machine in hot.CONFIGURATIONS)


@pytest.mark.parametrize(
    "model", list(dict.fromkeys(model for model, _ in hot.CONFIGURATIONS)), ids=str
)
def test_configured_loads_have_their_shape(model):
    assert model.load().shape == (model.num_layers, model.num_experts)


def test_all_heuristics_and_ours_are_measured_on_the_same_loads():
    rows = list(hot.measure(*SMALL, hot.policies(), rounds=2))
    names = [row.policy for row in rows]
    assert set(HEURISTICS) < set(names)
    assert names[-1] == "ours 20 ms"
    assert all(row.rounds == 2 and row.seconds > 0 for row in rows)
    gaps = {row.policy: row.gap for row in rows}
    assert gaps["greedy"] == gaps["deepseek"] >= gaps["ours 20 ms"] >= 0


def test_a_policy_whose_package_is_missing_is_left_out():
    def absent(*_):
        raise ImportError("no such engine")

    chosen = {"absent": absent, "greedy": HEURISTICS["greedy"]}
    assert [row.policy for row in hot.measure(*SMALL, chosen, rounds=1)] == ["greedy"]


def test_ratios_compare_with_the_yardstick_where_gpus_hold_four_slots():
    def row(policy, gap, slots_per_gpu=4, machine="a"):
        return hot.PolicyRow("loads", machine, slots_per_gpu, policy, 1, 1, 1.0, gap)

    rows = [
        row("swap_refine", 0.08),
        row("mine", 0.01),
        row("swap_refine", 0.04, machine="b"),
        row("mine", 0.02, machine="b"),
        row("swap_refine", 0.04, 2, "c"),
        row("mine", 0.001, 2, "c"),
    ]
    ratios = hot.gap_ratios(rows, "mine")
    assert sorted(ratios.values()) == pytest.approx([2, 8])
    assert hot.geometric_mean(list(ratios.values())) == pytest.approx(4)


def test_lateness_is_that_of_calls_that_kept_their_core():
    samples = np.array([[0.0011, 0], [0.0009, 0], [0.5, 3]])
    row = overshoot._row("one", 0.001, samples)
    assert (row.calls, row.unpreempted) == (3, 2)
    assert row.worst == pytest.approx(0.0001)
    assert row.worst_of_all == pytest.approx(0.499)


def test_the_soaks_check_finds_broken_maps():
    weight = np.ones((1, 4))
    sizes = 4, 2, 2, 2
    placed = np.array([[0, 1, 2, 3]])
    listed, counts = np.array([[[0], [1], [2], [3]]]), np.ones((1, 4), dtype=int)
    check_maps(weight, sizes, (placed, listed, counts))
    for maps in (
        (placed[:, ::-1], listed, counts),
        (np.array([[0, 1, 2, 2]]), listed, counts),
        (placed, listed, counts * 2),
        (placed + 1, listed, counts),
        (np.array([[0, 2, 1, 3]]), np.array([[[0], [2], [1], [3]]]), counts),
    ):
        with pytest.raises(PlanError):
            check_maps(weight, sizes, maps)


def test_random_calls_are_the_same_for_a_seed():
    first, second = (random_call(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1:] == second[1:]


def test_the_commands_report_in_json(capsys):
    assert main(["bench", "soak", "--calls", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 5
    assert main(["bench", "hot", "--quick", "--rounds", "1", "--calls", "4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["geometric_means"]["swap_refine"] == pytest.approx(1)
    assert len(report["overshoot"]) == 3 * len(overshoot.LIMITS)


def test_the_commands_print_tables(capsys):
    assert main(["bench", "hot", "--quick", "--rounds", "1", "--calls", "0"]) == 0
    shown = capsys.readouterr().out
    assert "swap_refine" in shown
    assert "geometric mean" in shown
    assert main(["bench", "soak", "--calls", "3"]) == 0
    assert "3 calls" in capsys.readouterr().out
