"""`eplb-opt bench homes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.bench import token_homes
from eplb_opt.bench.routing import Routing
from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.report.tables import titled

if TYPE_CHECKING:
    from rich.table import Table


def homes_bench_command(
    nodes: Annotated[
        int, typer.Option("--nodes", min=2, max=8, help="Nodes of 32 GPUs; they divide 8.")
    ] = 4,
    price: Annotated[float, typer.Option("--price", help="Price of what is off home.")] = 0.3,
    layers: Annotated[int, typer.Option(min=1, help="Layers of the model.")] = 4,
    tokens: Annotated[int, typer.Option(min=64, help="Tokens that are recorded.")] = 20_000,
    topics: Annotated[
        list[float], typer.Option("--topic", help="How much topics prefer their experts.")
    ] = list(token_homes.TOPICS),  # noqa: B006
    time_limit: opt.TimeLimit = 2.0,
    effort: opt.Effort = None,
    as_json: opt.Json = False,
) -> None:
    """Homes of experts that fire together, against whole groups: nodes that other tokens visit.

    Tokens are made by chance, as DeepSeek-V3 routes them and without its limit of groups.

    Example: eplb-opt bench homes --nodes 4 --layers 2
    """
    with output.spinner("routing"):
        rows = list(
            token_homes.measure(
                Routing(num_layers=layers),
                topics=tuple(topics),
                num_nodes=nodes,
                price=price,
                num_tokens=tokens,
                time_limit=time_limit,
                effort=effort,
            )
        )
    if as_json:
        output.print_json(rows)
        return
    output.stdout().print(_table(rows))


def _table(rows: list[token_homes.HomesRow]) -> Table:
    table = titled("Nodes that tokens visit, by homes and under their plans")
    for heading in (
        *("groups a token", "topics", "homes of", "all at home", "largest at home"),
        *("load", "off home", "nodes"),
    ):
        table.add_column(heading, justify="left" if heading == "homes of" else "right")
    for row in rows:
        table.add_row(
            str(row.groups_per_token),
            f"{row.topic:g}",
            row.homes,
            f"{row.at_home:.3f}",
            f"{row.largest_home:.3f}",
            f"{row.load:.4f}",
            f"{100 * row.off_home:.1f} %",
            f"{row.nodes:.3f}",
        )
    return table
