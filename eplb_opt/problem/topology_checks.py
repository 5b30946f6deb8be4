"""What the arrays of a topology must be: homes, nodes, costs of links, sources of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_numpy

if TYPE_CHECKING:
    from eplb_opt.problem.terms import Terms

#: A link that costs more than this counts as one that must not be used, which no price can say.
MAX_COST = 1e6
#: Tokens of a source beyond this are slips of the keyboard; sums of fewer fit int64.
MAX_TOKENS = 2**40


def checked_rank_costs(terms: Terms, given: Any) -> np.ndarray:
    """The costs of links, float64 [num_gpus, num_gpus] or [num_nodes, num_nodes].

    Raises
    ------
    ProblemError
        When they are something else, negative, not finite or too large.
    """
    costs = as_numpy(given, "rank_costs")
    sizes = terms.num_gpus, terms.num_nodes
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1] or costs.shape[0] not in sizes:
        raise ProblemError(
            f"rank_costs has shape {list(costs.shape)}; it must be {_square(sizes[0])}, a row and "
            f"a column for each GPU, or {_square(sizes[1])} for nodes."
        )
    _check_values(costs, "rank_costs", MAX_COST, "costs of links")
    return _frozen(costs, np.float64)


def checked_sources(terms: Terms, given: Any) -> np.ndarray:
    """The tokens by sources, int64 or float64 [num_layers, num_gpus or num_nodes, num_experts].

    Raises
    ------
    ProblemError
        When they are something else, negative, not finite or too large.
    """
    sources = as_numpy(given, "sources")
    sizes = terms.num_gpus, terms.num_nodes
    layers, experts = terms.num_layers, terms.num_experts
    if sources.ndim == 2:
        sources = np.broadcast_to(sources, (layers, *sources.shape))
    fits = sources.ndim == 3 and sources.shape[0] == layers and sources.shape[2] == experts
    if not fits or sources.shape[1] not in sizes:
        raise ProblemError(
            f"sources has shape {list(np.shape(given))}; it must be [{layers}, {sizes[0]}, "
            f"{experts}], the tokens of each expert that come from each GPU, or [{layers}, "
            f"{sizes[1]}, {experts}] from each node; without the first size for all layers."
        )
    _check_values(sources, "sources", MAX_TOKENS, "tokens")
    return _frozen(sources, np.float64 if sources.dtype.kind == "f" else np.int64)


def checked_nodes(terms: Terms, given: Any) -> np.ndarray:
    """The node of each GPU, int64 [num_gpus].

    Raises
    ------
    ProblemError
        When they are no integers that rise from 0 and leave out none.
    """
    nodes = as_numpy(given, "nodes")
    if nodes.shape != (terms.num_gpus,) or nodes.dtype.kind not in "iu":
        raise ProblemError(
            f"nodes is {nodes.dtype} {list(nodes.shape)}; it must hold integers "
            f"[{terms.num_gpus}], the node of each GPU."
        )
    steps = np.diff(nodes)
    is_complete = nodes[0] == 0 and nodes[-1] == terms.num_nodes - 1
    if not is_complete or steps.min(initial=0) < 0 or steps.max(initial=0) > 1:
        raise ProblemError(
            f"nodes={nodes.tolist()} must rise from 0 to {terms.num_nodes - 1} and leave out none: "
            "GPUs are numbered node by node."
        )
    nodes = np.array(nodes, dtype=np.int64)
    nodes.flags.writeable = False
    return nodes


def checked_homes(terms: Terms, given: Any) -> np.ndarray:
    """The home node of each expert, int64 [num_layers, num_experts].

    Raises
    ------
    ProblemError
        When one is no node.
    """
    homes = as_numpy(given, "homes")
    wanted = (terms.num_layers, terms.num_experts)
    if homes.shape == wanted[1:]:
        homes = np.broadcast_to(homes, wanted)
    if homes.shape != wanted:
        raise ProblemError(
            f"homes has shape {list(homes.shape)}; it must be {list(wanted)}, a node for each "
            f"expert of each layer, or [{wanted[1]}] for all layers."
        )
    if homes.dtype.kind == "f" or homes.min() < 0 or homes.max() >= terms.num_nodes:
        raise ProblemError(
            f"homes hold {homes.min()} to {homes.max()}; they must be nodes, integers in "
            f"0..{terms.num_nodes - 1}."
        )
    homes = np.array(homes, dtype=np.int64)
    homes.flags.writeable = False
    return homes


def _check_values(values: np.ndarray, name: str, most: float, what: str) -> None:
    tests = (
        (~np.isfinite(values), "not finite"),
        (values < 0, "negative"),
        (values > most, f"above {most:g}"),
    )
    for bad, kind in tests:
        if bad.any():
            at = tuple(np.argwhere(bad)[0].tolist())
            raise ProblemError(
                f"{name}[{', '.join(map(str, at))}] = {values[at]} is {kind} ({int(bad.sum())} "
                f"such of {values.size}); {what} are finite, at least 0 and at most {most:g}."
            )


def _square(size: int) -> str:
    return f"[{size}, {size}]"


def _frozen(values: np.ndarray, dtype: Any) -> np.ndarray:
    array = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array
