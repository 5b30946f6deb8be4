"""The exact model with a price on what crosses nodes, against brute force; and the pairs' bound."""

import numpy as np
import pytest
from hypothesis import assume, given, settings

import eplb_opt
from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import SENDER_BOUNDS
from eplb_opt.bounds.crossing import crossing_bound
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.errors import PlanError, ProblemError
from eplb_opt.exact.senders.crossing_pairs import CrossingPairsSolver
from eplb_opt.placement import scoring
from eplb_opt.planner.conditions import has_two_slots_and_a_price
from eplb_opt.solver import Options, Verdict
from tests.crossing_oracle import crossing_problems, optimum
from tests.exact.test_senders import best_of, solved, task_of
from tests.sender_oracle import every_plan

pytest.importorskip("ortools")


@settings(max_examples=25, deadline=None)
@given(crossing_problems())
def test_the_model_finds_the_best_plan_and_its_bound_is_below_every_draw(problem):
    assume(problem is not None and problem.load.any())
    problem = problem.without_lost_gpus() or problem
    rows = every_plan(problem)
    assume(0 < len(rows) <= 400)
    best = optimum(problem)
    try:
        answer, task = solved(problem)
    except ProblemError:  # no first plan within the limit: there may be none at all
        return
    assert answer.verdict is Verdict.FINISHED
    assert answer.bound.value <= best
    copies = problem.repeated(0, len(rows))
    assert best_of(problem, answer, task) == min(scoring.layer_objectives(copies, rows))


def test_a_first_plan_is_found_wherever_hot_experts_can_be_on_every_node():
    load = [[40, 30, 20, 10, 2, 2, 1, 1]]
    tight = Problem(load, 12, 4, 2, dispatch="nearest", topology=Topology(max_off_home=0.03))
    result = eplb_opt.plan(tight, effort=5)
    assert result.off_home[0] <= 0.03
    with pytest.raises(ProblemError, match=r"at most 0\.02 of the .* At least 0\.0283.* proven"):
        eplb_opt.plan(tight.with_topology(Topology(max_off_home=0.02)), effort=5)


def test_a_price_with_many_digits_proves_a_little_less():
    exact = Problem([[9, 5, 3, 2]], 6, 3, 3, dispatch="nearest", topology=Topology(1 / 3))
    answer, task = solved(exact)
    best = optimum(exact)
    assert answer.bound.value <= best
    assert float(answer.bound.value) == pytest.approx(float(best), rel=1e-4)
    assert best_of(exact, answer, task) >= best


def two_slots(price=0.2, **terms):
    load = np.random.default_rng(0).lognormal(4, 1.2, (1, 48)).astype(int)
    given = {"num_nodes": 4, "dispatch": "nearest", "topology": Topology(price)} | terms
    return Problem(load, 56, 28, **given)


def test_pairs_raise_the_bound_of_load_and_crossing():
    pytest.importorskip("scipy")
    problem = two_slots()
    assert has_two_slots_and_a_price(problem)
    solver = CrossingPairsSolver(problem, Options())
    answer = solver.solve(task_of(problem, 2000))
    plain = crossing_bound(problem, max(m(problem)[0] for m in SENDER_BOUNDS.values()))
    assert answer.bound.source == "crossing"
    assert answer.bound.value > plain.value
    assert verify(problem, answer.certificate) == answer.bound.value
    result = eplb_opt.plan(problem, effort=2000)
    assert result.bounds[0].lower >= answer.bound.value
    for change in ({"pairs_bound": [10**9, 1]}, {"pairs_price": 0, "pairs_steps": []}):
        data = answer.certificate.data | change
        with pytest.raises(CertificateError):
            verify(problem, Certificate("crossing", answer.bound.value, data))


def test_unlike_nodes_have_no_bound_by_pairs():
    nodes = [0] * 13 + [1] * 15
    unlike = two_slots(num_nodes=2, topology=Topology(0.2, nodes=nodes))
    assert not has_two_slots_and_a_price(unlike)
    result = eplb_opt.plan(unlike, effort=20)
    assert result.bounds[0].lower <= result.bounds[0].objective


def test_plans_of_the_model_that_break_the_limit_by_rounding_are_not_taken(monkeypatch):
    problem = Problem([[9, 5, 3]], 6, 3, 3, dispatch="nearest", topology=Topology(0.5))
    broken = []

    def check(asked, placed):
        broken.append(placed)
        raise PlanError("the limit")

    monkeypatch.setattr("eplb_opt.exact.senders.solver.check", check)
    answer, _ = solved(problem)
    assert answer.placed is None
    assert broken
