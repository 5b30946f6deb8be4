"""Measured seconds of an expert, from a table of tokens and seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.errors import FormatError, ProblemError
from eplb_opt.io.containers.csv_table import read_csv
from eplb_opt.io.files import naming
from eplb_opt.problem.step_cost import StepCost

if TYPE_CHECKING:
    from pathlib import Path

#: The two columns, in the order in which a row has them.
COLUMNS = ("tokens", "seconds")


def read_step_cost(path: Path) -> StepCost:
    """A measured `StepCost` from a file.

    Parameters
    ----------
    path
        CSV or TSV: rows of tokens and seconds, rising, under a header "tokens,seconds" or none.

    Returns
    -------
    StepCost
        Its name is that of the file; experts_per_token is still to be said.

    Raises
    ------
    FormatError
        When the file holds no such table.
    """
    with naming(path):
        rows = read_csv(path)
        if tuple(cell.lower() for cell in rows[0]) == COLUMNS:
            rows = rows[1:]
        try:
            table = [(float(tokens), float(seconds)) for tokens, seconds in rows]
            return StepCost(table=table, name=str(path))
        except (ValueError, ProblemError) as error:
            raise FormatError(
                f"this is no table of tokens and seconds, two numbers a row: {error}"
            ) from error
