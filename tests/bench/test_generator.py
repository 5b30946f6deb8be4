import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt.bench.generator import (
    LAYER_TOTAL,
    PROFILES,
    generate_loads,
    scenario_loads,
    zipf_loads,
)
from eplb_opt.bench.load_files import LOAD_FILES, Generated
from eplb_opt.errors import ProblemError
from eplb_opt.io import read_loads
from tests.bench.figures import figures

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"

# Ranges of the recorded figures; what the recordings do not say is not in here.
DEEPSEEK_V3 = {
    "peak": (5.5, 7.35),
    "lowest_peak": (2.7, 4.2),
    "highest_peak": (10.2, 13.8),
    "second": (4.8, 5.9),
    "median": (0.70, 0.81),
    "lightest": (0.11, 0.18),
    "top_1": (0.057, 0.072),
    "top_5": (0.167, 0.21),
    "top_10": (0.26, 0.33),
    "width": (0.55, 0.75),
    "wobble": (0.11, 0.17),
    "near": (0.14, 0.33),
    "far": (0.09, 0.28),
    "group": (1.5, 2.1),
}
DEEPSEEK_V2_LITE = {
    "peak": (3.5, 4.5),
    "second": (2.6, 3.3),
    "median": (0.74, 0.87),
    "lightest": (0.06, 0.19),
    "top_5": (0.13, 0.165),
    "top_10": (0.22, 0.27),
    "width": (0.58, 0.9),
    "wobble": (0.15, 0.22),
    "near": (-0.08, 0.08),
}
GPT_OSS = {"peak": (2.7, 4.2), "width": (1.0, 1.3), "median": (0.7, 0.9), "near": (-0.08, 0.08)}
MIXTRAL = {
    "peak": (1.1, 1.4),
    "highest_peak": (1.1, 1.7),
    "width": (0.1, 0.2),
    "lightest": (0.74, 0.8),
}


def within(found: dict[str, float], ranges: dict[str, tuple[float, float]]) -> list[str]:
    return [
        f"{key}: {found[key]:.3f} is not in {low}..{high}"
        for key, (low, high) in ranges.items()
        if not low <= found[key] <= high
    ]


@pytest.mark.parametrize(
    ("name", "ranges"),
    [("deepseek-v3", DEEPSEEK_V3), ("gpt-oss-120b", GPT_OSS), ("mixtral-8x7b", MIXTRAL)],
)
def test_stored_loads_have_the_recorded_figures(name, ranges):
    source = LOAD_FILES[name]
    assert isinstance(source, Generated)
    found = figures(source.load(), PROFILES[source.profile].num_groups)
    assert within(found, ranges) == []


def test_the_profile_without_groups_has_the_recorded_figures_at_its_own_shape():
    assert within(figures(generate_loads("deepseek-v2-lite", 26, 64, 0)), DEEPSEEK_V2_LITE) == []


def test_kimi_has_no_groups_to_correlate_layers():
    assert abs(figures(LOAD_FILES["kimi-k2"].load())["near"]) < 0.05


@pytest.mark.parametrize("profile", list(PROFILES))
def test_figures_do_not_hang_on_one_seed(profile):
    shape = {"deepseek-v3": (58, 256), "kimi-k2": (60, 384), "mixtral": (32, 8)}.get(
        profile, (26, 64)
    )
    peaks = [figures(generate_loads(profile, *shape, seed))["peak"] for seed in range(5)]
    middle = {"deepseek-v3": 6.4, "deepseek-v2-lite": 3.9, "gpt-oss": 3.3, "mixtral": 1.3}
    # Of 64 normal numbers the largest is 2.3 to 2.4 deviations above the mean.
    middle |= {"lognormal-0.5": 2.9, "lognormal-1.5": 12.9}
    assert np.mean(peaks) == pytest.approx(middle.get(profile, 7.0), rel=0.1)


@pytest.mark.skipif(not TRACES.is_dir(), reason="the recorded traces are not beside the project")
@pytest.mark.parametrize(
    ("pattern", "num_groups", "ranges"),
    [
        ("deepseek_v3_*", 8, DEEPSEEK_V3),
        ("deepseek_v2_lite_*", 1, DEEPSEEK_V2_LITE),
        ("gpt_oss_*", 1, GPT_OSS),
        ("mixtral_8x7b_mmlu_*", 1, MIXTRAL),
    ],
)
def test_the_ranges_are_those_of_the_recorded_traces(pattern, num_groups, ranges):
    paths = sorted(TRACES.glob(f"{pattern}.npz"))
    assert paths
    for path in paths:
        assert within(figures(read_loads(path).total, num_groups), ranges) == [], path.name


@given(
    profile=st.sampled_from(sorted(PROFILES)),
    num_layers=st.integers(1, 4),
    num_groups=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_every_layer_adds_up_and_nothing_is_negative(profile, num_layers, num_groups, seed):
    load = generate_loads(profile, num_layers, 8 * num_groups, seed)
    assert load.dtype == np.int64
    assert load.shape == (num_layers, 8 * num_groups)
    assert (load.sum(axis=1) == LAYER_TOTAL).all()
    assert load.min() >= 0


def test_the_same_seed_gives_the_same_integers_everywhere():
    load = generate_loads("deepseek-v3", 3, 16, 7)
    found = hashlib.sha256(load.astype("<i8").tobytes()).hexdigest()
    assert found == "14645d353a7a3c5fcfa8d4db1022bb84dd00e3272c3023971ac61a70be2d096c"
    assert (generate_loads("deepseek-v3", 3, 16, 8) != load).any()


@pytest.mark.parametrize(
    "arguments", [("nope", 1, 8, 0), ("deepseek-v3", 1, 12, 0), ("mixtral", 0, 8, 0)]
)
def test_what_cannot_be_generated_is_refused(arguments):
    with pytest.raises(ProblemError, match=r"known: deepseek-v3|num_layers="):
        generate_loads(*arguments)


def test_zipf_loads_fall_with_the_power_of_the_rank():
    load = zipf_loads(1200, 20, 64, 3)
    assert (load.sum(axis=1) == LAYER_TOTAL).all()
    falling = np.sort(load, axis=1)[:, ::-1].mean(axis=0)
    rank = np.arange(1, 65)
    slope = np.polyfit(np.log(rank), np.log(falling), 1)[0]
    assert slope == pytest.approx(-1.2, abs=0.03)
    assert len({int(row.argmax()) for row in load}) > 5


def test_workloads_have_some_of_their_loads_in_common():
    load = scenario_loads("lognormal-1.0", 4, 64, 7, 3, 400).astype(float)
    assert load.shape == (3, 4, 64)
    assert ((load.sum(axis=2) > LAYER_TOTAL - 64) & (load.sum(axis=2) <= LAYER_TOTAL)).all()
    between = [np.corrcoef(load[:, layer_idx])[0, 1] for layer_idx in range(4)]
    # Two parts of 0.6 and 0.4 with equal spread: 0.36 of 0.52 is common.
    assert np.mean(between) == pytest.approx(0.36 / 0.52, abs=0.2)
