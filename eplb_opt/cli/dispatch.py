"""What is said of a plan that counts on a way of splitting tokens, or was made for other loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.errors import ProblemError
from eplb_opt.placement.dispatch_rules import dispatch_score, without_topology
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.problem.checks import DISPATCHES
from eplb_opt.report.gap import model_balancedness
from eplb_opt.report.words import DISPATCH_WORDS
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from eplb_opt.placement.dispatch_rules import DispatchScore
    from eplb_opt.problem.problem import Problem
    from eplb_opt.result import Result

#: Dispatch -> the engines that have it, and with which options.
GIVEN_BY = {
    "optimal": {"sglang": "--ep-dispatch-algorithm lp"},
    "nearest": {"sglang": "an all-to-all backend and --ep-dispatch-algorithm dynamic"},
    "rank_modulo": {"vllm-ascend": "no tensor parallelism"},
}
#: Engines whose way of splitting tokens is known; other names of formats may be anybody's.
KNOWN_ENGINES = (
    "sglang",
    "vllm",
    "vllm-hcu",
    "vllm-ranks",
    "vllm-ascend",
    "omni",
    "trtllm",
    "trtllm-config",
)
#: Engines that split in one way alone, and in which.
NEVER_UNIFORM = {"vllm-ascend": "rank_modulo"}
#: How a figure without the dispatch is told; where nobody says otherwise optimal is not at hand.
WITHOUT = {
    "uniform": "under the uniform split",
    "nearest": "with nearest copy",
    "rank_modulo": "with rank modulo",
}
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
    """What a plan is worth where its engine splits tokens in another way, and who has which.

    Parameters
    ----------
    result
        The result, from `plan`; one for the uniform split needs no words where the engine may have
        that.
    engine
        The engine that the plan is written for.
    """
    dispatch = result.problem.dispatch
    if dispatch == "uniform" and engine not in NEVER_UNIFORM:
        return ()
    score = dispatch_score(without_topology(result.problem), result.plan)
    if dispatch == "uniform":
        own = NEVER_UNIFORM[engine]
        objective, balance = score.of(own)
        return (
            f"{engine} splits tokens by {DISPATCH_WORDS[own]}, where this plan's balancedness is "
            f"{model_balancedness(balance, objective):.4f}; plan for that with --dispatch {own}.",
        )
    return (_worth(score, dispatch), _who(engine, dispatch))


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
    if problem.dispatch != "uniform":
        return (
            f"scored under {DISPATCH_WORDS[problem.dispatch]}, which only "
            f"{_engines(problem.dispatch)} gives; the other columns show the plan without it.",
        )
    if model_gap <= OTHER_PLAN or problem.has_topology:  # a greedy plan knows no price
        return ()
    above = _above_greedy(problem, score)
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
            f"that ({_engines('optimal')}), check it with --dispatch optimal."
        )
    return (text,)


def _above_greedy(problem: Problem, score: DispatchScore) -> float:
    """By what share a plan's largest GPU loads are above a greedy one's; 0 where it finds none."""
    try:
        greedy = float(evaluate(problem, first_plan(problem)).objective.sum())
    except ProblemError:  # rules that one plan keeps, and the greedy does not know how to
        return 0.0
    return float(score.uniform.sum()) / greedy - 1 if greedy else 0.0


def _worth(score: DispatchScore, dispatch: str) -> str:
    levels = {}
    for name in DISPATCHES:
        objective, balance = score.of(name)
        levels[name] = model_balancedness(balance, objective)
    others = [f"{levels[name]:.4f} {WITHOUT[name]}" for name in WITHOUT if name != dispatch]
    return (
        f"this plan is designed for {DISPATCH_WORDS[dispatch]}: balancedness "
        f"{levels[dispatch]:.4f} with it, {', '.join(others)}."
    )


def _who(engine: str, dispatch: str) -> str:
    words = DISPATCH_WORDS[dispatch]
    if engine in GIVEN_BY[dispatch]:
        return (
            f"start the engine with {GIVEN_BY[dispatch][engine]}, or it is worth only the other "
            "figures."
        )
    if engine in KNOWN_ENGINES:
        return (
            f"{engine} has no {words}, so there the plan is worth only the other figures; plan for "
            "it with --dispatch uniform."
        )
    return f"the engine must run it with {words}: {_engines(dispatch)}."


def _engines(dispatch: str) -> str:
    return ", ".join(f"{name} with {option}" for name, option in GIVEN_BY[dispatch].items())
