"""One sentence on what to do about the balancedness that steps see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from eplb_opt.workloads.forecast import Forecast

#: Less of balancedness than this is not worth a change.
WORTH = 0.005
#: A step that loses less is left as it is.
LITTLE = 0.01


def advice(
    seen: Forecast, optimal: Forecast, larger: Forecast, model_gap: float | None = None
) -> str:
    """What would help most at the smallest batch size: a plan, slots, a dispatch or larger batches.

    Parameters
    ----------
    seen
        The forecast as the engine serves.
    optimal
        The same plan under optimal dispatch, as SGLang has it.
    larger
        As `seen`, of one size: four times the smallest.
    model_gap
        The plan's gap to the proven bound, where it is known.
    """
    tokens = seen.batch_tokens[0]
    now, split = _mean(seen.balancedness[0]), _mean(optimal.balancedness[0])
    plan, noise = _mean(seen.plan_part), _mean(seen.noise_part[0])
    bursts = 0.0 if seen.burst_part is None else _mean(seen.burst_part[0])
    lost = (
        f"At {tokens:,} tokens a GPU a step loses {_percent(1 - now)}: {_percent(plan)} to the "
        f"plan, {_percent(noise)} to chance"
    )
    lost += "" if seen.burst_part is None else f", {_percent(bursts)} to varying traffic"
    if 1 - now < LITTLE:
        return f"{lost}. Leave it: the GPUs are level."
    better_plan = min(plan, model_gap) if model_gap is not None else 0.0
    gains = {
        "slots": plan - better_plan,
        "plan": better_plan,
        "dispatch": split - now if seen.dispatch != optimal.dispatch else 0.0,
        "batches": _mean(larger.balancedness[0]) - now,
    }
    best = max(gains, key=lambda name: gains[name])
    if gains[best] < WORTH:
        return f"{lost}. Leave it: no plan, dispatch or batch four times as large gains 0.5 %."
    return f"{lost}. {_words(best, gains, tokens)}"


def time_advice(seen: Forecast) -> str:
    """What the slowest GPU takes longer than the others, at the smallest batch size.

    Parameters
    ----------
    seen
        The forecast as the engine serves, with its seconds; "" is said of one without.
    """
    if seen.step_seconds is None or seen.mean_seconds is None:
        return ""
    slowest, mean = _mean(seen.step_seconds[0]), _mean(seen.mean_seconds[0])
    waiting = 1 - mean / slowest if slowest else 0.0
    return (
        f"At {seen.batch_tokens[0]:,} tokens a GPU a layer takes {1e6 * slowest:,.1f} µs on the "
        f"slowest GPU and {1e6 * mean:,.1f} µs on average: GPUs wait {_percent(waiting)} of a step."
    )


def _words(best: str, gains: dict[str, float], tokens: int) -> str:
    gain = _percent(gains[best])
    if best == "plan":
        return f"Plan anew: a better plan gains up to {gain}."
    if best == "slots":
        return (
            f"Add slots or drop a rule: as it is no plan is much more level, and up to {gain} can "
            "be won; `eplb-opt size` says how many slots it takes."
        )
    if best == "batches":
        return (
            f"Make batches larger, if latency allows: {4 * tokens:,} tokens a GPU gain {gain}; no "
            "plan can help against chance."
        )
    return (
        f"Split each step anew (SGLang: --ep-dispatch-algorithm lp): that gains up to {gain}, "
        "which a better plan cannot."
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _percent(share: float) -> str:
    """A share with one digit after the point.

    >>> _percent(0.0431), _percent(0.00002), _percent(-0.0001)
    ('4.3 %', '0 %', '0 %')
    """
    value = round(100 * share, 1)
    return f"{value:.1f} %" if value else "0 %"
