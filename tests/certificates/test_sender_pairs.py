"""The certificate of two slots a GPU with senders: it proves no more than is true."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eplb_opt
from eplb_opt.certificates import Certificate, CertificateError, verify
from eplb_opt.certificates.sender_pairs import least_senders
from eplb_opt.clock import Deadline
from eplb_opt.placement import scoring
from eplb_opt.problem.problem import Problem
from eplb_opt.search.starts import first_plan
from eplb_opt.solver import Options, Task
from tests import sender_oracle


@st.composite
def pair_problems(draw, max_load=30):
    """One layer with two slots a GPU, tiny enough to try every plan."""
    num_gpus, num_nodes = draw(st.sampled_from([(2, 1), (3, 1), (4, 1), (4, 2), (2, 2), (4, 4)]))
    num_experts = draw(st.integers(2, 5))
    num_experts = min(num_experts, 2 * num_gpus)
    load = draw(st.lists(st.integers(0, max_load), min_size=num_experts, max_size=num_experts))
    dispatch = draw(st.sampled_from(["nearest", "rank_modulo"]))
    return Problem([load], 2 * num_gpus, num_gpus, num_nodes, dispatch=dispatch)


def least_of_plans(problem):
    """The least of all plans, each in one draw at least: no bound is above it."""
    rows = sender_oracle.every_plan(problem)
    copies = problem.repeated(0, len(rows))
    return min(scoring.objectives(copies, rows))


@settings(max_examples=150, deadline=None)
@given(
    pair_problems(),
    st.integers(1, 120),
    st.integers(-5, 5),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=4),
)
def test_whatever_the_steps_what_is_proven_is_true(problem, level, price, steps):
    steps = sorted(steps)
    data = {"price": price, "steps": [a for a, _ in steps], "heights": [h for _, h in steps]}
    bound = Fraction(level, problem.num_senders)
    try:
        proven = verify(problem, Certificate("sender_pairs", bound, data))
    except CertificateError:
        return
    assert proven == bound
    assert bound <= least_of_plans(problem)


@settings(max_examples=25, deadline=None)
@given(pair_problems(max_load=1))
def test_no_replica_has_fewer_senders_than_the_least(problem):
    for row in sender_oracle.every_plan(problem)[::13].tolist():
        counts = Counter(row)
        for way in sender_oracle.draws(problem, row):
            for expert, sent in enumerate(way):
                parts = least_senders(problem, counts[expert])
                least = [number for times, number in parts for _ in range(times)]
                assert len(least) == counts[expert]
                assert all(a >= b for a, b in zip(sorted(sent)[::-1], least, strict=True))


def proven(problem, effort=2000):
    pytest.importorskip("scipy")
    from eplb_opt.exact.senders.pairs import SenderPairsSolver

    start = first_plan(problem)
    worth = scoring.layer_objectives(problem, start)[0]
    ends = Deadline.after(None), Deadline.after(None)
    task = Task(0, problem, start[0], worth, Fraction(0), *ends, effort, 0, 0)
    return SenderPairsSolver(problem, Options()).solve(task)


@settings(max_examples=25, deadline=None)
@given(pair_problems())
def test_the_solver_stays_below_every_plan(problem):
    assume(problem.load.any())
    answer = proven(problem)
    if answer.bound is not None:
        assert answer.bound.value <= least_of_plans(problem)
        assert verify(problem, answer.certificate) == answer.bound.value


@pytest.mark.parametrize("dispatch", ["nearest", "rank_modulo"])
def test_it_raises_the_bound_where_few_experts_are_hot(dispatch):
    load = np.random.default_rng(0).lognormal(4, 1.2, (1, 48)).astype(int)
    problem = Problem(load, 56, 28, 4, dispatch=dispatch)
    answer = proven(problem)
    assert answer.bound.value > eplb_opt.bounds.bounds.fast_bounds(problem)[0].value * Fraction(
        101, 100
    )
    certificate = answer.certificate
    # A bound one part higher is not proven by the same steps, nor by other loads.
    higher = replace(certificate, bound=certificate.bound * Fraction(11, 10))
    with pytest.raises(CertificateError):
        verify(problem, higher)
    lighter = problem.with_load(problem.load * 9 // 10)
    with pytest.raises(CertificateError):
        verify(lighter, certificate)
    result = eplb_opt.plan(problem, effort=1000)
    assert result.bound_source == ["sender_pairs"]
    assert verify(problem, result.certificates[0]) <= result.bounds[0].objective


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": [1]}, "price is a number"),
        ({"steps": [5, 1]}, "ascend"),
        ({"heights": [-1, 2]}, "at least 0"),
        ({"heights": [1]}, "a height each"),
        ({"more": 1}, "has price, steps and heights"),
    ],
)
def test_what_is_no_proof_is_refused(change, words):
    problem = Problem([[9, 5, 4, 2]], 6, 3, dispatch="rank_modulo")
    data = {"price": 0, "steps": [1, 2], "heights": [1, 1]} | change
    with pytest.raises(CertificateError, match=words):
        verify(problem, Certificate("sender_pairs", Fraction(20), data))


def test_other_problems_are_refused():
    data = {"price": 0, "steps": [], "heights": []}
    certificate = Certificate("sender_pairs", Fraction(3), data)
    for problem in (
        Problem([[9, 5, 4]], 6, 3),
        Problem([[9, 5, 4]], 3, 3, dispatch="nearest"),
        Problem([[9, 5, 4]], 6, 3, gpu_speed=[1, 1, 2], dispatch="nearest"),
    ):
        with pytest.raises(CertificateError):
            verify(problem, certificate)
