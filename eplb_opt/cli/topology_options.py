"""Options that ask for a topology: a price on what is served off home, and rules on it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.cli.links import links_of
from eplb_opt.io.recordings.token_files import read_by_layer
from eplb_opt.problem.topology import Topology

TopologyPrice = Annotated[
    float | None,
    typer.Option(
        "--topology-price",
        help="Plan for load plus this price on what is served off home, or on what links cost, in "
        "mean loads.",
    ),
]
Anchored = Annotated[
    bool,
    typer.Option("--anchored", help="Every expert keeps a replica on its home node."),
]
MaxOffHome = Annotated[
    float | None,
    typer.Option(
        "--max-off-home",
        help="No more is served off home, a share of all assignments; with --rank-costs no more "
        "does one cost on average.",
    ),
]
HomesFile = Annotated[
    Path | None,
    typer.Option("--homes", help="Home nodes of the experts, as `eplb-opt tokens` finds them."),
]


@dataclass(frozen=True)
class TopologyOptions:
    """The options as they were typed; each is None, or False, where it was not.

    Parameters
    ----------
    price, anchored, max_off_home
        As of `Topology`.
    homes, rank_costs, sources
        Files of these.

    Raises
    ------
    typer.BadParameter
        For a rule or a file without a price.
    """

    price: float | None = None
    anchored: bool = False
    max_off_home: float | None = None
    homes: Path | None = None
    rank_costs: Path | None = None
    sources: Path | None = None

    def __post_init__(self) -> None:
        given = [
            _option(each.name)
            for each in fields(self)
            if each.name != "price" and getattr(self, each.name) not in (None, False)
        ]
        if given and self.price is None:
            verb = "needs" if len(given) == 1 else "need"
            raise typer.BadParameter(
                f"{' and '.join(given)} {verb} --topology-price; 0 asks for the rules alone."
            )

    def topology(self, layer_ids: tuple[int, ...]) -> Topology | None:
        """What they ask for, for loads of layers with these names; None where no price is given.

        Raises
        ------
        FormatError
            When a file holds something else.
        ProblemError
            When a number cannot be used.
        """
        if self.price is None:
            return None
        homes = None if self.homes is None else read_by_layer(self.homes, "homes", layer_ids)
        return Topology(
            self.price,
            homes,
            self.anchored,
            self.max_off_home,
            **links_of(self.rank_costs, self.sources, layer_ids),
        )

    def words(self) -> list[str]:
        """The options for a command line that asks the same."""
        words = [_option("anchored")] if self.anchored else []
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None or isinstance(value, bool):
                continue
            text = f"./{value}" if isinstance(value, Path) and str(value)[0] == "-" else str(value)
            words += [_option(each.name), text]
        return words


def _option(name: str) -> str:
    return "--topology-price" if name == "price" else f"--{name.replace('_', '-')}"
