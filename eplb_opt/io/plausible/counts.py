"""Suspicions that loads were not counted as a plan needs them: in part, twice, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.io.plausible.question import figure, listed, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.plausible.question import Finding, Question

#: Steps that rise by chance alone are fewer.
LEAST_RISING = 3
#: Layers whose totals differ by more than this factor were not counted alike.
OTHER_TRAFFIC = 2.0
#: Where more of a layer's experts have no token, there were too few tokens.
MOSTLY_IDLE = 0.5


def idle_experts(loads: Loads, question: Question) -> Finding | None:
    """Experts without a token in any layer."""
    total = loads.total
    busy = np.flatnonzero(total.any(axis=0))
    num_idle = loads.num_experts - len(busy)
    if not num_idle or not len(busy):
        return None
    if loads.num_layers == 1 and num_idle <= MOSTLY_IDLE * loads.num_experts:
        return None  # by chance, in a single layer
    text = f"{num_idle} of {loads.num_experts} experts have no token in any layer"
    in_a_row = bool((np.diff(busy) == 1).all())
    if in_a_row and num_idle >= len(busy):
        return note(
            f"{text}; those that have are {listed(busy.tolist())}, one after the other, as on one "
            "rank. If one rank of several was counted, the plan is made for its share alone: "
            "record on all ranks, and give all of their files."
        )
    return note(
        f"{text} ({_idle_ones(busy, loads.num_experts)}); each takes a slot all the same. If "
        "they do work, record for longer, or on all ranks."
    )


def few_tokens(loads: Loads, question: Question) -> Finding | None:
    """Most experts of the layers without a token: too short a recording."""
    total = loads.total
    busy_layers = total.any(axis=1)
    busy_experts = total.any(axis=0)
    if not busy_layers.any():
        return None
    cells = total[np.ix_(busy_layers, busy_experts)]
    idle = float((cells == 0).mean())
    if idle <= MOSTLY_IDLE or cells.shape[1] < 2:
        return None
    return note(
        f"in an average layer {100 * idle:.3g} % of the experts have no token: the recording is "
        "short for a plan; record for longer."
    )


def idle_layers(loads: Loads, question: Question) -> Finding | None:
    """Layers without any token."""
    idle = np.flatnonzero(~loads.total.any(axis=1))
    if not len(idle):
        return None
    names = [loads.layer_ids[at] for at in idle.tolist()]
    which = f"layer {names[0]} has" if len(names) == 1 else f"layers {listed(names)} have"
    if len(names) == loads.num_layers:
        return note("no expert of any layer has a token: every plan is as good as another.")
    return note(
        f"{which} no token, and {loads.num_layers - len(names)} others have. Dense layers have no "
        "experts to place: if these are dense, leave their rows out and name the others, with "
        "layer_ids in an .npz or a column layer in a .csv."
    )


def all_alike(loads: Loads, question: Question) -> Finding | None:
    """Every expert of every layer has the same load."""
    total = loads.total
    if loads.num_experts < 2 or not total.any() or (total != total[:, :1]).any():
        return None
    return note(
        f"all {loads.num_experts} experts have the same load in every layer "
        f"({figure(total[0, 0])} in layer {loads.layer_ids[0]}): a placeholder, or a router that "
        "was told to balance? Recorded loads differ."
    )


def one_layer_repeated(loads: Loads, question: Question) -> Finding | None:
    """All layers have the same loads."""
    total = loads.total
    if loads.num_layers < 2 or (total != total[:1]).any() or (total == total[:, :1]).all():
        return None
    return note(
        f"all {loads.num_layers} layers have the same loads, expert by expert: one layer's, "
        "repeated? Recorded layers differ."
    )


def other_traffic(loads: Loads, question: Question) -> Finding | None:
    """Layers with far more tokens than others."""
    totals = loads.total.sum(axis=1).astype(np.float64)
    busy = np.flatnonzero(totals)
    if len(busy) < 2:
        return None
    low, high = busy[totals[busy].argmin()], busy[totals[busy].argmax()]
    if totals[high] <= OTHER_TRAFFIC * totals[low]:
        return None
    return note(
        f"layer {loads.layer_ids[high]} has {figure(totals[high])} tokens in all and layer "
        f"{loads.layer_ids[low]} {figure(totals[low])}, though every token passes every layer. "
        "Are they of one model and one recording (layers of a draft model count fewer)?"
    )


def shares(loads: Loads, question: Question) -> Finding | None:
    """Fractions that add up to 1."""
    steps = loads.origin.steps
    if steps is None or not steps.is_shares or loads.num_experts < 2:
        return None
    several = f" of {steps.num_steps} snapshots" if steps.num_steps > 1 else ""
    return note(
        f"the loads of every layer{several} add up to 1: shares, not tokens. Snapshots then weigh "
        "alike whatever their traffic; and a router's mean probabilities are no loads, for tokens "
        "go to the top experts alone: count those."
    )


def never_reset(loads: Loads, question: Question) -> Finding | None:
    """Snapshots that never fall: a counter that goes on."""
    steps = loads.origin.steps
    if steps is None or not steps.never_falls or steps.num_steps < LEAST_RISING:
        return None
    if steps.first.size < steps.num_steps:
        return None
    return note(
        f"no load falls from one of {steps.num_steps} snapshots to the next: a counter that is "
        "never reset? Then early tokens are counted in every snapshot; give the last snapshot, or "
        "the differences, with numpy: numpy.diff(load, axis=0)"
    )


def some_ranks(loads: Loads, question: Question) -> Finding | None:
    """Files of fewer ranks than GPUs."""
    ranks, num_gpus = loads.origin.ranks, question.num_gpus
    if not ranks or num_gpus is None or len(ranks) >= num_gpus:
        return None
    files = f"this is the file of rank {ranks[0]} alone"
    if len(ranks) > 1:
        files = f"these are files of {len(ranks)} ranks ({listed(list(ranks))})"
    return note(
        f"{files}, and --gpus is {num_gpus}. A rank counts its own tokens: if there were "
        f"{num_gpus} ranks, those of {num_gpus - len(ranks)} are missing; give the files of all."
    )


def unseen_experts(loads: Loads, question: Question) -> Finding | None:
    """A table of experts that were hit ends where the last hit is."""
    if not loads.origin.may_lack_experts:
        return None
    return note(
        f"the table lists experts that were hit, up to {loads.num_experts - 1}, so "
        f"{loads.num_experts} experts are planned. If the model has more, say so: --experts"
    )


def _idle_ones(busy: np.ndarray, num_experts: int) -> str:
    return listed(np.setdiff1d(np.arange(num_experts), busy).tolist())


#: In this order.
CHECKS: tuple[Callable[[Loads, Question], Finding | None], ...] = (
    unseen_experts,
    some_ranks,
    idle_experts,
    idle_layers,
    few_tokens,
    all_alike,
    one_layer_repeated,
    other_traffic,
    shares,
    never_reset,
)
