"""The bound of load and crossing: never above brute force, and proven again elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from eplb_opt import Problem, Topology
from eplb_opt.bounds.bounds import SENDER_BOUNDS, fast_bounds, flat_bounds
from eplb_opt.bounds.crossing import crossing_bound, hull_steps, most_at_hand
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.placement.crossing import crossing_senders
from tests.crossing_oracle import crossing_problems, optimum
from tests.homes_oracle import nodes_of_gpus
from tests.sender_oracle import every_plan


def bound_of(problem):
    part = problem.without_lost_gpus() or problem
    return crossing_bound(part, max(method(part)[0] for method in SENDER_BOUNDS.values()))


def certificate(found, value=None, **change):
    data = {
        "levels": list(found.levels),
        "prices": list(found.prices),
        "scale": found.scale,
    }
    return Certificate("crossing", found.value if value is None else value, data | change)


@settings(max_examples=60, deadline=None)
@given(crossing_problems())
def test_bound_never_exceeds_the_optimum(problem):
    if problem is None:
        return
    best = optimum(problem)
    if best is None:
        return
    found = bound_of(problem)
    assert flat_bounds(problem)[0].value <= best
    assert found.value <= best
    assert fast_bounds(problem)[0].value <= best
    if found.levels:
        assert verify(problem, certificate(found)) == found.value
        with pytest.raises(CertificateError):
            verify(problem, certificate(found, best * 1001 / 1000))


@settings(max_examples=60, deadline=None)
@given(crossing_problems(max_off_home=(None,)))
def test_no_copies_serve_more_gpus_on_their_nodes_than_the_bound_says(problem):
    if problem is None:
        return
    part = problem.without_lost_gpus() or problem
    sizes = tuple(np.bincount(nodes_of_gpus(part)).tolist())
    served_by = most_at_hand(part.dispatch, sizes, part.num_slots)
    for row in every_plan(part)[:200]:
        served = part.num_gpus - crossing_senders(part, row[None])[0]
        counts = np.minimum(np.bincount(row, minlength=part.num_experts), len(served_by))
        assert (served <= served_by[counts - 1]).all()


def two_nodes(price=0.3, load=(40, 30, 20, 10, 2, 2, 1, 1), dispatch="nearest", **rules):
    return Problem([load], 12, 4, 2, dispatch=dispatch, topology=Topology(price, **rules))


def test_bound_is_the_least_load_and_the_least_crossing():
    # Twelve slots: the four hot experts are on both nodes; half of the six other tokens cross.
    found = bound_of(two_nodes())
    assert float(found.value) == pytest.approx(1 + 0.3 * 0.5 * 6 / 106, rel=1e-9)


def test_load_that_forces_copies_raises_what_crosses():
    # One expert has nearly all tokens: within the mean it needs a copy on every GPU.
    load = (1000, 1, 1, 1, 1)
    apart = Problem([load], 8, 4, 4, dispatch="nearest", topology=Topology(1.0))
    found = bound_of(apart)
    assert float(found.value) == pytest.approx(1 + 0.75 * 4 / 1004, rel=1e-3)


def test_rank_modulo_keeps_only_what_chance_keeps():
    # Two or four copies serve two GPUs of four on their own node, three at most three.
    assert most_at_hand("rank_modulo", (2, 2), 5).tolist() == [2, 2, 3, 4]
    assert most_at_hand("nearest", (2, 3), 5).tolist() == [3, 5]
    assert bound_of(two_nodes(dispatch="rank_modulo")).value > bound_of(two_nodes()).value


def test_hull_is_concave_and_above():
    steps = hull_steps((2, 2, 3, 4), 1)
    assert [(float(gain), size) for gain, size in steps] == [(pytest.approx(2 / 3), 3)]
    assert hull_steps((8, 16, 24, 32), 2) == [(8, 2)]
    assert hull_steps((4,), 1) == []


def test_limit_on_what_crosses_raises_the_bound():
    free = bound_of(two_nodes(0.0)).value
    held = bound_of(two_nodes(0.0, max_off_home=0.01)).value
    assert free <= 1
    assert held > 1  # no plan crosses that little


@pytest.mark.parametrize(
    "change",
    [
        {"levels": []},
        {"levels": [3, 2], "prices": [0, 0]},
        {"levels": [0]},
        {"scale": 0},
        {"levels": [2**60]},
        {"prices": []},
        {"prices": [-1]},
        {"prices": 3},
        {"extra": 1},
        {"levels": list(range(1, 200))},
        {"pairs_bound": [3, 0]},
    ],
)
def test_verifier_refuses_what_is_no_proof(change):
    found = bound_of(two_nodes())
    with pytest.raises(CertificateError):
        verify(two_nodes(), certificate(found, **change))


def test_certificates_of_other_kinds_do_not_prove_it():
    problem, found = two_nodes(), bound_of(two_nodes())
    with pytest.raises(CertificateError):
        verify(problem, Certificate("sender_pairs", found.value, {}))
    with pytest.raises(CertificateError):
        verify(problem.with_topology(None), certificate(found))
    uniform = problem.with_topology(None).with_dispatch("uniform")
    with pytest.raises(CertificateError):
        verify(uniform.with_topology(Topology(0.3, homes=[0] * 8)), certificate(found))


def test_rounded_loads_widen_the_bound():
    exact = two_nodes()
    rough = replace(exact)
    rough.set_field("rounded", np.array([True]))
    assert bound_of(rough).value < bound_of(exact).value
