"""Random small problems over every rule, each answer judged by trying everything."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.bench import brute_force
from eplb_opt.bench.brute_force import Case, Placement
from eplb_opt.errors import ProblemError
from eplb_opt.planner.planner import plan
from eplb_opt.problem.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from eplb_opt.result import Result

#: What a problem is drawn from; "all" may have every rule at once.
KINDS = ("plain", "nodes", "rules", "scenarios", "dispatch", "all", "senders")
#: Placements of a layer up to which all of them are tried.
MOST_TRIED = 20_000
#: Faults that a report keeps the words of.
MOST_TOLD = 20
SPEEDS = (0.5, 1.0, 1.0, 1.25, 3.0)


@dataclass(eq=False)
class AttackReport:
    """What an attack saw.

    Parameters
    ----------
    counts
        Calls by what came of them: "planned", "refused", "proven", "compared" with the optimum
        over all placements, "limited" in their moves.
    faults
        Sentences on what was wrong, each with the kind and the number that draw the call anew.
    seconds
        Duration of the whole attack.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def attack(
    calls: int,
    seed: int = 0,
    kinds: tuple[str, ...] = KINDS,
    progress: Callable[[int], object] | None = None,
) -> AttackReport:
    """Plan random small problems and judge every answer; tell how many are done."""
    report, began = AttackReport(), time.monotonic()
    for index in range(calls):
        kind = kinds[index % len(kinds)]
        rng = np.random.default_rng((seed, KINDS.index(kind), index))
        case = random_case(rng, kind)
        try:
            faults = _faults_of_call(case, rng, report.counts)
        except Exception as error:  # whatever is raised is a find, not the end of the hunt
            faults = [f"{type(error).__name__}: {error}"]
        report.counts["faults"] += len(faults)
        told = [f"seed {seed}, call {index}, {kind}: {fault}; {case}" for fault in faults]
        report.faults += told[: MOST_TOLD - len(report.faults)]
        if progress is not None:
            progress(index + 1)
    report.seconds = time.monotonic() - began
    return report


def random_case(rng: np.random.Generator, kind: str) -> Case:
    """A layer of that kind, small enough to try everything more often than not."""
    may_have = kind in ("all", "senders")
    nodes = 2 if kind == "nodes" or (may_have and rng.random() < 0.3) else 1
    num_gpus = nodes * int(rng.integers(1, 3 if nodes > 1 else 5))
    num_experts = int(rng.integers(1, 6))
    if kind == "nodes":
        num_experts = 2 * int(rng.integers(1, 4))
    least = -(-num_experts // num_gpus)
    slots = least + int(rng.integers(0, 3 if num_gpus < 4 else 2))
    fields: dict[str, Any] = {"num_nodes": nodes}
    if kind == "nodes":
        fields["num_groups"] = 2 if num_experts % 4 or rng.random() < 0.5 else 4
    if rng.random() < 0.25:
        fields["colocation"] = "forbid"
    if kind == "dispatch" or (kind == "all" and rng.random() < 0.5):
        fields["dispatch"] = "optimal"
    if kind == "senders":
        fields["dispatch"] = str(rng.choice(["nearest", "rank_modulo"]))
    num_scenarios = 1
    if kind == "scenarios" or (kind in ("dispatch", "senders", "all") and rng.random() < 0.4):
        num_scenarios = int(rng.integers(1, 4))
        weights = rng.integers(0, 4, num_scenarios)
        weights[int(rng.integers(num_scenarios))] = 1
        fields |= {"has_scenarios": True, "weights": tuple(weights.tolist())}
        fields["objective"] = str(rng.choice(["mean", "max"]))
    rules = (
        _random_rules(rng, num_experts, num_gpus, slots, nodes)
        if kind in ("rules", "all") or (kind == "senders" and rng.random() < 0.3)
        else {}
    )
    return Case(
        tuple(_random_load(rng, num_experts) for _ in range(num_scenarios)),
        slots,
        rules.pop("open_slots", (slots,) * num_gpus),
        rules.pop("speed", (1.0,) * num_gpus),
        **fields,
        **rules,
    )


def _random_load(rng: np.random.Generator, num_experts: int) -> tuple[int, ...]:
    """Equal, tied, sparse, skewed, huge or plain numbers."""
    draws = (
        lambda: np.full(num_experts, int(rng.integers(0, 9))),
        lambda: rng.integers(0, 4, num_experts),
        lambda: rng.integers(1, 100, num_experts),
        lambda: rng.integers(1, 10**6, num_experts) * (rng.random(num_experts) < 0.5),
        lambda: np.exp(rng.uniform(0, 25, num_experts)).astype(np.int64),
        lambda: rng.integers(0, 2**52, num_experts),
    )
    return tuple(int(w) for w in draws[int(rng.integers(len(draws)))]())


def _random_rules(
    rng: np.random.Generator, num_experts: int, num_gpus: int, slots: int, nodes: int
) -> dict[str, Any]:
    """Some of the rules that make GPUs differ; they may leave no plan."""
    rules: dict[str, Any] = {}
    if rng.random() < 0.5:
        rules["open_slots"] = tuple(rng.integers(0, slots + 1, num_gpus).tolist())
    if rng.random() < 0.5:
        rules["speed"] = tuple(float(s) for s in rng.choice(SPEEDS, num_gpus))
    pairs = [(e, g) for e in range(num_experts) for g in range(num_gpus)]
    order = [pairs[i] for i in rng.permutation(len(pairs))]
    num_pinned, num_forbidden = (int(rng.integers(0, 3)) for _ in range(2))
    if rng.random() < 0.4:
        rules["pinned"] = tuple(order[:num_pinned])
    if rng.random() < 0.5:
        rules["forbidden"] = tuple(order[num_pinned : num_pinned + num_forbidden])
    if rng.random() < 0.4:
        rules["spread"] = "node" if nodes > 1 and rng.random() < 0.5 else "gpu"
    return rules


def _faults_of_call(case: Case, rng: np.random.Generator, counts: Counter[str]) -> list[str]:
    """Draw how a case is planned, plan it, and say what is wrong with the answer."""
    tried = None
    if brute_force.num_tried(case) <= MOST_TRIED:
        tried = list(brute_force.placements(case))
    options: dict[str, Any] = {
        "effort": int(rng.integers(0, 12)),
        "seed": int(rng.integers(9)),
        "workers": 1,
    }
    try:
        problem = Problem(**case.arguments())
        current = _draw_limits(case, tried, options, rng)
        result = plan(problem, **options)
    except ProblemError as error:
        counts["refused"] += 1
        return [f"refused though there is a plan: {error}"] if tried else []
    counts["planned"] += 1
    counts["proven"] += result.status[0] == "optimal"
    found = _placement_of(case, result.plan.physical_to_logical[0])
    faults = judge(case, result, found)
    if current is not None:
        counts["limited"] += 1
        faults += _faults_of_moves(case, current, found, options)
    if tried is not None and not faults:
        counts["compared"] += 1
        faults += _faults_against(min(brute_force.worth(case, p) for p in tried), result)
    return faults


def _draw_limits(
    case: Case, tried: list[Placement] | None, options: dict[str, Any], rng: np.random.Generator
) -> Placement | None:
    """A plan in force for some calls, drawn from all, with a limit on the moves or without."""
    if not tried or rng.random() < 0.5:
        return None
    current = tried[int(rng.integers(len(tried)))]
    options["current"] = [_row_of(case, current)]
    limit = int(rng.integers(3))
    if limit == 1:
        options["max_moves"] = int(rng.integers(0, 5))
    elif limit == 2:
        options["move_tolerance"] = float(rng.choice([0.0, 0.05, 0.5]))
    return current


def _row_of(case: Case, placement: Placement) -> list[int]:
    return [e for held in placement for e in [*held, *[-1] * (case.slots_per_gpu - len(held))]]


def _placement_of(case: Case, row: np.ndarray) -> Placement:
    gpus = row.reshape(case.num_gpus, case.slots_per_gpu).tolist()
    return tuple(tuple(sorted(e for e in gpu if e >= 0)) for gpu in gpus)


def judge(case: Case, result: Result, found: Placement) -> list[str]:
    """What is wrong with an answer by itself."""
    faults = [f"message: {text}" for text in result.messages if "failed" in text or "early" in text]
    broken = brute_force.offence(case, found)
    if broken is not None:
        return [*faults, f"the plan breaks {broken}: {found}"]
    pair, value = result.bounds[0], brute_force.worth(case, found)
    if pair.objective != value:
        faults.append(f"objective {pair.objective}, the plan is worth {value}")
    if pair.lower > pair.objective:
        faults.append(f"bound {pair.lower} above the objective {pair.objective}")
    if (result.status[0] == "optimal") != (pair.lower == pair.objective):
        faults.append(f"status {result.status[0]} with {pair.lower} and {pair.objective}")
    return faults


def _faults_against(optimum: Fraction, result: Result) -> list[str]:
    pair = result.bounds[0]
    faults = []
    if pair.lower > optimum:
        faults.append(f"false bound: {pair.lower} above the optimum {optimum}")
    if pair.objective < optimum:
        faults.append(f"objective {pair.objective} below the optimum {optimum}")
    if result.status[0] == "optimal" and pair.objective != optimum:
        faults.append(f'false "optimal": {pair.objective}, the optimum is {optimum}')
    return faults


def _faults_of_moves(
    case: Case, current: Placement, found: Placement, options: dict[str, Any]
) -> list[str]:
    moved = brute_force.moves(current, found)
    faults = []
    if moved > options.get("max_moves", moved):
        faults.append(f"{moved} moves, {options['max_moves']} are allowed")
    # Under noise a plan may be worse on the known loads; without a limit it is said, with one too.
    # Under nearest copy layers are compared by the most of all draws, not by the one that counts.
    is_noisy = case.dispatch == "optimal" and case.has_scenarios
    is_kept = not is_noisy and case.dispatch != "nearest"
    if is_kept and brute_force.worth(case, found) > brute_force.worth(case, current):
        faults.append("worse than the plan in force")
    return faults
