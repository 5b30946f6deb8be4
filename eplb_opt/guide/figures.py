"""Writes the tables of figures in README.md and benchmarks.md from the stored data.

`python -m eplb_opt.guide.figures` in a checkout; nothing else of the texts is touched.
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from eplb_opt.bench import best_known, library
from eplb_opt.bench.instance_tables import InstanceRow, instance_rows
from eplb_opt.errors import FormatError
from eplb_opt.io.files import write_atomically
from eplb_opt.placement import scoring
from eplb_opt.report.tables import percent
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
#: Files with a table, and the instances in it; none for all of them.
DOCUMENTS: dict[Path, tuple[str, ...]] = {
    ROOT / "README.md": (
        "deepseek-v3-288-32",
        "deepseek-v3-288-32-h",
        "deepseek-v3-288-72",
        "deepseek-v3-288-144",
        "kimi-k2-480-96",
        "qwen3-235b-160-32",
        "mixtral-8x7b-16-8",
    ),
    ROOT / "eplb_opt" / "guide" / "benchmarks.md": (),
}
BEGIN = "<!-- figures: written by python -m eplb_opt.guide.figures -->"
END = "<!-- end of figures -->"
HEADINGS = (
    "instance",
    "layers x experts",
    "slots / GPUs",
    "greedy of the engines",
    "eplb-opt",
    "layers proven optimal",
)


def main() -> int:
    """Write every table anew; the exit code is 0."""
    for path, names in DOCUMENTS.items():
        text = path.read_text(encoding="utf-8")
        write_atomically(path, updated(text, names).encode())
    return 0


def updated(text: str, names: Sequence[str] = ()) -> str:
    """A text with its table of figures written anew.

    Parameters
    ----------
    text
        Markdown with the two marks, each on a line of its own.
    names
        Instances in the table; all of them where there are none.

    Raises
    ------
    FormatError
        When the text has no such marks.
    """
    between = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    block = f"{BEGIN}\n{table(names)}\n{END}"
    text, num_found = between.subn(lambda _: block, text)
    if num_found != 1:
        raise FormatError(f"the text has {num_found} places for figures; it must have one.")
    return text


def table(names: Sequence[str] = ()) -> str:
    """The best plans that are known of the stored instances beside the greedy, as Markdown.

    Parameters
    ----------
    names
        Instances; all of them where there are none.
    """
    chosen = names or library.names()
    rows = {row.name: row for row in instance_rows(best_known.load_best_known())}
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(_cells(rows[name]) for name in chosen)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
    bound = sum((layer.lower_bound.value for layer in known if layer.lower_bound), Fraction(0))
    return float(greedy / bound - 1)


if __name__ == "__main__":
    sys.exit(main())
