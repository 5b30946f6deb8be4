"""Options that say what links cost, and where tokens come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eplb_opt.io.links import read_rank_costs, read_sources

if TYPE_CHECKING:
    from collections.abc import Sequence

RankCosts = Annotated[
    Path | None,
    typer.Option(
        "--rank-costs",
        metavar="<file>",
        help="What the link from each GPU (or node) to each costs: .json, also SGLang's "
        "rank_cost_matrix, .npy, .npz or .csv. Default: 0 on a node, 1 across.",
    ),
]
Sources = Annotated[
    Path | None,
    typer.Option(
        "--sources",
        metavar="<file>",
        help="Tokens of each expert by the GPU (or node) that they come from, [layers, sources, "
        "experts]: .npz, .npy or .json. Default: from the expert's home node.",
    ),
]


def links_of(
    rank_costs: Path | None, sources: Path | None, layer_ids: Sequence[int] = ()
) -> dict[str, Any]:
    """The arguments of `Topology` that the options give.

    Raises
    ------
    FormatError
        When a file holds something else.
    """
    found: dict[str, Any] = {}
    if rank_costs is not None:
        found["rank_costs"] = read_rank_costs(rank_costs)
    if sources is not None:
        found["sources"] = read_sources(sources, layer_ids)
    return found
