"""Our split of loads over copies beside linear programming and SGLang's own solver.

All in one process by turns; every answer is scored against the exact least level. Times leave out
what is done once a placement: tracing, constraint matrices.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench import dispatch_rivals
from eplb_opt.bench.dispatch_case import Case
from eplb_opt.bench.hot import NO_WAIT
from eplb_opt.clock import core_wait
from eplb_opt.engines.dispatch.call import Dispatcher
from eplb_opt.engines.dispatch.split import exact_levels
from eplb_opt.engines.serving.call import rebalance
from eplb_opt.errors import FormatError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eplb_opt.bench.dispatch_case import Split
    from eplb_opt.problem.machine import Machine

#: Logarithmic deviation of a batch's loads from those that the placement was made for.
BATCH_SHIFT = 0.3
#: Programs that take milliseconds for each layer are called on this number of layers, evenly
#: spaced.
SLOW_LAYERS = 6


@dataclass(frozen=True)
class DispatchRow:
    """One program on one placement.

    Parameters
    ----------
    machine
        Slots and GPUs, as `Machine.parse` reads them.
    placement
        A key of `PLACEMENTS`.
    program
        Who split the tokens.
    splits
        Layers times batches that a call did.
    microseconds
        A layer and batch, median over the calls that never waited for a core, or of all.
    worst, mean
        Largest GPU load over the exact optimum, minus 1.
    note
        What else there is to say.
    """

    machine: str
    placement: str
    program: str
    splits: int
    microseconds: float
    worst: float
    mean: float
    note: str = ""


def greedy_placement(load: np.ndarray, machine: Machine, seed: int) -> np.ndarray:
    """The placement of every engine."""
    return np.asarray(rebalance(load, machine.num_slots, 1, 1, machine.num_gpus, effort=0)[0])


def spread_placement(load: np.ndarray, machine: Machine, seed: int) -> np.ndarray:
    """Spare slots drawn by load, an expert's copies on GPUs of its own, at random otherwise."""
    rng = np.random.default_rng(seed)
    return np.array([_spread_layer(row, machine.num_slots, machine.num_gpus, rng) for row in load])


PLACEMENTS = {"greedy": greedy_placement, "spread": spread_placement}


def _spread_layer(
    row: np.ndarray, num_slots: int, num_gpus: int, rng: np.random.Generator
) -> np.ndarray:
    counts = np.ones(len(row), dtype=np.int64)
    for _ in range(num_slots - len(row)):
        chance = np.where(counts < num_gpus, row + 1.0, 0.0)
        counts[rng.choice(len(row), p=chance / chance.sum())] += 1
    held: list[list[int]] = [[] for _ in range(num_gpus)]
    # Experts with most copies first, each on the GPUs with most room: it always goes out even.
    for expert in np.argsort(-counts - rng.random(len(row)), kind="stable").tolist():
        order = np.lexsort((rng.random(num_gpus), np.array([len(gpu) for gpu in held])))
        for gpu in order[: counts[expert]].tolist():
            held[gpu].append(expert)
    return np.array([expert for gpu in held for expert in gpu])


def make_case(
    load: np.ndarray, machine: Machine, placement: str, num_batches: int, seed: int
) -> Case:
    """Place by the loads, and draw batches around them.

    Parameters
    ----------
    load
        Tokens, int64 [num_layers, num_experts].
    machine
        Slots and GPUs.
    placement
        A key of `PLACEMENTS`.
    num_batches
        Batches to draw.
    seed
        Seed of the placement and of the batches.

    Raises
    ------
    ProblemError
        For another placement.
    """
    if placement not in PLACEMENTS:
        raise ProblemError(f"placement {placement!r} is unknown; known: {', '.join(PLACEMENTS)}.")
    rng = np.random.default_rng(seed)
    batches = np.rint(load * rng.lognormal(0, BATCH_SHIFT, (num_batches, *load.shape)))
    return Case(PLACEMENTS[placement](load, machine, seed), batches, machine.num_gpus)


def _ours(case: Case) -> Split:
    return Dispatcher.of(case.placed, num_gpus=case.num_gpus)


def _ours_exact(case: Case) -> Split:
    held = Dispatcher.of(case.placed, num_gpus=case.num_gpus)
    return lambda load: held(load, exact=True)


def _even(case: Case) -> Split:
    held = Dispatcher.of(case.placed, num_gpus=case.num_gpus)
    return lambda load: np.broadcast_to(held.routes.even, (len(load), *case.placed.shape))


#: By name: what makes a program for a case, and whether it takes microseconds.
PROGRAMS: dict[str, tuple[Callable[[Case], Split], bool]] = {
    "ours": (_ours, True),
    "even split": (_even, True),
    "ours, exact": (_ours_exact, False),
    "SciPy linprog (HiGHS)": (dispatch_rivals.linear_program, False),
    "SGLang lp, torch reference": (dispatch_rivals.sglang_reference, False),
}


def measure(
    case: Case, machine: str, placement: str, rounds: int, programs: Any = PROGRAMS
) -> Iterator[DispatchRow]:
    """Run the programs in turns on one case.

    Yields
    ------
    A row a program; one whose package or files are missing is left out.
    """
    num_layers = len(case.placed)
    few = np.unique(np.linspace(0, num_layers - 1, min(SLOW_LAYERS, num_layers)).astype(int))
    made: dict[str, tuple[Case, Split]] = {}
    for name, (make, is_fast) in programs.items():
        part = case if is_fast else case.layers(few)
        try:
            made[name] = part, make(part)
        except (ImportError, FormatError, ProblemError):
            continue
    best = {len(part.placed): optimum(part) for part, _ in made.values()}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    answers = {}
    for turn in range(rounds + 1):
        for name, (part, split) in made.items():
            waited, began = core_wait(), time.perf_counter()
            answers[name] = split(part.load)
            took, waited = time.perf_counter() - began, core_wait() - waited
            if turn:  # the first call warms caches
                samples[name].append((took, waited))
    for name, (part, split) in made.items():
        kept = [took for took, waited in samples[name] if waited <= NO_WAIT]
        splits = part.load.shape[0] * part.load.shape[1]
        gap = largest_loads(part, answers[name]) / best[len(part.placed)] - 1
        yield DispatchRow(
            machine,
            placement,
            name,
            splits,
            float(np.median(kept or [took for took, _ in samples[name]])) / splits * 1e6,
            float(gap.max()),
            float(gap.mean()),
            getattr(split, "note", ""),
        )


def optimum(case: Case) -> np.ndarray:
    """The exact least level, float64 [num_batches, num_layers]."""
    held = Dispatcher.of(case.placed, num_gpus=case.num_gpus)
    levels = exact_levels(held.routes, case.load, held.gpu_speed)
    return np.array([[float(found.level) for found in row] for row in levels])


def largest_loads(case: Case, weights: np.ndarray) -> np.ndarray:
    """Largest GPU load, float64 [num_batches, num_layers]."""
    layer_idx = np.arange(len(case.placed))[:, None]
    tokens = weights * case.load[:, layer_idx, case.placed]
    return np.asarray(tokens.reshape(*tokens.shape[:2], case.num_gpus, -1).sum(3).max(2))
