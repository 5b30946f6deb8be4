"""Seconds of an expert: roofline, measured tables, the Poisson law, presets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt import ProblemError, StepCost
from eplb_opt.problem import presets
from eplb_opt.problem.poisson import mean_excess, tail

ROOFLINE = StepCost(expert_bytes=44e6, bandwidth=3.35e12, flops_per_token=88e6, peak=1979e12)
TABLE = [(0, 1e-6), (1, 10e-6), (16, 12e-6), (64, 30e-6), (128, 90e-6)]


def poisson(mean, until=4000):
    """The law by multiplying its terms up, in logarithms of sums: slow and plain."""
    numbers = np.arange(until)
    logs = np.concatenate([[0], np.cumsum(np.log(np.maximum(mean, 1e-300) / numbers[1:]))])
    return numbers, np.exp(logs - mean)


@given(st.floats(1e-6, 900), st.integers(0, 1000))
def test_tails_are_what_the_terms_add_up_to(mean, least):
    numbers, density = poisson(mean)
    assert tail(np.array([mean]), least)[0] == pytest.approx(
        density[numbers >= least].sum(), rel=1e-9, abs=1e-12
    )


@given(st.floats(1e-3, 900), st.floats(0, 1000))
def test_the_mean_excess_is_that_of_the_terms(mean, limit):
    numbers, density = poisson(mean)
    wanted = (np.maximum(numbers - limit, 0) * density).sum()
    assert mean_excess(np.array([mean]), limit)[0] == pytest.approx(wanted, rel=1e-8, abs=1e-9)


def test_far_tails_are_zero_and_one():
    mean = np.array([0.0, 1e-9, 1e5, 1e9])
    assert tail(mean, 20_000).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("cost", [ROOFLINE, StepCost(table=TABLE, token_bytes=1e4, link=5e10)])
@pytest.mark.parametrize("mean", [0.0, 0.02, 1.0, 40.0, 280.0, 310.0, 700.0])
def test_expected_seconds_are_those_of_the_law(cost, mean):
    numbers, density = poisson(mean)
    wanted = (cost.seconds(numbers) * density).sum()
    assert cost.expected(mean) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("cost", [ROOFLINE, StepCost(table=TABLE, token_bytes=1e4, link=5e10)])
@pytest.mark.parametrize("mean", [0.0, 0.02, 1.0, 40.0, 280.0, 310.0, 700.0])
def test_the_variance_is_that_of_the_law(cost, mean):
    numbers, density = poisson(mean)
    away = cost.seconds(numbers) - (cost.seconds(numbers) * density).sum()
    assert cost.variance(mean) == pytest.approx((away**2 * density).sum(), rel=1e-7, abs=1e-25)


def test_the_roofline_reads_its_weights_once_or_multiplies():
    read = 44e6 / 3.35e12
    tokens = np.array([0, 1, 100, 2000])
    wanted = [0, read, read, 2000 * 88e6 / 1979e12]
    assert ROOFLINE.seconds(tokens) == pytest.approx(wanted)
    assert ROOFLINE.balance_tokens == pytest.approx(read / (88e6 / 1979e12))
    more = ROOFLINE.with_fields(fixed=1e-6, resident=2e-6, token_bytes=2e4, link=1e11)
    assert more.seconds(0) == pytest.approx(2e-6)
    assert more.seconds(10) == pytest.approx(read + 3e-6 + 2e-6)


def test_an_expert_that_is_rarely_used_costs_in_proportion_to_its_use():
    assert ROOFLINE.expected(1e-4) == pytest.approx(1e-4 * ROOFLINE.seconds(1), rel=1e-3)
    assert ROOFLINE.expected(0.0) == 0


def test_a_table_is_interpolated_and_goes_on_beyond_its_ends():
    cost = StepCost(table=TABLE[1:])
    assert cost.seconds([0, 1, 8.5, 96, 192]) == pytest.approx([0, 10e-6, 11e-6, 60e-6, 150e-6])
    assert StepCost(table=[(8, 3.0)]).seconds([0, 1, 8, 99]).tolist() == [0, 3, 3, 3]


@given(st.lists(st.floats(0, 500), min_size=2, max_size=2))
def test_more_tokens_never_take_less(means):
    low, high = sorted(means)
    for cost in (ROOFLINE, StepCost(table=TABLE)):
        assert cost.expected(low) <= cost.expected(high) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "take no time"),
        ({"expert_bytes": 1}, "needs bandwidth"),
        ({"flops_per_token": 1, "peak": 0}, "peak=0 must be above 0"),
        ({"token_bytes": 1}, "needs link"),
        ({"fixed": -1}, "fixed=-1"),
        ({"fixed": float("nan")}, "fixed"),
        ({"fixed": 1, "experts_per_token": 0}, "experts_per_token=0"),
        ({"table": [(1, 2, 3)]}, "num_rows, 2"),
        ({"table": [(2, 1), (1, 2)]}, "tokens must rise"),
        ({"table": [(1, 2), (2, 1)]}, "seconds must not fall"),
        ({"table": [(0, 1)]}, "0 tokens alone"),
        ({"table": [(0, -1)]}, "negative"),
        ({"table": [(1, 1)], "fixed": 1}, "the table or these"),
    ],
)
def test_what_makes_no_cost_is_refused(fields, words):
    with pytest.raises(ProblemError, match=words):
        StepCost(**fields)


def test_every_preset_is_a_cost_with_a_source():
    for name in presets.preset_names():
        hardware, model, dtype = name.split("/")
        cost = StepCost.preset(hardware.upper(), model, dtype)
        assert cost.name == name
        assert cost.experts_per_token == presets.EXPERTS[model].experts_per_token
        assert 30 < cost.balance_tokens < 1000
        assert presets.HARDWARE[hardware].source
        assert presets.EXPERTS[model].source


def test_a_preset_of_deepseek_on_h100_reads_13_microseconds():
    cost = StepCost.preset("H100", "deepseek-v3")
    assert cost.expert_bytes == 3 * 7168 * 2048
    assert cost.seconds(1) == pytest.approx(13.1e-6, rel=1e-2)
    assert StepCost.preset("h100", "DeepSeek-V3", "bf16").seconds(1) == pytest.approx(26.3e-6, 1e-2)
    with_way = StepCost.preset("h100", "deepseek-v3", link=4.5e11)
    assert with_way.token_bytes == 3 * 7168


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("H1000", "deepseek-v3", "fp8"), "hardware='H1000' is unknown; known: h100"),
        (("H100", "deepseek", "fp8"), "model='deepseek' is unknown; known: deepseek-v3"),
        (("H100", "deepseek-v3", "fp4"), "dtype='fp4' is unknown; known: fp8, bf16"),
    ],
)
def test_an_unknown_preset_lists_the_known(names, words):
    with pytest.raises(ProblemError, match=words):
        StepCost.preset(*names)
