"""What a plan wins: against the plan in force, and against what engines place by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import PlanError
from eplb_opt.placement.plan import Plan, as_plan
from eplb_opt.report.page_before import greedy_before
from eplb_opt.report.page_tables import PageTable
from eplb_opt.report.words import percent_at_least

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb_opt.problem.problem import Problem
    from eplb_opt.report.page_before import Before
    from eplb_opt.report.steps import Batch

#: Engines whose own heuristic is DeepSeek's EPLB, as released; found in their sources.
EPLB_ENGINES = "DeepSeek's EPLB: vLLM 0.33 (policy default), SGLang 0.5.23 (deepseek)"
#: What the page says of the other engines.
OTHERS = "What engines that are not named here place by themselves is not scored."


@dataclass(frozen=True)
class Gain:
    """What the page says of it.

    Parameters
    ----------
    headline
        The share by which the slowest GPU gets lighter, with its unit.
    words
        What the headline is.
    sentence
        The same at length.
    table
        One row for each plan that is compared with.
    batches
        What it means at each of the batch sizes given.
    """

    headline: str
    words: str
    sentence: str
    table: PageTable
    batches: tuple[str, ...]


def make_gain(problem: Problem, plan: Plan, before: Before, batches: Sequence[Batch] = ()) -> Gain:
    """Compare the largest GPU loads, summed over the layers, in exact arithmetic.

    Parameters
    ----------
    problem
        Loads and topology.
    plan
        Ours.
    before
        The plan that ours takes the place of; where that is a given one, the greedy that engines
        ship has a row of its own.
    batches
        The sizes of batches, where they are known.
    """
    ours = _levels(problem, plan)
    rivals = [before]
    if not before.is_greedy:
        rivals.append(greedy_before(problem))
    found = [(rival, _levels_or_none(problem, rival.placed)) for rival in rivals]
    rows = [
        [rival.name, _who(problem, rival), _ratio(problem, levels), _change(levels, ours)]
        for rival, levels in found
    ]
    rows.append(["eplb-opt", "this plan", _ratio(problem, ours), ""])
    headings = ["plan", "who runs it", "largest load / mean", "change with eplb-opt"]
    table = PageTable(
        "Plans compared with", headings, rows, [True, True, False, False], (len(rows) - 1,)
    )
    levels = found[0][1]
    headline, direction = _headline(levels, ours)
    return Gain(
        headline,
        f"{direction}: the slowest GPU, against {before.name}",
        _sentence(problem, before.name, headline, direction),
        table,
        tuple(_at(batch, problem, before.name, levels, ours) for batch in batches),
    )


def _levels(problem: Problem, plan: Plan) -> list[Fraction]:
    """The largest GPU load of each layer; with scenarios over the mean, else in caller's units."""
    values = plan.objectives(problem)
    return [value * problem.unit(i) for i, value in enumerate(values)]


def _levels_or_none(problem: Problem, placed: Any) -> list[Fraction] | None:
    """None for a plan that breaks a rule."""
    try:
        return _levels(problem, as_plan(placed, problem))
    except PlanError:
        return None


def _ratios(problem: Problem, levels: Iterable[Fraction]) -> list[Fraction]:
    """The largest GPU load of each layer over its mean; 1 where there is no load."""
    if problem.counts_ratios:
        return list(levels)
    found = []
    for layer_idx, level in enumerate(levels):
        total = int(problem.load[layer_idx].sum()) * problem.unit(layer_idx)
        found.append(level * problem.capacity / total if total else Fraction(1))
    return found


def _ratio(problem: Problem, levels: list[Fraction] | None) -> str:
    """Mean over the layers."""
    if levels is None:
        return "breaks a rule"
    ratios = _ratios(problem, levels)
    return f"{float(sum(ratios, Fraction(0)) / len(ratios)):.4f}"


def _headline(levels: list[Fraction] | None, ours: list[Fraction]) -> tuple[str, str]:
    if levels is None:
        return "-", "not comparable"
    old, new = sum(levels, Fraction(0)), sum(ours, Fraction(0))
    if new > old:
        return percent_at_least(new / old - 1 if old else Fraction(0)), "heavier"
    return percent_at_least(1 - new / old if old else Fraction(0)), "lighter"


def _change(levels: list[Fraction] | None, ours: list[Fraction]) -> str:
    headline, direction = _headline(levels, ours)
    return headline if levels is None else f"{headline} {direction}"


def _sentence(problem: Problem, name: str, headline: str, direction: str) -> str:
    if headline == "-":
        return f"{name} breaks a rule, so there is nothing to compare with."
    scale = "each load over its own mean" if problem.has_scenarios else "in tokens"
    return (
        f"A layer is done when its slowest GPU is. With this plan the slowest GPU is {headline} "
        f"{direction} than with {name}: largest GPU loads, {scale}, summed over the layers, on the "
        "loads planned for. How much faster a step gets depends on what else it does."
    )


def _who(problem: Problem, rival: Before) -> str:
    if not rival.is_greedy:
        return "the plan in force"
    if rival.name == "deepseek":
        return EPLB_ENGINES
    return "DeepSeek's EPLB does not know these rules; this greedy keeps them"


def _at(
    batch: Batch,
    problem: Problem,
    name: str,
    levels: list[Fraction] | None,
    ours: list[Fraction],
) -> str:
    """The expected number is no forecast of the slowest: the mean of maxima is never below it."""

    def share(found: list[Fraction]) -> str:
        ratios = _ratios(problem, found)
        mean = batch.tokens * batch.experts_per_token
        return f"{float(mean * sum(ratios, Fraction(0)) / len(ratios)):,.1f}"

    before = "" if levels is None else f", {share(levels)} with {name}"
    return (
        f"At {batch.tokens:,} tokens a GPU and {batch.experts_per_token} experts a token, a GPU "
        f"gets {batch.tokens * batch.experts_per_token:,} assignments a layer and step on average. "
        f"The slowest is expected to get {share(ours)}{before}, if batches are drawn as recorded. "
        "Chance adds to both in every single batch, more in small ones."
    )
