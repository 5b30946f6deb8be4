"""The report as one HTML file that opens offline: figures, tables and what made them."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

from eplb_opt.errors import import_optional
from eplb_opt.io.files import write_atomically
from eplb_opt.report.figures import gpu_ratios
from eplb_opt.report.gap import gap_report
from eplb_opt.report.page_before import Before, plan_before
from eplb_opt.report.page_data import page_data
from eplb_opt.report.page_tables import (
    failures,
    layers_table,
    plans_table,
    prices_table,
    scenarios_table,
    starts_table,
)
from eplb_opt.report.scenarios import scenario_table
from eplb_opt.report.words import DISPATCH_WORDS, describe, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from eplb_opt.io.files import PathLike
    from eplb_opt.report.gap import GapReport
    from eplb_opt.result import Result

#: Packages whose version can change what a plan looks like.
PACKAGES = ("eplb-opt", "numpy", "ortools", "scipy")


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
    held_out: Mapping[str, Any] | None = None,
    layer_ids: Sequence[int] = (),
    command: str = "",
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
    held_out
        Name -> [num_layers, num_experts] loads that the plan has not seen.
    layer_ids
        Place of each layer among the model's hidden layers; by default 0, 1, 2, ...
    command
        The command that made the page, as it was typed.

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
    page = render(result, before, gap, held_out or {}, layer_ids, command)
    write_atomically(path, page.encode())


def render(
    result: Result,
    before: Before,
    gap: GapReport | None,
    held_out: Mapping[str, Any],
    layer_ids: Sequence[int],
    command: str,
) -> str:
    """The page as text; parameters as of `write_report`."""
    jinja2 = import_jinja()
    from markupsafe import Markup, escape

    problem = result.problem
    if gap is None:
        gap = gap_report(problem, result, plans={before.name: before.placed}, heuristics={})
    layer_ids = list(layer_ids) or list(range(problem.num_layers))
    after = gpu_ratios(problem, result.plan.physical_to_logical)
    style, script = _part("style.css"), _part("charts.js")
    plans = {before.name: before.placed, "eplb-opt": result.plan}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["breakable"] = lambda text: _breakable(escape(text))
    with_loads = problem.has_scenarios or held_out
    page = environment.from_string(_part("report.html")).render(
        title=describe(result),
        dispatch=DISPATCH_WORDS[problem.dispatch],
        facts=facts(result, before, after),
        before=before,
        plans=plans_table(gap, layer_ids),
        failures=failures(gap),
        prices=prices_table(gap),
        scenarios=scenarios_table(scenario_table(problem, plans, held_out)) if with_loads else None,
        starts=starts_table(result),
        layers=layers_table(gap, before.ratios, after, result.moves, layer_ids),
        messages=result.messages,
        command=command,
        versions=versions(),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(_json(page_data(result, gap, before, after, layer_ids))),
    )
    return str(page)


def facts(result: Result, before: Before, after: np.ndarray) -> list[tuple[str, str]]:
    """What a reader wants first: a few figures of the whole model, with what they are."""
    found = [
        (percent(result.model_gap), "above the proven bound, whole model"),
        (f"{result.status.count('optimal')} of {len(result.status)}", "layers proven optimal"),
        (_peak(before.ratios), f"largest GPU load over the mean, before ({before.name})"),
        (_peak(after), "the same, after"),
    ]
    if result.moves is not None:
        found.append((f"{int(result.moves.sum()):,}", "slots moved"))
    return found


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


def _peak(ratios: np.ndarray) -> str:
    """Mean over the layers of the largest load over mean."""
    return f"{ratios.max(axis=1).mean():.4f}"


def _part(name: str) -> str:
    return resources.files("eplb_opt.report").joinpath("page", name).read_text("utf-8")


def _hash(text: str) -> str:
    """What the page's own policy admits this text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
