"""The table of instances that come with the project; `library` writes it down and reads it."""

from __future__ import annotations

from typing import Any

from eplb_opt.bench.instance import Instance
from eplb_opt.bench.load_files import IN_FORCE, LOAD_FILES, SIX
from eplb_opt.problem.machine import Machine

#: Six layers of gpt-oss's 36 and of Qwen3's 94.
SIX_OF_36 = (0, 7, 14, 21, 28, 35)
SIX_OF_94 = (0, 18, 36, 54, 72, 90)
EIGHT_OF_32 = (0, 4, 8, 12, 16, 20, 24, 28)
#: What a replica costs in some unit of time: to start, to read its weights, and the tokens that are
#: worked through in a unit.
START, READ, TOKENS = 3000, 6000, 10


def _row(
    loads: str, machine: str, mark: str = "", layers: tuple[int, ...] = (), **terms: Any
) -> Instance:
    """An instance that is named after its loads, its machine and a mark."""
    parsed = Machine.parse(machine)
    is_grouped = parsed.num_nodes > 1 and parsed.num_groups > 1 and "topology" not in terms
    marks = [loads, str(parsed.num_slots), str(parsed.num_gpus)]
    marks += ["h"] * is_grouped + [mark] * bool(mark)
    sizes = {"num_nodes": parsed.num_nodes, "num_groups": parsed.num_groups}
    told = {key: value for key, value in sizes.items() if value > 1} | terms
    return Instance("-".join(marks), loads, parsed.num_slots, parsed.num_gpus, layers, terms=told)


def _day(loads: str, machine: str, mark: str, **terms: Any) -> Instance:
    """An instance of several workloads."""
    row = _row(loads, machine, mark, **terms)
    return Instance(row.name, loads, row.num_slots, row.num_gpus, scenarios=True, terms=row.terms)


def _moves(in_force: str, max_moves: int) -> Instance:
    """An instance with a plan in force, of which a layer may move only some slots."""
    source = IN_FORCE[in_force]
    row = _row(source.loads, source.machine, f"move-{max_moves}", source.layers)
    return Instance(
        row.name,
        row.loads,
        row.num_slots,
        row.num_gpus,
        row.layers,
        in_force=in_force,
        max_moves=max_moves,
    )


def _costly(loads: str, machine: str, layers: tuple[int, ...] = ()) -> Instance:
    """An instance whose replicas cost whole numbers: a start, and a read or the tokens' work."""
    parsed, load = Machine.parse(machine), LOAD_FILES[loads].load()
    chosen = load[list(layers) or slice(None)].tolist()
    most = parsed.num_slots - len(chosen[0]) + 1
    seconds = [
        [[START + max(READ, w // (TOKENS * count)) for count in range(1, most + 1)] for w in row]
        for row in chosen
    ]
    return _row(loads, machine, "cost", layers, cost={"seconds": seconds})


WORKED = (
    Instance("readme", "readme", 16, 8),
    Instance("readme-h", "readme", 16, 8, terms={"num_nodes": 2, "num_groups": 4}),
    Instance("hot-pair", "hot-pair", 16, 8),
)
#: Every layer of a model.
WHOLE = (
    _row("deepseek-v3", "272x16"),
    _row("deepseek-v3", "288x32"),
    _row("deepseek-v3", "288x32/4/8"),
    _row("deepseek-v3", "288x72"),
    _row("deepseek-v3", "288x144"),
    _row("deepseek-v3", "320x64"),
    _row("deepseek-v3", "320x320"),
    _row("qwen3-235b", "144x16"),
    _row("qwen3-235b", "160x32"),
    _row("kimi-k2", "480x96"),
    _row("gpt-oss-120b", "136x8"),
    _row("mixtral-8x7b", "16x8"),
)
#: Slots of a GPU from 1 to 33, flat and with groups.
SLOTS = (
    _row("deepseek-v3", "256x32", "", SIX),
    _row("deepseek-v3", "264x8", "", SIX),
    _row("deepseek-v3", "288x96", "", SIX),
    _row("deepseek-v3", "320x80", "", SIX),
    _row("deepseek-v3", "384x128", "", SIX),
    _row("deepseek-v3", "512x256", "", SIX),
    _row("deepseek-v3", "576x64", "", SIX),
    _row("deepseek-v3", "288x144/8/8", "", SIX),
    _row("deepseek-v3", "320x64/8/8", "", SIX),
    _row("deepseek-v3", "288x72", "forbid", SIX, colocation="forbid"),
    _row("kimi-k2", "396x12", "", SIX),
    _row("kimi-k2", "416x104", "", SIX),
    _row("kimi-k2", "432x144", "", SIX),
    _row("kimi-k2", "480x240", "", SIX),
    _row("qwen3-235b", "128x128", "", SIX_OF_94),
    _row("qwen3-235b", "192x64", "", SIX_OF_94),
    _row("qwen3-235b", "256x128", "", SIX_OF_94),
    _row("qwen3-235b", "160x40/4/8", "", SIX_OF_94),
    _row("gpt-oss-120b", "132x4", "", SIX_OF_36),
    _row("gpt-oss-120b", "144x48", "", SIX_OF_36),
    _row("gpt-oss-120b", "160x32", "", SIX_OF_36),
    _row("gpt-oss-120b", "144x16/2/4", "", SIX_OF_36),
    _row("mixtral-8x7b", "8x8", "", EIGHT_OF_32),
    _row("mixtral-8x7b", "12x4", "", EIGHT_OF_32),
    _row("mixtral-8x7b", "24x8", "", EIGHT_OF_32),
    _row("mixtral-8x7b", "20x4", "", EIGHT_OF_32),
    _row("mixtral-8x7b", "16x8/2/2", "", EIGHT_OF_32),
    _row("phi-3.5-moe", "24x8"),
    _row("phi-3.5-moe", "32x8"),
    _row("experts-512", "640x128"),
    _row("experts-512", "768x256"),
)
#: Skews from mild to extreme.
SKEWS = (
    _row("lognormal-0.5", "80x16"),
    _row("lognormal-1.0", "80x16"),
    _row("lognormal-1.5", "80x16"),
    _row("lognormal-0.5", "96x32"),
    _row("lognormal-1.0", "96x32"),
    _row("lognormal-1.5", "128x32"),
    _row("zipf-0.8", "72x8"),
    _row("zipf-0.8", "96x24"),
    _row("zipf-1.2", "96x32"),
    _row("zipf-1.2", "128x64"),
    _row("twelve", "16x4"),
    _row("twelve", "18x6"),
    _row("twelve", "24x4/2/4"),
)
PRICED = (
    _row("deepseek-v3", "288x32/4/8", "price", SIX, topology={"price": 0.3}),
    _row("deepseek-v3", "320x64/8/8", "cheap", SIX, topology={"price": 0.05}),
    _row("gpt-oss-120b", "144x16/2/4", "anchored", SIX_OF_36, topology={"anchored": True}),
    _row("twelve", "16x4/2/4", "price", topology={"price": 0.3}),
    _row("mixtral-8x7b", "16x8/2/2", "at-most", EIGHT_OF_32, topology={"max_off_home": 0.2}),
)
WORKLOADS = (
    _day("deepseek-v3-day", "288x32", "mean"),
    _day("deepseek-v3-day", "288x32", "max", objective="max"),
    _day("deepseek-v3-day", "288x144", "mean"),
    _day("qwen3-235b-day", "160x32", "weights", scenario_weights=[3, 2, 1]),
    _day("qwen3-235b-day", "160x40/4/8", "mean"),
    _day("mixtral-8x7b-day", "16x8", "mean"),
    _day("mixtral-8x7b-day", "16x8", "max", objective="max"),
    _day("mixtral-8x7b-day", "16x8", "optimal", dispatch="optimal"),
)
OPTIMAL = (
    _row("deepseek-v3", "288x72", "optimal", SIX, dispatch="optimal"),
    _row("deepseek-v3", "320x64", "optimal", SIX, dispatch="optimal"),
    _row("gpt-oss-120b", "136x8", "optimal", SIX_OF_36, dispatch="optimal"),
    _row("mixtral-8x7b", "16x8", "optimal", EIGHT_OF_32, dispatch="optimal"),
    _row("zipf-1.2", "96x32", "optimal", dispatch="optimal"),
)
#: Tokens that go to one replica, whom their sender chooses.
SENDERS = (
    _row("deepseek-v3", "288x32/4/1", "nearest", SIX, dispatch="nearest"),
    _row("deepseek-v3", "288x72", "rank-modulo", SIX, dispatch="rank_modulo"),
    _row("gpt-oss-120b", "160x32/4/1", "nearest", SIX_OF_36, dispatch="nearest"),
    _row("mixtral-8x7b", "16x8/2/1", "nearest", EIGHT_OF_32, dispatch="nearest"),
    _row("mixtral-8x7b", "16x8", "rank-modulo", EIGHT_OF_32, dispatch="rank_modulo"),
)
#: Seconds instead of loads: an expert's weights are read, however few its tokens are.
COSTS = (
    _costly("twelve", "16x4"),
    _costly("twelve", "18x6"),
    _costly("mixtral-8x7b", "16x8", EIGHT_OF_32),
)
#: GPUs that differ, and experts that are tied to some.
UNEVEN = (
    _row("deepseek-v3", "320x32", "lost", SIX, active_gpus=[True] * 13 + [False] * 2 + [True] * 17),
    _row("lognormal-1.0", "96x16", "slots", gpu_slots=[6] * 8 + [5, 4] * 4),
    _row("lognormal-1.0", "80x16", "speed", gpu_speed=[1.0] * 12 + [0.5] * 4),
    _row("twelve", "16x4", "pinned", pinned=[[0, 0], [1, 0]], forbidden=[[2, 3], [3, 3]]),
    _row("gpt-oss-120b", "272x16/2/1", "spread", SIX_OF_36, spread="node"),
)
MOVES = (
    _moves("deepseek-v3-288-32", 4),
    _moves("deepseek-v3-288-32", 24),
    _moves("deepseek-v3-288-72", 24),
    _moves("deepseek-v3-288-144", 48),
    _moves("gpt-oss-120b-160-32", 8),
    _moves("gpt-oss-120b-160-32", 32),
    _moves("mixtral-8x7b-16-8", 2),
)
DEGENERATE = (
    _row("equal", "20x4"),
    _row("equal", "16x1"),
    _row("one-hot", "20x4"),
    _row("one-hot", "32x16"),
    _row("silent-layer", "16x8"),
    _row("one-expert", "4x4"),
    _row("one-expert", "1x1"),
    _row("few-tokens", "80x16"),
    _row("few-tokens", "64x32"),
    _row("huge", "32x8"),
    _row("powers", "24x8"),
    _row("powers", "15x3"),
    _row("primes", "16x4"),
)

#: What the project's instances are about, in the order in which they are listed.
KINDS: dict[str, tuple[Instance, ...]] = {
    "worked": WORKED,
    "whole": WHOLE,
    "slots": SLOTS,
    "skews": SKEWS,
    "priced": PRICED,
    "workloads": WORKLOADS,
    "optimal": OPTIMAL,
    "senders": SENDERS,
    "costs": COSTS,
    "uneven": UNEVEN,
    "moves": MOVES,
    "degenerate": DEGENERATE,
}
ROWS: tuple[Instance, ...] = tuple(row for rows in KINDS.values() for row in rows)
