"""Suspicions that an array is something else than loads, or lies the wrong way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.io.plausible.question import figure, note, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.io.loads import Loads
    from eplb_opt.io.plausible.question import Finding, Question

#: Fewer rows or slots may look like anything by chance.
LEAST_COUNTED, LEAST_SLOTS = 4, 8
#: Every token passes every layer: in recordings the layers' totals lie within 0.0005 of each other.
SAME_TOTAL, OTHER_TOTAL = 1e-3, 1e-2
#: Rounding of sums of floats.
ROUNDING = 1e-9
#: No model has so many layers.
MANY_LAYERS = 200
#: Columns of a long table without a header: layer, expert, count, perhaps after a step.
LONG_COLUMNS = (3, 4)


def a_placement(loads: Loads, question: Question) -> Finding | None:
    """Every row holds each of some first ids and nothing else: expert ids, not loads."""
    load = loads.load.reshape(-1, loads.num_experts)
    if load.dtype.kind != "i" or load.min() < -1:
        return None
    most = int(load.max())
    if not LEAST_SLOTS <= most + 1 <= load.shape[1]:
        return None
    held = np.zeros((len(load), most + 2), dtype=bool)
    np.put_along_axis(held, load, values=True, axis=1)  # -1 falls into the last column
    if not held[:, :-1].all():
        return None
    return refusal(
        f"every row holds each of 0 to {most} and nothing else: these are the ids of experts in "
        f"{load.shape[1]} slots, a placement and no loads. Give it as a plan (--current, --plan), "
        "and a recording as LOADS."
    )


def negative_ids(loads: Loads, question: Question) -> Finding | None:
    """Loads below 0; -1 alone is the mark of an empty slot."""
    if loads.load.dtype.kind != "i" or loads.load.min() >= 0:
        return None
    least, num = int(loads.load.min()), int((loads.load < 0).sum())
    why = " (-1 marks an empty slot of a placement: is this a plan?)" if least == -1 else ""
    return refusal(f"{num} loads are below 0, the least is {least}{why}; loads are counts.")


def a_pattern(loads: Loads, question: Question) -> Finding | None:
    """0 and 1 alone, every expert somewhere: which device holds which expert."""
    steps = loads.origin.steps
    if steps is None or not steps.is_binary or not loads.load.any():
        return None
    shape = (steps.num_steps, loads.num_layers, loads.num_experts)
    # [device][layer][expert], or [layer][device][expert]: every expert is on some device.
    by_device = shape[0] == question.num_gpus and bool((loads.load.sum(axis=0) > 0).all())
    by_layer = shape[1] == question.num_gpus and bool((steps.first.sum(axis=0) > 0).all())
    if steps.num_steps > 1 and (by_device or by_layer):
        return refusal(
            f"{list(shape)} of nothing but 0 and 1, in which every expert comes up: this says "
            "which device holds which expert, a placement and no loads. Give the counts of tokens."
        )
    return note(
        "there is nothing but 0 and 1 in it. Counts of a handful of tokens look so, and so does a "
        "pattern of devices and experts; a plan needs loads of many tokens."
    )


def a_long_table(loads: Loads, question: Question) -> Finding | None:
    """Three columns, of which two name a layer and an expert."""
    rows = loads.load.reshape(-1, loads.num_experts)
    if rows.shape[1] not in LONG_COLUMNS or len(rows) < LEAST_COUNTED:
        return None
    layer, expert = rows[:, -3], rows[:, -2]
    pairs = np.unique(rows[:, :-1], axis=0)
    num_layers, num_experts = len(np.unique(layer)), len(np.unique(expert))
    whole = (rows[:, :-1] == np.round(rows[:, :-1])).all()
    if len(pairs) < len(rows) or not whole or max(num_layers, num_experts) == len(rows):
        return None
    header = "layer_id,expert_id,count" if rows.shape[1] == 3 else "step,layer_id,expert_id,count"
    if num_layers * num_experts > 2 * len(rows) or expert.max() > 4 * num_experts:
        return None
    return refusal(
        f"{len(rows)} rows of {rows.shape[1]} columns, in which column {rows.shape[1] - 3} takes "
        f"{num_layers} values and column {rows.shape[1] - 2} {num_experts}: they look like layer, "
        f"expert and count, a row for each expert. Save them as .csv with the header {header}."
    )


def a_counting_column(loads: Loads, question: Question) -> Finding | None:
    """A first column that counts the rows, as no other does: a number of the layer or the step."""
    first = _first(loads)
    if (
        len(first) < LEAST_COUNTED
        or loads.num_experts < 2
        or (np.diff(first[:, 1:], axis=0) == 1).all()
    ):
        return None
    column = first[:, 0]
    if (np.diff(column) == 1).all():
        what = f"counts {int(column[0])}, {int(column[1])}, ... {int(column[-1])}"
    elif len(column) >= 2 * LEAST_COUNTED and _climbs(column) and column.max() < first.mean():
        what = f"climbs from {int(column[0])} to {int(column[-1])} by ones"
    else:
        return None
    return refusal(
        f"the first of {loads.num_experts} columns {what}: it numbers the rows and is no expert's "
        "load. Leave it out, or call the columns of a .csv layer, expert0, expert1, ..."
    )


def a_counting_row(loads: Loads, question: Question) -> Finding | None:
    """A first row that counts the columns, as no other does: names of experts."""
    first = _first(loads)
    if first.shape[1] < LEAST_COUNTED or len(first) < 2 or first[0, 0] not in (0, 1):
        return None
    if (np.diff(first[0]) != 1).any() or (np.diff(first[1:]) == 1).all():
        return None
    return refusal(
        f"the first of {len(first)} rows counts {int(first[0, 0])}, {int(first[0, 1])}, ... "
        f"{int(first[0, -1])}: it numbers the experts and is no layer. Leave it out."
    )


def a_total_column(loads: Loads, question: Question) -> Finding | None:
    """A column that is the sum of all others."""
    total = loads.total
    if loads.num_layers < 2 or loads.num_experts < LEAST_COUNTED or not total.any(axis=1).all():
        return None
    for at in (-1, 0):
        if np.allclose(2.0 * total[:, at], total.sum(axis=1), rtol=ROUNDING, atol=0):
            return refusal(
                f"in every row the {'last' if at else 'first'} of {loads.num_experts} columns is "
                f"the sum of the others ({figure(total[0, at])} in the first row): a total, no "
                "expert's load. Leave it out."
            )
    return None


def a_total_row(loads: Loads, question: Question) -> Finding | None:
    """A last row that is the sum of those above."""
    total = loads.total
    if loads.num_layers < 3 or not total[-1].any() or loads.num_experts < 2:
        return None
    if not np.allclose(total[:-1].sum(axis=0), total[-1], rtol=ROUNDING, atol=0):
        return None
    return refusal(
        f"the last of {loads.num_layers} rows is the sum of those above it: a total, no layer. "
        "Leave it out."
    )


def turned_round(loads: Loads, question: Question) -> Finding | None:
    """Experts in rows and layers in columns."""
    total = loads.total.astype(np.float64)
    num_layers, num_experts = total.shape
    if min(total.shape) < 2 or not total.any():
        return None
    rows, columns = _spread(total.sum(axis=1)), _spread(total.sum(axis=0))
    shape = f"{num_layers} rows x {num_experts} columns"
    # Where all experts of a layer are alike, columns have the same total whatever they are.
    is_even = (total == total[:, :1]).all()
    if columns < SAME_TOTAL and rows > OTHER_TOTAL and not is_even:
        return refusal(
            f"{shape}, whose columns have the same total and whose rows differ by "
            f"{100 * rows:.3g} %: every token passes every layer, so layers have the same total. "
            "These are [experts, layers]; turn them round, with numpy: load.T"
        )
    if num_layers >= MANY_LAYERS and num_experts < num_layers:
        return note(
            f"{shape} are read as {num_layers} layers of {num_experts} experts. If they are "
            "[experts, layers], turn them round, with numpy: load.T"
        )
    return None


def slots_of_ranks(loads: Loads, question: Question) -> Finding | None:
    """[layers, ranks, slots of a rank] where no option speaks of so many slots."""
    steps = loads.origin.steps
    if steps is None or min(steps.num_steps, loads.num_layers) < 2:
        return None
    if steps.layer_spread <= OTHER_TOTAL or steps.whole_spread >= SAME_TOTAL:
        return None
    shape = [steps.num_steps, loads.num_layers, loads.num_experts]
    text = (
        f"{shape} is read as [snapshots, layers, experts], but the totals of the {shape[0]} parts "
        f"are the same, and within a part the {shape[1]} rows differ by "
        f"{100 * steps.layer_spread:.3g} %, though every token passes every layer. Loads of "
        "physical slots, [layers, ranks, slots of a rank], are so: then give the map that was in "
        "force as --map FILE."
    )
    return refusal(text) if question.num_gpus == loads.num_layers else note(text)


def axes_changed(loads: Loads, question: Question) -> Finding | None:
    """Layers where the snapshots should be."""
    steps = loads.origin.steps
    if steps is None or min(steps.num_steps, loads.num_layers) < 2:
        return None
    if steps.step_spread >= SAME_TOTAL or steps.layer_spread <= OTHER_TOTAL:
        return None
    return note(
        f"{steps.num_steps} snapshots of {loads.num_layers} layers: all snapshots of a layer have "
        f"the same total, and the layers of a snapshot differ by {100 * steps.layer_spread:.3g} %. "
        "In recordings it is the other way round. If these are [layers, snapshots, experts], turn "
        "them round, with numpy: load.swapaxes(0, 1)"
    )


def _first(loads: Loads) -> np.ndarray:
    """The first snapshot, [num_layers, num_experts]."""
    steps = loads.origin.steps
    return loads.load[0] if steps is None else steps.first


def _climbs(column: np.ndarray) -> bool:
    steps = np.diff(column)
    return bool(np.isin(steps, (0, 1)).all() and (steps == 1).sum() >= LEAST_COUNTED - 1)


def _spread(totals: np.ndarray) -> float:
    return float(np.ptp(totals) / totals.mean())


#: In this order: the first refusal is raised.
CHECKS: tuple[Callable[[Loads, Question], Finding | None], ...] = (
    a_placement,
    negative_ids,
    a_pattern,
    a_long_table,
    a_counting_column,
    a_counting_row,
    a_total_column,
    a_total_row,
    turned_round,
    slots_of_ranks,
    axes_changed,
)
