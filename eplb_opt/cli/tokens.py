"""`eplb-opt tokens`, and recordings of single tokens for other commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from eplb_opt.cli import options as opt
from eplb_opt.cli import output
from eplb_opt.cli.outputs import Saving
from eplb_opt.errors import FormatError
from eplb_opt.io import open_tokens, read_stored_plan, write_loads, write_tokens
from eplb_opt.io.recordings.token_files import write_by_layer
from eplb_opt.report.tables import titled
from eplb_opt.workloads.tokens.counts import token_sources
from eplb_opt.workloads.tokens.homes import homes_visited, token_homes
from eplb_opt.workloads.tokens.traffic import topology_traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.cli.intake import Intake
    from eplb_opt.io import TokenRecording
    from eplb_opt.planner.topologies import TopologyReport
    from eplb_opt.workloads.tokens.traffic import TopologyTraffic


def tokens_for(path: Path, intake: Intake) -> TokenRecording:
    """A recording of the layers whose loads are planned for."""
    recorded = intake.recorded[0]
    map_file = intake.asked.files.map_file
    stored = None if map_file is None else read_stored_plan(map_file)
    tokens = open_tokens(path, stored=stored)
    # Bare loads do not name their layers: as many as were recorded are those.
    if not recorded.names_layers and recorded.num_layers == tokens.num_layers:
        found = tokens
    else:
        found = tokens.of_layers(recorded.layer_ids)
    if found.num_experts != recorded.num_experts:
        raise FormatError(
            f"{path}: tokens go to {found.num_experts} experts, and the loads are of "
            f"{recorded.num_experts}. If its ids are those of slots, give the map as --map."
        )
    return found


def measured(report: TopologyReport, tokens: TokenRecording) -> TopologyTraffic:
    """What the tokens do under each plan; what is odd about them is said."""
    with output.spinner("walking through the tokens"):
        traffic = topology_traffic(report, tokens)
    output.warn(tuple(f"{tokens.source}: {note}" for note in tokens.notes))
    return traffic


def tokens_command(
    recording: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING",
            help="SGLang's per_token dump or the folder of all ranks', TensorRT-LLM's folder of "
            "statistics, .npz or .npy.",
            show_default=False,
        ),
    ],
    nodes: Annotated[int, typer.Option("--nodes", help="Nodes that homes are chosen for.")] = 1,
    groups: opt.Groups = 1,
    max_load: Annotated[
        float, typer.Option("--max-load", help="Largest load at home on a node, over the mean.")
    ] = 1.02,
    map_file: opt.MapFile = None,
    tokens_output: Annotated[
        Path | None, typer.Option("--output", help="Where to write the tokens as one .npz.")
    ] = None,
    loads_output: Annotated[
        Path | None, typer.Option("--loads", help="Where to write their loads, .npz.")
    ] = None,
    sources_output: Annotated[
        Path | None,
        typer.Option(
            "--sources", help="Where to write loads by the rank that tokens start on, .npz."
        ),
    ] = None,
    homes_output: Annotated[
        Path | None,
        typer.Option("--write-homes", help="Where to write homes of what fires together, .npz."),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Single tokens: their loads, where they start, and homes for experts that fire together.

    Counts of assignments do not say which experts a token needs together, nor where it starts.
    These recordings do.

    Example: eplb-opt tokens dumps --nodes 4 --groups 8 --write-homes homes.npz --sources from.npz
    """
    stored = None if map_file is None else read_stored_plan(map_file)
    if homes_output is not None and nodes < 2:
        raise FormatError("--write-homes needs --nodes above 1: on one node all is at home.")
    with output.spinner("walking through the tokens"):
        found = _look(recording, stored, nodes, groups, max_load, homes_output is not None)
        tokens = found.tokens
        sources = None if sources_output is None else token_sources(tokens)
    saving = Saving()
    layers = (tokens.layer_ids, tokens.num_hidden_layers)
    saving.save(tokens_output, lambda to: write_tokens(to, tokens))
    saving.save(loads_output, lambda to: write_loads(to, found.loads))
    saving.save(sources_output, _writer("sources", sources, *layers))
    saving.save(homes_output, _writer("homes", found.homes, *layers))
    try:
        _print(found, as_json=as_json)
    finally:
        saving.finish()


@dataclass(frozen=True, eq=False)
class _Found:
    """What a recording has shown; figures by their names."""

    tokens: TokenRecording
    loads: Any
    homes: np.ndarray | None
    figures: dict[str, Any]


def _look(
    path: Path, stored: Any, nodes: int, groups: int, max_load: float, with_homes: bool
) -> _Found:
    tokens = open_tokens(path, stored=stored)
    loads = tokens.total()
    output.warn(tuple(f"{path}: {note}" for note in tokens.notes))
    first = int(loads.total[0].sum())
    figures: dict[str, Any] = {
        "format": tokens.format,
        "num_layers": tokens.num_layers,
        "num_experts": tokens.num_experts,
        "num_ranks": len(loads.origin.ranks),
        "assignments_of_a_layer": first,
    }
    homes = None
    if with_homes:
        homes = token_homes(tokens, nodes, num_groups=groups, max_load=max_load)
    tables = _tables(tokens.num_layers, tokens.num_experts, nodes, groups, homes)
    if tables:
        visited = homes_visited(tokens, np.stack(list(tables.values())))
        figures |= dict(zip(tables, visited.mean(axis=1).tolist(), strict=True))
    return _Found(tokens, loads, homes, figures)


def _tables(
    num_layers: int, num_experts: int, nodes: int, groups: int, homes: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Parts of the experts whose number a token meets is told, by the figure's name."""
    found = {}
    if 1 < groups <= num_experts:
        size = -(-num_experts // groups)
        found["groups_of_a_token"] = np.arange(num_experts) // size
        if 1 < nodes <= groups and groups % nodes == 0:
            found["nodes_of_a_token_with_groups_at_home"] = found["groups_of_a_token"] // (
                groups // nodes
            )
    whole = {name: np.tile(row, (num_layers, 1)) for name, row in found.items()}
    return whole if homes is None else whole | {"nodes_of_a_token_with_these_homes": homes}


def _writer(
    name: str, values: np.ndarray | None, layer_ids: tuple[int, ...], num_hidden_layers: int
) -> Callable[[Path], None]:
    def write(to: Path) -> None:
        if values is not None:
            write_by_layer(to, name, values, layer_ids, num_hidden_layers)

    return write


def _print(found: _Found, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found.figures | {"layer_ids": list(found.tokens.layer_ids)})
        return
    table = titled("Recorded tokens")
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in found.figures.items():
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    output.stdout().print(table)
