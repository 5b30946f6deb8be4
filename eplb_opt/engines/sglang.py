"""SGLang: our placement behind its `eplb_algorithms.rebalance_experts`.

Opt-in, for SGLang runs every installed plugin in every process. Install this package next to SGLang
and start it with::

    EPLB_OPT_SGLANG=1 python -m sglang.launch_server ... --enable-eplb

Then the entry point `eplb_opt` of the group `sglang.srt.plugins` calls `install()`. Where
SGLANG_PLUGINS is set it must name `eplb_opt`, too. A program of one's own may call `install()`
itself, outside `if __name__ == "__main__"`, so that the processes it spawns do so as well.
EPLB_OPT_EFFORT (default 100) says how much work is put into a plan. Plans stay near the map in
force, which SGLang keeps in every process: EPLB_OPT_MOVE_TOLERANCE (default 0.003) says how level
they have to be, or EPLB_OPT_MOVE_COST what moving costs; below EPLB_OPT_MIN_GAIN nothing moves.
Every rank plans by itself, so the variables must be the same on all of them.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

from eplb_opt.engines.every_rank import is_asked_for, place
from eplb_opt.engines.tensors import cpu_tensor
from eplb_opt.errors import EngineError, ProblemError
from eplb_opt.problem.arrays import as_int

if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER = logging.getLogger("eplb_opt")

#: The environment variable that asks for `install()` in every process.
SWITCH_VARIABLE = "EPLB_OPT_SGLANG"
MODULE = "sglang.srt.eplb.eplb_algorithms"
FUNCTION = "rebalance_experts"
#: Where SGLang keeps the map in force.
LOCATION_MODULE = "sglang.srt.eplb.expert_location"
LOCATION_FUNCTION = "get_global_expert_location_metadata"
#: SGLang's algorithms that we stand in for, and whether groups stay on a node. The others, which
#: know of ranks that are down, stay SGLang's own.
HIERARCHICAL = {
    "deepseek": False,
    "deepseek_hierarchical": True,
    "deepseek_vec": False,
    "deepseek_vec_hierarchical": True,
}


def rebalance_experts(
    tokens_per_expert: Any,
    num_physical_experts: int,
    num_local_physical_experts: int,
    num_groups: int | None,
    num_nodes: int,
    algorithm: Any,
    *,
    effort: int | None = None,
    current: Any = None,
) -> tuple[Any, Any, Any]:
    """Place all experts, called as SGLang calls; the same bytes on every rank.

    Parameters
    ----------
    tokens_per_expert
        [num_steps, num_layers, num_experts], a tensor on any device; the steps are added.
    num_physical_experts, num_local_physical_experts
        Slots a layer, and slots a GPU.
    num_groups, num_nodes
        Of the hierarchical algorithms.
    algorithm
        A member of SGLang's EplbAlgorithm, or its name.
    effort
        Counted work a layer; None for EPLB_OPT_EFFORT.
    current
        The map in force, [num_layers, num_physical_experts]; the plan stays near it, see
        `eplb_opt.engines.every_rank.place`.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_physical_experts], logical_to_all_physical int64
    [num_layers, num_experts, largest count] padded with -1, expert_count int64 [num_layers,
    num_experts]; tensors on the host.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned, or an algorithm that is none of `HIERARCHICAL`.
    MissingDependency
        With effort, where SciPy or OR-Tools is missing.
    """
    name = _name(algorithm)
    if name not in HIERARCHICAL:
        raise ProblemError(f"algorithm {name!r} is not ours; ours: {', '.join(HIERARCHICAL)}.")
    if tokens_per_expert.ndim != 3:
        raise ProblemError(
            f"tokens_per_expert has shape {list(tokens_per_expert.shape)}; it must be "
            "[num_steps, num_layers, num_experts]."
        )
    local = as_int(num_local_physical_experts, "num_local_physical_experts")
    slots = as_int(num_physical_experts, "num_physical_experts")
    if slots % local:
        raise ProblemError(
            f"num_physical_experts={slots} is no multiple of num_local_physical_experts={local}."
        )
    groups, nodes = _topology(num_groups, num_nodes) if HIERARCHICAL[name] else (1, 1)
    maps = place(tokens_per_expert.sum(0), slots, groups, nodes, slots // local, effort, current)
    physical, logical, count = (cpu_tensor(array) for array in maps)
    return physical, logical, count


def install(*, effort: int | None = None) -> None:
    """Make SGLang plan with us in this process, until `uninstall`.

    Parameters
    ----------
    effort
        Counted work a layer, the same on all ranks; None for EPLB_OPT_EFFORT.

    Raises
    ------
    EngineError
        When this SGLang has no such function.
    """
    uninstall()
    try:
        own = getattr(importlib.import_module(MODULE), FUNCTION)
    except (ImportError, AttributeError) as error:
        raise EngineError(f"This SGLang has no {MODULE}.{FUNCTION} to replace: {error}") from error
    _replace(own, _drop_in(own, effort))
    LOGGER.info("SGLang's %s.%s is now eplb-opt's", MODULE, FUNCTION)


def uninstall() -> None:
    """Give SGLang its own function back; nothing happens where ours is not in place."""
    ours = getattr(sys.modules.get(MODULE), FUNCTION, None)
    own = getattr(ours, "eplb_opt_replaces", None)
    if own is not None:
        _replace(ours, own)


def register() -> None:
    """Install where EPLB_OPT_SGLANG asks for it; SGLang calls this once in every process.

    Raises
    ------
    EngineError, ProblemError
        As of `install`; and when EPLB_OPT_SGLANG is neither 1 nor 0.
    """
    if is_asked_for(SWITCH_VARIABLE):
        install()


def _drop_in(own: Callable[..., Any], effort: int | None) -> Callable[..., Any]:
    """Ours for our algorithms, SGLang's own function for the others."""

    @functools.wraps(own)
    def call(
        tokens_per_expert: Any,
        num_physical_experts: int,
        num_local_physical_experts: int,
        num_groups: int | None,
        num_nodes: int,
        algorithm: Any,
    ) -> Any:
        numbers = (num_physical_experts, num_local_physical_experts, num_groups, num_nodes)
        if _name(algorithm) not in HIERARCHICAL:
            return own(tokens_per_expert, *numbers, algorithm)
        current = map_in_force(tokens_per_expert.shape[1], num_physical_experts)
        return rebalance_experts(
            tokens_per_expert, *numbers, algorithm, effort=effort, current=current
        )

    call.eplb_opt_replaces = own  # type: ignore[attr-defined]
    return call


def map_in_force(num_layers: int, num_slots: int) -> Any:
    """The map by which SGLang dispatches in this process, [num_layers, num_slots], or None.

    SGLang's call does not pass it; every rank has it beside the call, and the same one, for all
    dispatch by it. None before the first map, for other sizes, and in releases that keep it
    elsewhere: all ranks are of one release, so that they plan freely together. A last answer of
    our own is not remembered: a rank that joins late would not have it.
    """
    module = sys.modules.get(LOCATION_MODULE)
    if module is None or not hasattr(module, LOCATION_FUNCTION):
        return None
    try:
        metadata = getattr(module, LOCATION_FUNCTION)()
    except (AttributeError, RuntimeError, LookupError) as error:
        LOGGER.debug("SGLang has no map yet: %s", error)
        return None
    placed = getattr(metadata, "physical_to_logical_map_cpu", None)
    if placed is None or tuple(placed.shape) != (num_layers, num_slots):
        return None
    return placed


def _replace(before: Any, after: Any) -> None:
    """Put one function in the place of another wherever SGLang has it under its name."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "sglang" and getattr(module, "__dict__", {}).get(FUNCTION) is (
            before
        ):
            setattr(module, FUNCTION, after)


def _topology(num_groups: int | None, num_nodes: int) -> tuple[int, int]:
    """Groups and nodes of a hierarchical algorithm: asked for by name, so no falling back."""
    groups, nodes = as_int(num_groups or 1, "num_groups"), as_int(num_nodes, "num_nodes")
    if groups % nodes:
        raise ProblemError(
            f"num_groups={groups} is no multiple of num_nodes={nodes}: take an algorithm that is "
            "not hierarchical, or let SGLang choose (auto)."
        )
    return groups, nodes


def _name(algorithm: Any) -> str:
    return str(getattr(algorithm, "name", algorithm))
