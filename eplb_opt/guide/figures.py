"""Writes the tables of figures in README.md and benchmarks.md from the stored data.

`python -m eplb_opt.guide.figures` in a checkout; nothing else of the texts is touched.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.bench import best_known, library
from eplb_opt.bench.instance_rows import KINDS
from eplb_opt.bench.instance_tables import InstanceRow, instance_row
from eplb_opt.bench.ledger import SUITES, latest, read_ledger
from eplb_opt.bench.ledger_tables import summary
from eplb_opt.errors import FormatError
from eplb_opt.io.files import write_atomically
from eplb_opt.placement import scoring
from eplb_opt.report.tables import percent
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
#: Texts with tables of figures.
DOCUMENTS = (ROOT / "README.md", ROOT / "eplb_opt" / "guide" / "benchmarks.md")
#: The measurements.
LEDGER = ROOT / "instances" / "ledger.jsonl"
#: What the README shows of the instances.
IN_SHORT = (
    "deepseek-v3-288-32",
    "deepseek-v3-288-32-h",
    "deepseek-v3-288-72",
    "deepseek-v3-288-144",
    "kimi-k2-480-96",
    "qwen3-235b-160-32",
    "mixtral-8x7b-16-8",
)
#: What each kind of instance is, in a table's words.
KIND_WORDS = {
    "worked": "worked examples",
    "whole": "all layers of a model",
    "slots": "1 to 33 slots a GPU, flat and with groups",
    "skews": "mild to extreme skews",
    "priced": "a price on what is served off home",
    "workloads": "several workloads at once",
    "optimal": "optimal dispatch",
    "senders": "dispatch to the nearest copy, or by rank modulo",
    "costs": "seconds with a roofline instead of loads",
    "uneven": "GPUs lost or uneven, experts tied to GPUs",
    "moves": "few moves from a plan in force",
    "degenerate": "what planners stumble over",
}
BEGIN = "<!-- figures: {}; written by python -m eplb_opt.guide.figures -->"
END = "<!-- end of figures -->"
BETWEEN = re.compile(
    f"{re.escape(BEGIN).replace(re.escape('{}'), '([a-z-]+)')}\n.*?{re.escape(END)}", re.DOTALL
)


def main() -> int:
    """Write every table anew; the exit code is 0."""
    for path in DOCUMENTS:
        write_atomically(path, updated(path.read_text(encoding="utf-8")).encode())
    return 0


def updated(text: str) -> str:
    """A text with its tables of figures written anew.

    Parameters
    ----------
    text
        Markdown with pairs of marks, each on a line of its own; the first names a table.

    Raises
    ------
    FormatError
        When the text has no such marks, or one names no table.
    """

    def written(found: re.Match[str]) -> str:
        if found[1] not in TABLES:
            raise FormatError(f"table {found[1]!r} is unknown; known: {', '.join(TABLES)}.")
        return f"{BEGIN.format(found[1])}\n{TABLES[found[1]]()}\n{END}"

    text, num_found = BETWEEN.subn(written, text)
    if not num_found:
        raise FormatError("the text has no places for figures.")
    return text


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown.

    Parameters
    ----------
    headings, rows
        Texts of the cells.
    """
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def instances_table(names: Sequence[str]) -> str:
    """The best plans that are known of stored instances beside the greedy, as Markdown.

    Parameters
    ----------
    names
        Instances.
    """
    headings = (
        "instance",
        "layers x experts",
        "slots / GPUs",
        "greedy of the engines",
        "eplb-opt",
        "layers proven optimal",
    )
    known = best_known.load_best_known()
    rows = [instance_row(library.get(name), known[name]) for name in names]
    return markdown(headings, [_cells(row) for row in rows])


def kinds_table() -> str:
    """How near plans and bounds are on each kind of instance, as Markdown."""
    known = best_known.load_best_known()
    rows = []
    for kind, instances in KINDS.items():
        found = [
            instance_row(library.get(instance.name), known[instance.name]) for instance in instances
        ]
        layers, optimal = (
            sum(getattr(row, name) for row in found) for name in ("layers", "layers_optimal")
        )
        gaps = [row.gap for row in found]
        worst = found[int(np.argmax(gaps))]
        rows.append(
            (
                KIND_WORDS[kind],
                str(len(found)),
                f"{optimal} of {layers}",
                percent(float(np.median(gaps))),
                f"{percent(worst.gap)} ({worst.name})" if worst.gap else "0",
            )
        )
    headings = ("instances", "number", "layers proven optimal", "median gap", "largest gap")
    return markdown(headings, rows)


def ledger_table(suite: str) -> str:
    """What the latest run of a suite has measured, as Markdown, with its day and machine.

    Parameters
    ----------
    suite
        A name of `ledger.SUITES`.
    """
    rows = latest(read_ledger(LEDGER), suite) if LEDGER.exists() else []
    if not rows:
        return "Nothing is measured yet."
    headings, *lines = summary(rows)
    setting = rows[0].setting
    load = "" if setting.load_average is None else f", load average {setting.load_average:g}"
    where = f"{setting.date[:10]}, eplb-opt {setting.version.partition('+')[0]}, {setting.machine}"
    return f"{where}{load}:\n\n{markdown(headings, lines)}"


def _cells(row: InstanceRow) -> tuple[str, ...]:
    nodes = f", groups on {row.nodes} nodes" if row.name.endswith("-h") else ""
    return (
        row.name,
        f"{row.layers} x {row.experts}",
        f"{row.slots} / {row.gpus}{nodes}",
        percent(greedy_gap(row.name)),
        percent(row.gap),
        f"{row.layers_optimal} of {row.layers}",
    )


def greedy_gap(name: str) -> float:
    """How far the greedy that engines ship is above the best bound known, over all layers.

    Parameters
    ----------
    name
        A stored instance.
    """
    problem = library.get(name).problem()
    greedy = sum(scoring.objectives(problem, first_plan(problem)), Fraction(0))
    known = best_known.load_best_known()[name]
    bound = sum((layer.lower_bound.value for layer in known), Fraction(0))
    return float(greedy / bound - 1)


#: The tables by the names that the marks give them.
TABLES: dict[str, Callable[[], str]] = {
    "instances-in-short": lambda: instances_table(IN_SHORT),
    "instances": lambda: instances_table(
        [instance.name for kind in ("worked", "whole") for instance in KINDS[kind]]
    ),
    "kinds": kinds_table,
    **{suite: partial(ledger_table, suite) for suite in SUITES},
}


if __name__ == "__main__":
    sys.exit(main())
