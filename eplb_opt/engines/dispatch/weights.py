"""Weights in the forms that engines take: probabilities beside their map, and whole tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb_opt.engines.dispatch.call import like
from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy


def log2phy_prob(weights: Any, logical_to_physical: Any) -> Any:
    """The probability of each entry of a map of slots: what SGLang's `lp` dispatch draws from.

    Parameters
    ----------
    weights
        [.., num_layers, num_slots], of `dispatch`.
    logical_to_physical
        [num_layers, num_experts, most copies], slots of each expert, padded with -1: a plan's own,
        or an engine's, which may be wider or in another order.

    Returns
    -------
    float64 [.., num_layers, num_experts, most copies]; 0 at -1. A tensor on the weights' device
    where a tensor came in. SGLang's tensor is float32 and of one layer: take ``[layer].float()``.

    Raises
    ------
    ProblemError
        When the shapes do not fit or the map names a slot that is not there.
    """
    share, slots = as_numpy(weights, "weights"), as_numpy(logical_to_physical, "map")
    if slots.ndim != 3 or share.ndim < 2 or share.shape[-2] != len(slots):
        raise ProblemError(
            f"weights have shape {list(share.shape)} and the map {list(slots.shape)}; they must be "
            "[.., num_layers, num_slots] and [num_layers, num_experts, most copies]."
        )
    _require_slots(slots, share.shape[-1])
    layer_idx = np.arange(len(slots))[:, None, None]
    return like(weights, np.where(slots >= 0, share[..., layer_idx, slots], 0.0))


def from_log2phy_prob(prob: Any, logical_to_physical: Any, num_slots: int) -> Any:
    """The weights that an engine's probabilities mean, for scoring them; the inverse.

    Parameters
    ----------
    prob
        [.., num_layers, num_experts, most copies], at least 0, of any scale a row; where an
        expert has none at all, SGLang splits evenly, and so does this.
    logical_to_physical
        See `log2phy_prob`.
    num_slots
        Of a layer.

    Returns
    -------
    float64 [.., num_layers, num_slots], 1 in sum for every expert.

    Raises
    ------
    ProblemError
        See `log2phy_prob`.
    """
    share, slots = as_numpy(prob, "prob"), as_numpy(logical_to_physical, "map")
    if slots.ndim != 3 or share.shape[-3:] != slots.shape:
        raise ProblemError(
            f"prob has shape {list(share.shape)} and the map {list(slots.shape)}; the last three "
            "axes must be equal: [num_layers, num_experts, most copies]."
        )
    _require_slots(slots, num_slots)
    share = np.where(slots >= 0, share.astype(np.float64), 0.0)
    total = share.sum(axis=-1, keepdims=True)
    share = np.where(total > 0, share / np.where(total > 0, total, 1), slots >= 0)
    share = share / np.maximum(share.sum(axis=-1, keepdims=True), 1e-300)
    weights = np.zeros((*share.shape[:-2], num_slots))
    layer_idx, expert, place = np.nonzero(slots >= 0)
    weights[..., layer_idx, slots[layer_idx, expert, place]] = share[..., layer_idx, expert, place]
    return like(prob, weights)


def token_splits(weights: Any, physical_to_logical: Any, tokens: Any) -> Any:
    """Whole tokens for every slot, by largest remainder: dispatch by index, without drawing.

    Every slot gets its quota rounded down; what is left of an expert's tokens goes to its slots
    with the largest remainders, the lower slot first of equals.

    Parameters
    ----------
    weights
        [.., num_layers, num_slots], of `dispatch`, or shares of any other scale.
    physical_to_logical
        [num_layers, num_slots], -1 where empty; the placement of the weights.
    tokens
        Integers of at least 0 and below 2**53, [.., num_layers, num_experts].

    Returns
    -------
    int64 [.., num_layers, num_slots]: an expert's slots add up to its tokens, and none is a whole
    token away from its quota. A tensor on the weights' device where a tensor came in.

    Raises
    ------
    ProblemError
        For other shapes, tokens that are not whole, or an expert with tokens and no weight.
    """
    share, placed = as_numpy(weights, "weights"), as_numpy(physical_to_logical, "map")
    count = as_numpy(tokens, "tokens")
    if placed.ndim != 2 or share.shape[-2:] != placed.shape or share.shape[:-1] != count.shape[:-1]:
        raise ProblemError(
            f"weights have shape {list(share.shape)}, the map {list(placed.shape)} and tokens "
            f"{list(count.shape)}; they must be [.., num_layers, num_slots], [num_layers, "
            "num_slots] and [.., num_layers, num_experts]."
        )
    if not (count == np.floor(count)).all() or count.min() < 0 or count.max() >= 2**53:
        raise ProblemError(
            f"tokens range from {count.min()} to {count.max()}; they are whole, at least 0 and "
            "below 2**53."
        )
    if placed.max() >= count.shape[-1] or placed.min() < -1:
        raise ProblemError(
            f"The map holds ids from {placed.min()} to {placed.max()}; tokens are for "
            f"{count.shape[-1]} experts."
        )
    shares = share.reshape(-1, *placed.shape)
    counts = count.reshape(len(shares), len(placed), -1).astype(np.int64)
    rows = [
        [_largest_remainder(*row) for row in zip(s, placed, c, strict=True)]
        for s, c in zip(shares, counts, strict=True)
    ]
    return like(weights, np.array(rows, dtype=np.int64).reshape(share.shape))


def _largest_remainder(share: np.ndarray, placed: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """One layer's splits, int64 [num_slots]."""
    slots = np.flatnonzero(placed >= 0)
    slots = slots[np.argsort(placed[slots], kind="stable")]
    owner = placed[slots]
    num_slots = np.bincount(owner, minlength=len(tokens))
    total = np.bincount(owner, share[slots], len(tokens))
    _require_weights(tokens, num_slots, total)
    quota = share[slots] / np.where(total > 0, total, 1)[owner] * tokens[owner]
    floors = np.floor(quota).astype(np.int64)
    left = tokens - np.bincount(owner, floors, len(tokens)).astype(np.int64)
    # Expert by expert, largest remainder first; the rank within the expert says who gets one.
    order = np.lexsort((floors - quota, owner))
    rank = np.empty_like(owner)
    rank[order] = np.arange(len(owner)) - (np.cumsum(num_slots) - num_slots)[owner]
    floors += rank < left[owner]
    for expert in np.flatnonzero((left < 0) | (left > num_slots)):
        # Quotas of more tokens than a float's digits are off by whole ones.
        mine = np.flatnonzero(owner == expert)
        floors[mine[np.argmax(floors[mine])]] += tokens[expert] - floors[mine].sum()
    parts = np.zeros(len(placed), dtype=np.int64)
    parts[slots] = floors
    return parts


def _require_slots(slots: np.ndarray, num_slots: int) -> None:
    if slots.dtype.kind == "f" or slots.max() >= num_slots:
        raise ProblemError(
            f"The map ({slots.dtype}) names slots up to {slots.max()}; there are {num_slots}."
        )


def _require_weights(tokens: np.ndarray, num_slots: np.ndarray, total: np.ndarray) -> None:
    for expert in np.flatnonzero((tokens > 0) & ~(total > 0)):
        what = "whose weights sum to 0" if num_slots[expert] else "and no slot"
        raise ProblemError(f"Expert {expert} has {tokens[expert]} tokens {what}.")
