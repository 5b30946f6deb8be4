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
With static dispatch, SGLang's default, plans are for its nearest copies; EPLB_OPT_DISPATCH=uniform
asks for plans for the uniform split. With EPLB_OPT_TOPOLOGY_PRICE, which takes the uniform split,
the groups of experts bind to no node, under any of the algorithms; what is served away from its
node has that price. Every rank plans by itself, so the variables must be the same on all of them.

With SGLang's elastic expert parallelism (`--elastic-ep-backend`, whose algorithms are
elasticity_aware and elasticity_aware_hierarchical) a rank may be lost and return. Every expert then
gets a slot on a rank that is there, for the fewest moves that are found; what can stay stays.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.engines.by_senders import UNIFORM, chosen_dispatch
from eplb_opt.engines.every_rank import chosen_price, is_asked_for, place
from eplb_opt.engines.tensors import cpu_tensor
from eplb_opt.errors import EngineError, ProblemError
from eplb_opt.problem.arrays import as_int, as_numpy

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
#: Where SGLang keeps its arguments, and its name for the dispatch to the nearest copy.
ARGUMENTS_MODULE = "sglang.srt.server_args"
ARGUMENTS_FUNCTION = "get_global_server_args"
STATIC, NEAREST = "static", "nearest"
#: Where SGLang keeps which ranks are there.
ELASTIC_MODULE = "sglang.srt.elastic_ep.elastic_ep"
ELASTIC_STATE = "ElasticEPStateManager"
#: SGLang's algorithms that we stand in for, and whether groups stay on a node. Others stay its own.
HIERARCHICAL = {
    "deepseek": False,
    "deepseek_hierarchical": True,
    "deepseek_vec": False,
    "deepseek_vec_hierarchical": True,
    "elasticity_aware": False,
    "elasticity_aware_hierarchical": True,
}
#: Those that look at which ranks are there.
ELASTIC = ("elasticity_aware", "elasticity_aware_hierarchical")
#: The expert that SGLang's maps name in all slots of a lost rank. No token is sent there: the other
#: two maps leave these slots out.
LOST_EXPERT = 0


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
    active_ranks: Any = None,
    dispatch: str | None = None,
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
        `eplb_opt.engines.every_rank.place`. A rank all of whose slots hold `LOST_EXPERT` in every
        layer was lost when the map was made, and has nothing that could stay.
    active_ranks
        Of the algorithms in `ELASTIC`: for every rank a number, 0 where it is lost; None where all
        are there. Groups do not bind while one is lost, as in SGLang.
    dispatch
        "nearest" for SGLang's static dispatch, or "uniform"; None for EPLB_OPT_DISPATCH, or what
        SGLang's server arguments say.

    Returns
    -------
    physical_to_logical int64 [num_layers, num_physical_experts], with `LOST_EXPERT` on lost ranks;
    logical_to_all_physical int64 [num_layers, num_experts, largest count] padded with -1, and
    expert_count int64 [num_layers, num_experts], of the ranks that are there; tensors on the host.

    Raises
    ------
    ProblemError
        For loads or sizes that cannot be planned, an algorithm that is none of `HIERARCHICAL`, or
        fewer slots than experts on the ranks that are there.
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
    active = None
    if name in ELASTIC:
        active = _as_flags(active_ranks, slots // local)
        current = _without_lost(current, local)
    groups, nodes = _topology(num_groups, num_nodes, binds=HIERARCHICAL[name])
    sizes = slots, groups, nodes, slots // local
    sent = dispatch or chosen_dispatch(dispatch_in_force())
    machine = sent, as_int(num_nodes, "num_nodes")
    maps = place(tokens_per_expert.sum(0), *sizes, effort, current, active, LOST_EXPERT, machine)
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
    """Ours for our algorithms, SGLang's own function for others and for what we cannot read."""

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
        name = _name(algorithm)
        active = None
        if name in ELASTIC:
            active = ranks_in_force(num_physical_experts // num_local_physical_experts)
        if name not in HIERARCHICAL or (name in ELASTIC and active is None):
            return own(tokens_per_expert, *numbers, algorithm)
        current = map_in_force(tokens_per_expert.shape[1], num_physical_experts)
        return rebalance_experts(
            tokens_per_expert,
            *numbers,
            algorithm,
            effort=effort,
            current=current,
            active_ranks=active,
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


def dispatch_in_force() -> str:
    """How SGLang sends tokens to copies in this process: "nearest" or "uniform".

    With `--ep-dispatch-algorithm static`, which SGLang chooses where none is named, every rank
    sends an expert's tokens to one copy, the nearest; the other algorithms spread them. "uniform"
    where SGLang is not running or keeps its arguments elsewhere: all ranks are of one release.
    """
    module = sys.modules.get(ARGUMENTS_MODULE)
    try:
        arguments = getattr(module, ARGUMENTS_FUNCTION)()
    except (AttributeError, TypeError, ValueError, RuntimeError, LookupError) as error:
        LOGGER.debug("SGLang's server arguments are not to be read: %s", error)
        return UNIFORM
    is_static = getattr(arguments, "ep_dispatch_algorithm", None) == STATIC
    return NEAREST if is_static else UNIFORM


def ranks_in_force(num_ranks: int) -> np.ndarray | None:
    """Which ranks are there by SGLang's own account, bool [num_ranks]; None where it has none.

    All are where elastic expert parallelism is off. SGLang's flags may go on with ranks that have
    never joined; they are left out.
    """
    try:
        state = getattr(importlib.import_module(ELASTIC_MODULE), ELASTIC_STATE).instance()
        if state is None:
            return np.ones(num_ranks, dtype=bool)
        flags = _flags(state.active_ranks)
    except (ImportError, AttributeError) as error:
        LOGGER.warning("SGLang does not say which ranks are there, so it plans itself: %s", error)
        return None
    if flags.ndim != 1 or len(flags) < num_ranks:
        LOGGER.warning("SGLang's active_ranks is %s, so it plans itself", list(flags.shape))
        return None
    return flags[:num_ranks]


def _flags(values: Any) -> np.ndarray:
    """Where numbers or flags, also of a tensor on a device, are not 0."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(np.asarray(values) != 0)


def _as_flags(active_ranks: Any, num_ranks: int) -> np.ndarray:
    """For every rank whether it is there, bool [num_ranks]."""
    if active_ranks is None:
        return np.ones(num_ranks, dtype=bool)
    flags = _flags(active_ranks)
    if flags.shape != (num_ranks,):
        raise ProblemError(
            f"active_ranks has shape {list(flags.shape)}; it must be [{num_ranks}], one a rank."
        )
    return flags


def _without_lost(current: Any, slots_per_rank: int) -> Any:
    """The map in force with nothing on ranks that were lost when it was made."""
    if current is None:
        return None
    placed = as_numpy(current, "current")
    if placed.ndim != 2 or placed.shape[1] % slots_per_rank:
        return placed  # refused later, with the shape that it should have
    is_lost = (placed == LOST_EXPERT).all(axis=0).reshape(-1, slots_per_rank).all(axis=1)
    return np.where(np.repeat(is_lost, slots_per_rank), -1, placed)


def _replace(before: Any, after: Any) -> None:
    """Put one function in the place of another wherever SGLang has it under its name."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "sglang" and getattr(module, "__dict__", {}).get(FUNCTION) is (
            before
        ):
            setattr(module, FUNCTION, after)


def _topology(num_groups: int | None, num_nodes: int, *, binds: bool) -> tuple[int, int]:
    """Groups and nodes of an algorithm; a hierarchical one was asked for, so no falling back.

    With a price (EPLB_OPT_TOPOLOGY_PRICE) groups bind in none, and need not divide.
    """
    groups, nodes = as_int(num_groups or 1, "num_groups"), as_int(num_nodes, "num_nodes")
    if chosen_price() is not None:
        return groups, nodes
    if not binds:
        return 1, 1
    if groups % nodes:
        raise ProblemError(
            f"num_groups={groups} is no multiple of num_nodes={nodes}: take an algorithm that is "
            "not hierarchical, or let SGLang choose (auto)."
        )
    return groups, nodes


def _name(algorithm: Any) -> str:
    return str(getattr(algorithm, "name", algorithm))
