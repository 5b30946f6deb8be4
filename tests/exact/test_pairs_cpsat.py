"""CP-SAT decides a level, in the last place, for two slots a GPU."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.clock import Deadline
from eplb_opt.core import pairs
from eplb_opt.exact.pairs import cpsat, tree
from eplb_opt.exact.pairs.counts import exact_value, fill
from eplb_opt.exact.pairs.fixed_point import ScaledLayer
from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from tests.exact.pairs_cases import best_value, lognormal, random_pairs
from tests.exact.starts import round_robin

pytest.importorskip("ortools")


def refuse(*_):
    raise AssertionError("CP-SAT was asked")


@pytest.fixture
def labels_give_up(monkeypatch):
    """Branches and labels decide nothing beyond the root."""
    monkeypatch.setattr(tree.Tree, "decide", lambda tree: None)
    return PairsParams(first_nodes=1, max_nodes=1, certify_nodes=0)


def solve(problem, params, effort=None):
    layer = PairsLayer(problem, params)
    return layer.run(round_robin(problem), Fraction(0), Deadline.after(30), effort)


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_counts_are_found_where_a_level_is_in_reach_and_denied_elsewhere(seed):
    problem = random_pairs(seed)
    load, num_slots = problem.load[0], problem.num_slots
    if not load.any():
        pytest.skip("there is no load")
    layer = ScaledLayer.of(load, num_slots)
    best = best_value(problem) * layer.scale
    for level, in_reach in ((-(-best // 1), True), (best // 1 - 2, False)):
        core = pairs.Layer(load, layer.scale_bits, num_slots)
        options = pairs.list_options(core, int(level))
        if options is None:
            assert not in_reach
            continue
        found = cpsat.find_counts(options, num_slots, math.inf, Deadline())
        if in_reach:
            counts = fill(load, np.asarray(found), num_slots)
            assert exact_value(load, counts) * layer.scale < level + 1
        else:
            assert found is False


def test_levels_that_labels_leave_open_are_decided_by_cp_sat(labels_give_up):
    for seed in range(30):
        problem = random_pairs(seed)
        assert solve(problem, labels_give_up).lower_bound == best_value(problem)
    problem = lognormal(0.5, 0, 20, 28)
    answer = solve(problem, labels_give_up)
    assert answer.message == "the bounds meet"


def test_counted_work_never_asks_cp_sat(labels_give_up, monkeypatch):
    monkeypatch.setattr(cpsat, "find_counts", refuse)
    problem = lognormal(0.5, 0, 20, 28)
    assert solve(problem, labels_give_up, effort=300).lower_bound > 0
    with pytest.raises(AssertionError, match="asked"):
        solve(problem, labels_give_up)


def test_without_or_tools_the_branches_go_on_alone(labels_give_up, monkeypatch):
    monkeypatch.setattr(cpsat, "find_counts", refuse)
    monkeypatch.setattr("eplb_opt.exact.pairs.model.find_spec", lambda name: None)
    assert solve(lognormal(0.5, 0, 20, 28), labels_give_up).message == "the bounds meet"


def test_cp_sat_is_not_begun_without_time_for_it():
    load = lognormal(0.5, 0, 20, 28).load[0]
    layer = ScaledLayer.of(load, 28)
    core = pairs.Layer(load, layer.scale_bits, 28)
    options = pairs.list_options(core, int(load.sum()) * layer.scale // 12)
    assert cpsat.find_counts(options, 28, 1.0, Deadline.after(0)) is None


def test_level_with_too_many_options_is_none_for_cp_sat(labels_give_up, monkeypatch):
    monkeypatch.setattr(cpsat, "find_counts", refuse)
    params = replace(labels_give_up, cpsat_options=5)
    assert solve(lognormal(0.5, 0, 20, 28), params).message == "the bounds meet"


def test_proof_that_no_verifier_takes_is_left_out_and_its_bound_stays(monkeypatch):
    problem = lognormal(1.0, 0, 20, 28)
    whole = solve(problem, PairsParams())
    assert whole.certificate is not None
    monkeypatch.setattr(tree, "MAX_CELLS", 10)
    answer = solve(problem, PairsParams())
    assert answer.certificate is None
    assert answer.lower_bound == whole.lower_bound
