"""Arguments that several commands share, and the problem they describe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eplb_opt.cli import output
from eplb_opt.cli.gpu_options import RuleTexts
from eplb_opt.cli.topology_options import TopologyOptions
from eplb_opt.exact import MODELS
from eplb_opt.io import LOAD_FORMATS, PLAN_FORMATS, VALIDATORS, WRITERS, read_loads, read_total
from eplb_opt.placement.move_cost import MoveCost, read_move_cost
from eplb_opt.problem.machine import Machine
from eplb_opt.problem.problem import COLOCATIONS, DISPATCHES
from eplb_opt.workloads.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb_opt.io import Loads

# Choices come from the tables, so that a new entry there is a new choice here.
Colocation = StrEnum("Colocation", list(COLOCATIONS))  # type: ignore[misc]
DispatchName = StrEnum("DispatchName", list(DISPATCHES))  # type: ignore[misc]
ModelName = StrEnum("ModelName", list(MODELS))  # type: ignore[misc]
Phase = StrEnum("Phase", list(PHASES))  # type: ignore[misc]
Engine = StrEnum("Engine", list(WRITERS))  # type: ignore[misc]
Runtime = StrEnum("Runtime", list(VALIDATORS))  # type: ignore[misc]
PlanFormat = StrEnum("PlanFormat", list(dict.fromkeys(row.name for row in PLAN_FORMATS)))  # type: ignore[misc]
LoadFormat = StrEnum("LoadFormat", list(dict.fromkeys(row.name for row in LOAD_FORMATS)))  # type: ignore[misc]

LOADS_HELP = (
    "Recorded loads [layers, experts] or [snapshots, layers, experts]: .npy .npz .csv .json .pt "
    ".parquet, dumps of SGLang and lmdeploy, TensorRT-LLM statistics, vLLM's .jsonl and "
    ".safetensors; or the folder that holds the files of all ranks."
)
LoadsFile = Annotated[Path, typer.Argument(metavar="LOADS", help=LOADS_HELP, show_default=False)]
LoadsFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="LOADS",
        help=f"{LOADS_HELP} With several files one plan serves them all.",
        show_default=False,
    ),
]
Gpus = Annotated[int, typer.Option("--gpus", help="Number of GPUs.", show_default=False)]
Slots = Annotated[
    int,
    typer.Option("--slots", help="Physical experts a layer, over all GPUs.", show_default=False),
]
Nodes = Annotated[int, typer.Option("--nodes", help="Nodes; GPUs are numbered node by node.")]
Groups = Annotated[
    int, typer.Option("--groups", help="Expert groups; with nodes, a group stays on one node.")
]
ColocationOption = Annotated[
    Colocation, typer.Option("--colocation", help="Two replicas of an expert on one GPU.")
]
DispatchOption = Annotated[
    DispatchName,
    typer.Option(
        "--dispatch",
        help="How tokens are split over an expert's replicas: uniform, equal parts; optimal, so "
        "that the largest GPU load is least (SGLang's lp); nearest, each GPU to its nearest "
        "replica (SGLang with an all-to-all backend); rank_modulo, the GPUs take the replicas in "
        "turn (vllm-ascend).",
    ),
]
Dispatches = Annotated[
    list[DispatchName],
    typer.Option(
        "--dispatch",
        help="How tokens are split over an expert's replicas; give several to compare.",
    ),
]
UNIFORM = DispatchName("uniform")
Noise = Annotated[
    float | None,
    typer.Option(
        "--noise",
        help="Under optimal dispatch: hold for loads that differ by such a factor (0.3 is about "
        "30 %); 0 plans for the known loads alone. Default: chosen.",
    ),
]
Scenarios = Annotated[
    bool,
    typer.Option("--scenarios", help="Serve every snapshot of LOADS, instead of their sum."),
]
PhaseOption = Annotated[
    Phase | None,
    typer.Option(
        "--phase",
        help="LOADS are single steps of a server that does both: serve those of a phase, or both.",
    ),
]
Weights = Annotated[
    list[float] | None,
    typer.Option(
        "--weight",
        min=0,
        help="Share of time of each of LOADS, or of prefill and decode, in this order.",
    ),
]
FormatOption = Annotated[
    LoadFormat | None,
    typer.Option("--format", help="Format of LOADS, where its content does not tell."),
]
MapFile = Annotated[
    Path | None,
    typer.Option(
        "--map",
        help="LOADS count physical slots: the map in force then, by which they become experts'.",
    ),
]
Experts = Annotated[
    int | None,
    typer.Option(
        "--experts", help="Experts of a layer, where LOADS may leave out those without tokens."
    ),
]
Current = Annotated[
    Path | None,
    typer.Option(
        "--current", help="The plan in force: it must fit LOADS and options; moves are counted."
    ),
]
CurrentNeeded = Annotated[
    Path, typer.Option("--current", help="The plan in force.", show_default=False)
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", help="Seconds for planning; 0 asks for heuristics alone.")
]
Effort = Annotated[
    int | None,
    typer.Option("--effort", help="Counted work instead of time: the same plan everywhere."),
]
TargetGap = Annotated[
    float, typer.Option("--target-gap", help="Leave a layer alone at this gap (0.01 is 1 %).")
]
Model = Annotated[ModelName, typer.Option("--model", help="Exact model for the hardest layers.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Layers worked on at a time; default: all cores.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="<address>",
        help="Ray cluster whose workers plan the layers: auto, or the address of its head.",
    ),
]
JobFolder = Annotated[
    Path | None,
    typer.Option("--job", help="Folder that keeps what is found while the work goes on."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what the folder of --job has.")]
MoveCostOption = Annotated[
    str | None,
    typer.Option(
        "--move-cost",
        metavar="<numbers>",
        help="Move only what saves time: expert_bytes=..,bandwidth=..,step_seconds=..,"
        "moe_share=..,steps_until_next=..",
    ),
]
CrossNodePrice = Annotated[
    int,
    typer.Option(
        "--cross-node-price",
        help="What a move counts to a node on which its expert did not stand; within a node it is "
        "1.",
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        metavar="<name>",
        help=f"In whose format to write the plan: {', '.join(Engine)}.",
    ),
]
EngineFiles = Annotated[
    Path | None,
    typer.Option(
        "--engine-files",
        help="Folder with the unzipped wheels of vLLM or SGLang: runs their Python code, too.",
    ),
]
OutputFile = Annotated[Path | None, typer.Option("--output", help="Where to write the plan.")]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Where to draw it: .png, .svg, .pdf.")
]
CertificateFile = Annotated[
    Path | None, typer.Option("--certificate", help="Where to write the proofs of the bounds.")
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="A log of the solving on stderr; twice for every turn of every solver.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def machine(
    slots: int, gpus: int, nodes: int, groups: int, colocation: str, dispatch: str
) -> Machine:
    """The machine as the command line gives it."""
    return Machine(slots, gpus, nodes, groups, str(colocation), str(dispatch))


def parsed_machines(machines: list[str]) -> list[Machine]:
    """Machines such as 288x32 or 288x32/4/8."""
    try:
        return [Machine.parse(text) for text in machines]
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(
            f"{', '.join(machines)}: a machine is SLOTSxGPUS or SLOTSxGPUS/NODES/GROUPS, such as "
            "288x32 or 288x32/4/8."
        ) from error


@dataclass(frozen=True)
class Files:
    """The files of loads, and how they are to be read.

    Parameters
    ----------
    loads
        The files.
    with_scenarios
        Whether every snapshot is to be served, instead of their sum.
    load_format
        The format of the files; None where their content tells.
    map_file
        The map that was in force while they were counted by slot; None where they are of experts.
    experts
        Experts of a layer, where the files may leave some out; None where they do not.
    current
        The plan in force; None where there is none.
    phase
        Whose steps are served, of a recording of steps; None for all.
    weights
        Shares of time of the loads; none where they are alike.
    """

    loads: list[Path]
    with_scenarios: bool = False
    load_format: LoadFormat | None = None
    map_file: Path | None = None
    experts: int | None = None
    current: Path | None = None
    phase: Phase | None = None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Asked:
    """Loads, and how the command line has a problem made of them.

    Parameters
    ----------
    files
        The loads.
    machine
        The machine that they are planned for.
    rules
        In what its GPUs differ, as it was typed.
    engine
        The engine that a plan is written for; "" for none.
    topology
        The price on what is served off home and the rules on it, as they were typed.
    """

    files: Files
    machine: Machine
    rules: RuleTexts = field(default_factory=RuleTexts)
    engine: str = ""
    topology: TopologyOptions = field(default_factory=TopologyOptions)

    def machine_for(self, layer_ids: tuple[int, ...]) -> Machine:
        """The machine with its rules and its topology, for loads of layers with these names."""
        rules = self.rules.rules(self.machine.num_gpus, layer_ids)
        topology = self.topology.topology(layer_ids)
        return replace(self.machine, rules=rules, topology=topology)


def total(path: Path, load_format: LoadFormat | None) -> Loads:
    """The sum of a recording, with a bar while a long one is read."""
    with output.reading_bar(f"reading {path.name}") as progress:
        return read_total(path, None if load_format is None else str(load_format), progress)


def move_cost(text: str | None) -> MoveCost | None:
    """What moving costs, as the command line gives it."""
    return None if text is None else read_move_cost(text, "--move-cost")


def colocation_for(engine: str | None, colocation: str) -> str:
    """What the engine lets two replicas of an expert on a GPU do; said where it is not asked."""
    rules = VALIDATORS.get(engine or "")
    if rules is None or not rules.keeps_apart or colocation == "forbid":
        return colocation
    output.warn((f"{engine} refuses two replicas of an expert on a GPU: --colocation forbid.",))
    return "forbid"


def written_for(engine: str, output_file: Path | None) -> str:
    """The engine that a plan is written for; "" where none is written, or in no engine's format."""
    return str(engine) if output_file is not None and str(engine) in VALIDATORS else ""


def check_noise(noise: float | None, dispatches: Iterable[str]) -> None:
    """Refuse a noise that nothing would be planned with."""
    if noise is not None and "optimal" not in map(str, dispatches):
        raise typer.BadParameter("--noise is for plans under --dispatch optimal; give both.")


def read(path: Path, load_format: LoadFormat | None) -> Loads:
    """The recorded loads of a file."""
    return read_loads(path, None if load_format is None else str(load_format))
