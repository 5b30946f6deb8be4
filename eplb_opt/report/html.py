"""The report as one HTML file that opens offline: figures, tables and what made them."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import PlanError, import_optional
from eplb_opt.io.files import write_atomically
from eplb_opt.planner.evaluate import evaluate
from eplb_opt.report.figures import heaviest_ratios
from eplb_opt.report.gap import gap_report
from eplb_opt.report.gap_columns import gap_text
from eplb_opt.report.page_before import Before, plan_before
from eplb_opt.report.page_data import page_data
from eplb_opt.report.page_gain import OTHERS, make_gain
from eplb_opt.report.page_tables import (
    failures,
    layers_table,
    plans_table,
    prices_table,
    scenarios_table,
    starts_table,
    steps_table,
    topology_page_table,
)
from eplb_opt.report.scenarios import scenario_table
from eplb_opt.report.words import DISPATCH_WORDS, describe, unbroken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb_opt.io.files import PathLike
    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.problem.problem import Problem
    from eplb_opt.report.deployment import Deployment
    from eplb_opt.report.gap import GapReport
    from eplb_opt.report.page_gain import Gain
    from eplb_opt.report.steps import Batch, BatchNoise, StepReport
    from eplb_opt.result import Result

#: Packages whose version can change what a plan looks like.
PACKAGES = ("eplb-opt", "numpy", "ortools", "scipy")
#: Hexadecimal digits of a fingerprint on the page: enough to tell files apart, not to trust them.
SHORT = 16


def import_jinja() -> Any:
    """The package of the templates, or which extra brings it.

    Raises
    ------
    MissingDependency
        When it is not installed.
    """
    return import_optional("jinja2", "report")


def write_report(
    path: PathLike,
    result: Result,
    *,
    current: Any = None,
    current_name: str = "current plan",
    gap: GapReport | None = None,
    topology: TopologyReport | None = None,
    held_out: Mapping[str, Any] | None = None,
    layer_ids: Sequence[int] = (),
    command: str = "",
    inputs: Mapping[str, str] | None = None,
    deployment: Deployment | None = None,
    batches: Sequence[Batch] = (),
    steps: StepReport | None = None,
    made: datetime | None = None,
) -> None:
    """Write a result as one HTML file that loads nothing from anywhere.

    Parameters
    ----------
    path
        The file to write; an old one stays until the new one is whole.
    result
        The result, from `plan`.
    current, current_name
        The plan in force, a Plan or [num_layers, num_slots] ids, and what to call it; by default
        the greedy that engines ship.
    gap
        A gap report from `gap_report`, for more plans and the prices of constraints; by default
        ours and the plan before.
    topology
        Plans with more and less kept at home, from `topologies`; no table of them by default.
    held_out
        Name -> [num_layers, num_experts] loads that the plan has not seen.
    layer_ids
        Place of each layer among the model's hidden layers; by default 0, 1, 2, ...
    command
        The command that made the page, as it was typed.
    inputs
        Name -> SHA-256 of the files that were read, from `io.fingerprint`.
    deployment
        The file that the plan was written to; None where the page is not about one plan.
    batches
        Sizes of batches, for what the gain means at them.
    steps
        What steps see at these sizes, from `step_report`.
    made
        The moment that the page tells; by default now.

    Raises
    ------
    MissingDependency
        Without jinja2.
    ProblemError
        When a held-out load has another shape.
    FormatError
        When the system refuses to write.
    """
    before = plan_before(result.problem, current, current_name)
    origin = {
        "command": command,
        "inputs": [(name, digest[:SHORT]) for name, digest in (inputs or {}).items()],
        "made": f"{made or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "deployment": deployment,
        "topology": topology,
    }
    page = render(result, before, gap, held_out or {}, layer_ids, origin, batches, steps)
    write_atomically(path, page.encode())


def render(
    result: Result,
    before: Before,
    gap: GapReport | None,
    held_out: Mapping[str, Any],
    layer_ids: Sequence[int],
    origin: Mapping[str, Any],
    batches: Sequence[Batch] = (),
    seen: StepReport | None = None,
) -> str:
    """The page as text; see `write_report`. `origin` holds what the page says of itself."""
    jinja2 = import_jinja()
    from markupsafe import Markup, escape

    problem = result.problem
    if gap is None:
        gap = gap_report(problem, result, plans={before.name: before.placed}, heuristics={})
    if seen is not None:
        gap = replace(gap, noise=seen.noise)
    layer_ids = list(layer_ids) or list(range(problem.num_layers))
    after = heaviest_ratios(problem, result.plan.physical_to_logical)
    peaks = _peaks(problem, before), 1 / result.balancedness
    gain = make_gain(problem, result.plan, before, batches)
    deployment = origin["deployment"]
    style, script = _part("style.css"), _part("charts.js")
    plans = {before.name: before.placed, "eplb-opt": result.plan}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize
    )
    environment.filters["breakable"] = lambda text: _breakable(escape(text))
    environment.filters["typed"] = lambda text: _typed(escape, Markup, text)
    with_loads = problem.has_scenarios or held_out
    page = environment.from_string(_part("report.html")).render(
        title=describe(result),
        dispatch=DISPATCH_WORDS[problem.dispatch],
        facts=facts(result, before, peaks, gain, gap.noise),
        scale=scale(problem),
        gain=gain,
        others=OTHERS,
        steps=deployment.steps(problem) if deployment and deployment.path else (),
        before=before,
        before_range=_range(before.ratios),
        after_range=_range(after),
        seen=seen,
        seen_table=None if seen is None else steps_table(seen),
        plans=plans_table(gap, layer_ids),
        failures=failures(gap),
        prices=prices_table(gap),
        scenarios=scenarios_table(scenario_table(problem, plans, held_out)) if with_loads else None,
        topology=topology_page_table(origin["topology"]),
        starts=starts_table(result, gap.noise),
        layers=layers_table(
            gap, *peaks, result.moves, layer_ids, with_scenarios=problem.has_scenarios
        ),
        messages=result.messages,
        **{name: value for name, value in origin.items() if name != "topology"},
        versions=versions(),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(_json(page_data(result, gap, before, after, layer_ids))),
    )
    return str(page)


def facts(
    result: Result,
    before: Before,
    peaks: tuple[np.ndarray, np.ndarray],
    gain: Gain,
    noise: BatchNoise | None = None,
) -> list[tuple[str, str]]:
    """What a reader wants first: a few figures of the whole model, with what they are.

    Parameters
    ----------
    result
        Ours.
    before
        The plan that ours takes the place of.
    peaks
        Largest GPU load over mean, float64 [num_layers], of the plan before and of ours.
    gain
        What ours wins.
    noise
        What a gap must be above to be felt in a step.
    """
    found = [
        (gain.headline, gain.words),
        (gap_text(result.model_gap, noise), "above the proven bound, whole model"),
        (f"{result.status.count('optimal')} of {len(result.status)}", "layers proven optimal"),
        (_mean_peak(peaks[0]), f"largest GPU load over the mean, before ({before.name})"),
        (_mean_peak(peaks[1]), "the same, after"),
    ]
    if result.moves is not None:
        found.append((f"{int(result.moves.sum()):,}", "slots moved"))
    return found


def scale(problem: Problem) -> str:
    """What the figures of a page on several loads have in common; "" for one load."""
    if not problem.has_scenarios:
        return ""
    which = "the mean over" if problem.objective == "mean" else "the worst of"
    return (
        f"One scale: {problem.num_scenarios} loads are planned for, and each is divided by its own "
        "mean GPU load. So every load on this page is a GPU load over the mean, where 1 is "
        f"perfect; a layer's figure is {which} the loads. Balancedness is one over it."
    )


def versions() -> list[tuple[str, str]]:
    """Name and version of what had a part in it; "absent" for what is not installed."""
    found = [("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "absent"))
    return found


def _breakable(text: Any) -> Any:
    """Where a long name may go on in the next line; takes and returns escaped text."""
    for sign in "/_":
        text = text.replace(sign, sign + type(text)("<wbr>"))
    return text


def _typed(escape: Any, markup: Any, text: str) -> Any:
    """What can be copied from the page as it was typed; lines break between its words alone."""
    lines = (
        " ".join(f"<span>{escape(word)}</span>" if word else "" for word in line.split(" "))
        for line in text.split("\n")
    )
    return markup("\n".join(lines))


def _finalize(value: Any) -> Any:
    """What the template is about to print, with no line that begins with a unit."""
    return unbroken(value) if type(value) is str else value


def _peaks(problem: Problem, before: Before) -> np.ndarray:
    """Largest GPU load over mean of a plan that may break a rule, float64 [num_layers]."""
    try:
        return np.asarray(1 / evaluate(problem, before.placed).balancedness)
    except PlanError:
        if problem.has_scenarios:  # several peaks make one only where all experts are there
            return np.full(problem.num_layers, np.nan)
        return np.asarray(before.ratios.max(axis=1))


def _mean_peak(peaks: np.ndarray) -> str:
    """Mean over the layers of the largest load over mean."""
    return "-" if np.isnan(peaks).any() else f"{peaks.mean():.4f}"


def _range(ratios: np.ndarray) -> str:
    """The lightest and the heaviest GPU of any layer, as its loads over the mean."""
    return f"{ratios.min():.7g} to {ratios.max():.7g} of the mean"


def _part(name: str) -> str:
    return resources.files("eplb_opt.report").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    """What the page's own policy admits this text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
