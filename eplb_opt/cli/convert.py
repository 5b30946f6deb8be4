"""`eplb-opt convert`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from eplb_opt.cli import output
from eplb_opt.errors import FormatError
from eplb_opt.io import (
    LOAD_FORMATS,
    LOAD_WRITERS,
    PLAN_FORMATS,
    WRITERS,
    Trace,
    kind_of,
    open_trace,
    read_plan,
    read_stored_plan,
    read_total,
    write_loads,
    write_plan,
)
from eplb_opt.io.kept_slots import in_kept_slots
from eplb_opt.io.loads import checked_layer_ids
from eplb_opt.placement.plan import Plan

SOURCES = [*(row.name for row in LOAD_FORMATS), *(row.name for row in PLAN_FORMATS)]
Source = StrEnum("Source", list(dict.fromkeys(SOURCES)))  # type: ignore[misc]
Target = StrEnum("Target", list(dict.fromkeys([*WRITERS, *LOAD_WRITERS])))  # type: ignore[misc]
Kind = StrEnum("Kind", ["plan", "loads"])

#: What an extension asks for where nothing else is said; the engines' own are by name alone.
BY_EXTENSION = {
    "plan": {
        ".npz": "npz",
        ".npy": "npy",
        ".csv": "csv",
        ".json": "json",
        ".pt": "pt",
        ".parquet": "parquet",
        ".yaml": "trtllm",
        ".yml": "trtllm",
    },
    "loads": {
        ".npz": "npz",
        ".npy": "npy",
        ".csv": "csv",
        ".json": "json",
        ".pt": "pt",
        ".parquet": "parquet",
        ".jsonl": "vllm",
        ".safetensors": "vllm",
    },
}
#: Files of loads with a row for every hidden layer of the model.
HIDDEN_ROWS = ("sglang", "lmdeploy")
LAYERS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
KNOWN = {"plan": list(WRITERS), "loads": list(LOAD_WRITERS)}


@dataclass(frozen=True)
class Facts:
    """What the command line tells where the file does not."""

    gpus: int | None
    experts: int | None
    layer_ids: tuple[int, ...] | None
    num_hidden_layers: int | None
    model: str | None = None


def convert_command(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A plan or loads.", show_default=False)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)
    ],
    source_format: Annotated[
        Source | None,
        typer.Option(
            "--from",
            metavar="<name>",
            help=f"Format of IN, where its content does not tell: {', '.join(Source)}.",
        ),
    ] = None,
    target_format: Annotated[
        Target | None,
        typer.Option(
            "--to",
            "--engine",
            metavar="<name>",
            help=f"Format of OUT; by default from its name: {', '.join(Target)}.",
        ),
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What IN is, where its content does not tell.")
    ] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", help="GPUs of a plan.")] = None,
    experts: Annotated[
        int | None, typer.Option("--experts", help="Experts a layer; default: up to the last id.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option("--layers", help="Hidden layers with experts, as 3-60 or 1,3,5."),
    ] = None,
    num_hidden_layers: Annotated[
        int | None, typer.Option("--num-hidden-layers", help="Of the model, dense ones included.")
    ] = None,
    current: Annotated[
        Path | None,
        typer.Option("--current", help="The plan in force: vllm-ascend keeps survivors' slots."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="The model wanted of IN, where it holds several; its name in OUT, where that "
            "names its models.",
        ),
    ] = None,
    total: Annotated[
        bool, typer.Option("--total", help="Of loads, the sum over all snapshots alone.")
    ] = False,
) -> None:
    """Turn a plan or loads from one format into another; what the engine refuses is not written.

    Example: eplb-opt convert plan.npz expert_map.json --engine vllm-ascend --gpus 32
    """
    name_in = None if source_format is None else str(source_format)
    name_out = None if target_format is None else str(target_format)
    found = str(kind) if kind is not None else _kind(source, name_in, name_out)
    name_out = name_out or _by_name(target, found)
    if name_out not in KNOWN[found]:
        raise FormatError(f"{name_out} is no format of {found}; known: {', '.join(KNOWN[found])}.")
    facts = Facts(gpus, experts, _layers(layers), num_hidden_layers, model)
    if found == "plan":
        _convert_plan(source, name_in, target, name_out, facts, current)
    else:
        _convert_loads(source, name_in, target, name_out, facts, total)


def _convert_plan(
    source: Path, name_in: str | None, target: Path, engine: str, facts: Facts, current: Path | None
) -> None:
    stored = read_stored_plan(source, name_in, model=facts.model)
    placed, layer_ids = stored.physical_to_logical, stored.layer_ids
    if facts.layer_ids is not None:
        placed, layer_ids = stored.rows(facts.layer_ids), facts.layer_ids
    num_gpus = facts.gpus or stored.num_gpus
    num_experts = facts.experts or stored.num_experts or 0
    if WRITERS[engine].needs_gpus and num_gpus is None:
        raise FormatError(f"{source}: it does not tell the number of GPUs; give --gpus.")
    if placed.max() >= max(placed.shape[1], num_experts):
        raise FormatError(
            f"{source}: ids up to {placed.max()} in {placed.shape[1]} slots; give --experts."
        )
    in_force = None if current is None else read_plan(current, layer_ids=layer_ids)
    plan = Plan(placed, num_gpus or 1, num_experts)
    write_plan(
        target,
        in_kept_slots(plan, engine, in_force),
        engine=engine,
        layer_ids=layer_ids,
        num_hidden_layers=facts.num_hidden_layers or stored.num_hidden_layers,
        current=in_force,
        model=facts.model or "",
    )


def _convert_loads(
    source: Path, name_in: str | None, target: Path, name_out: str, facts: Facts, total: bool
) -> None:
    with output.reading_bar(f"reading {source.name}") as progress:
        if total:
            loads = read_total(source, name_in, progress, model=facts.model)
            trace = Trace.of(loads.load, loads.layer_ids, loads.num_hidden_layers)
        else:
            trace = open_trace(source, name_in, progress, model=facts.model)
    count = facts.num_hidden_layers or (trace.num_hidden_layers if facts.layer_ids is None else 0)
    layer_ids = checked_layer_ids(facts.layer_ids or trace.layer_ids, trace.shape[1])
    trace = replace(trace, layer_ids=layer_ids, num_hidden_layers=count)
    write_loads(target, trace, format=name_out, model=facts.model or "")
    if name_out in HIDDEN_ROWS:
        _note_rows(trace, facts)


def _note_rows(trace: Trace, facts: Facts) -> None:
    """Say how many rows were written where nobody told of dense layers."""
    told = facts.layer_ids is not None or facts.num_hidden_layers is not None
    if not told and trace.num_hidden_layers == trace.shape[1]:
        output.warn(
            (
                f"{trace.shape[1]} rows were written, one for every layer of the model; if it has "
                "dense layers too, say which have experts: --layers 3-60 --num-hidden-layers 61.",
            )
        )


def _kind(source: Path, name_in: str | None, name_out: str | None) -> str:
    """Whether the file is a plan or loads: from its content, else from what OUT can be."""
    found = kind_of(source, name_in)
    able = [kind for kind, table in KNOWN.items() if name_out in table]
    if found is None and len(able) == 1:
        found = able[0]
    if found is None:
        raise FormatError(
            f"{source}: this may be a plan or loads; say --kind plan or --kind loads."
        )
    return found


def _by_name(target: Path, kind: str) -> str:
    name = BY_EXTENSION[kind].get(target.suffix.lower())
    if name is None:
        raise FormatError(f"{target}: its name tells no format; give --to.")
    return name


def _layers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    ids: list[int] = []
    for part in text.split(","):
        found = LAYERS.fullmatch(part)
        if found is None:
            raise FormatError(f"--layers {text}: give them as 3-60 or 1,3,5.")
        ids += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(ids)
