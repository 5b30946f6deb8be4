"""What is said of a plan that counts on a way of splitting tokens, or was made for other loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.placement.dispatch_rules import dispatch_score
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.words import DISPATCH_WORDS
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from eplb_opt.placement.dispatch_rules import DispatchScore
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result

#: Engine -> the option with which it splits every batch so that the largest GPU load is least.
SPLITS_OPTIMALLY = {"sglang": "--ep-dispatch-algorithm lp"}
#: Engines that cannot; other names of formats may be anybody's.
SPLITS_OTHERWISE = (
    "vllm",
    "vllm-hcu",
    "vllm-ranks",
    "vllm-ascend",
    "omni",
    "trtllm",
    "trtllm-config",
)
#: A plan whose largest GPU loads are farther above those of a greedy one was not made for the loads
#: and the dispatch at hand.
OTHER_PLAN = 0.05
#: A plan that was made for optimal dispatch has at least this balancedness with it.
LEVEL = 0.98


def noise_note(result: Result, asked: float | None) -> tuple[str, ...]:
    """Which noise was chosen, where it was not given."""
    if result.noise is None or asked is not None:
        return ()
    why = (
        "for loads that differ from the recorded ones; --noise sets it"
        if result.noise
        else "for the known loads alone; --noise 0.3 plans for others like them"
    )
    return (f"planned with noise {result.noise:g}, {why}.",)


def deploy_notes(result: Result, engine: str) -> tuple[str, ...]:
    """What a plan for optimal dispatch is worth without it, and who can give it.

    Parameters
    ----------
    result
        The result, from `plan`; one for the uniform split needs no words.
    engine
        The engine that the plan is written for.
    """
    if not result.problem.is_split_freely:
        return ()
    score = dispatch_score(result.problem, result.plan)
    return (_worth(score), _who(engine))


def check_notes(problem: Problem, score: DispatchScore, model_gap: float) -> tuple[str, ...]:
    """Which dispatch is scored, and what the figures say of what the plan was made for.

    A plan that is worse than a greedy one for the same loads was made for something else: for other
    loads most often. That it was made for optimal dispatch is said to be possible only where the
    GPUs would be level with it.

    Parameters
    ----------
    problem
        The problem that the plan is checked against.
    score
        The plan's scores under the three ways of splitting tokens.
    model_gap
        The plan's model gap under the problem's dispatch.
    """
    if problem.is_split_freely:
        return (
            f"scored under {DISPATCH_WORDS[problem.dispatch]}, which only "
            f"{_engines()} gives; the other columns show the plan without it.",
        )
    if model_gap <= OTHER_PLAN:
        return ()
    greedy = evaluate(problem, first_plan(problem)).objective.sum()
    above = float(score.uniform.sum() / greedy - 1) if greedy else 0.0
    if above <= OTHER_PLAN:
        return ()
    level = model_balancedness(score.optimal_balancedness, score.optimal)
    text = (
        f"the largest GPU loads are {100 * above:.3g} % above those of a greedy plan for these "
        f"loads, and at most {100 * model_gap:.3g} % above the best possible. The common cause is "
        "that the plan was made for other loads, such as older ones, or under other rules: plan "
        "anew, with this plan as --current to see what moves."
    )
    if level >= LEVEL and score.needs_dispatch > OTHER_PLAN:
        text += (
            f" Under optimal dispatch its balancedness would be {level:.4f}: if it was made for "
            f"that ({_engines()}), check it with --dispatch optimal."
        )
    return (text,)


def _worth(score: DispatchScore) -> str:
    optimal, uniform, nearest = (
        model_balancedness(balance, objective)
        for balance, objective in (
            (score.optimal_balancedness, score.optimal),
            (score.uniform_balancedness, score.uniform),
            (score.nearest_balancedness, score.nearest),
        )
    )
    return (
        f"this plan is designed for optimal dispatch: balancedness {optimal:.4f} with it, "
        f"{uniform:.4f} under the uniform split, {nearest:.4f} with nearest copy."
    )


def _who(engine: str) -> str:
    if engine in SPLITS_OPTIMALLY:
        return (
            f"start the engine with {SPLITS_OPTIMALLY[engine]}, or it is worth only the other two "
            "figures."
        )
    if engine in SPLITS_OTHERWISE:
        return (
            f"{engine} has no optimal dispatch, so there the plan is worth only the other two "
            "figures; plan for it with --dispatch uniform."
        )
    return f"the engine must run it with optimal dispatch: {_engines()}."


def _engines() -> str:
    return ", ".join(f"{name} with {option}" for name, option in SPLITS_OPTIMALLY.items())
