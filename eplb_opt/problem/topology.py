"""A price on what is served away from home: experts have home nodes, which bind nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_number
from eplb_opt.problem.topology_checks import (
    checked_homes,
    checked_nodes,
    checked_rank_costs,
    checked_sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb_opt.problem.terms import Terms

#: The largest price; at 1 a token served off home already weighs as much as a whole mean load.
MAX_PRICE = 1e6


@dataclass(frozen=True, eq=False)
class Topology:
    """Locality with a price: how much load a plan gives up to serve experts on their home nodes.

    Every expert has a home node. Replicas may stand anywhere; each serves the same part of its
    expert's assignments, and what replicas on other nodes serve is *off home*. A layer's objective
    is its largest GPU load over the mean GPU load, plus `price` times the off-home share of all
    assignments. With scenarios each of them has such a sum, with the same homes.

    Links between GPUs may cost other than 0 within a node and 1 between two, `rank_costs`, and
    tokens may come from elsewhere than their expert's home, `sources`. An assignment then costs
    the mean over its sources of the link's cost to the GPU that serves it, and the mean over all
    assignments stands for the off-home share.
    Where every GPU sends an expert's tokens to one replica (dispatch "nearest" or "rank_modulo"),
    experts have no homes: an assignment is off home where that replica stands on another node than
    the GPU that sends it, so that it crosses nodes.

    Parameters
    ----------
    price
        The worth of the off-home share, in mean GPU loads, from 0 on: at 0.3 a plan may raise its
        largest load by 0.3 % of the mean for every percent of assignments that it keeps at home.
        A float is taken as the decimal number that it is written as.
    homes
        The home node of each expert, integers [num_layers, num_experts], or [num_experts] for all
        layers. None to choose them with the plan: every group of experts gets a node, and nodes get
        equally many groups (or differ by one where the numbers do not divide). None where GPUs
        send.
    anchored
        Whether every expert must keep a replica on its home node.
    max_off_home
        The largest off-home share that a plan may have, 0 to 1, or with `rank_costs` the largest
        mean cost of an assignment; None for any. It limits scenarios' weighted mean or the largest.
    nodes
        The node of each GPU, integers [num_gpus] that never fall and leave out none; None for nodes
        of equally many GPUs, of which the last may have fewer.
    rank_costs
        What the link from each GPU (row) to each GPU (column) costs, float [num_gpus, num_gpus], or
        [num_nodes, num_nodes] for nodes: finite, at least 0, of any unit. They are taken as the
        decimal numbers that they are written as. None for 0 on a node and 1 across.
    sources
        How many tokens of each expert come from each GPU or node, [num_layers, num_gpus or
        num_nodes, num_experts], or without layers for all of them. Shares alone count. An expert
        without tokens gets them from where all tokens of its layer come. What comes from a node
        comes evenly from its GPUs. None where an expert's tokens come from its home node; with
        sources homes are not needed.

    Raises
    ------
    ProblemError
        When a value cannot be used.
    """

    price: float = 0.3
    homes: np.ndarray | None = None
    anchored: bool = False
    max_off_home: float | None = None
    nodes: np.ndarray | None = None
    rank_costs: np.ndarray | None = None
    sources: np.ndarray | None = None

    def __post_init__(self) -> None:
        price = as_number(self.price, "price")
        if price > MAX_PRICE:
            raise ProblemError(f"price={price:g} is above {MAX_PRICE:g}; take that at most.")
        object.__setattr__(self, "price", price)
        if not isinstance(self.anchored, bool | np.bool_):
            raise ProblemError(f"anchored={self.anchored!r} must be True or False.")
        if self.max_off_home is not None:
            most = as_number(self.max_off_home, "max_off_home")
            if most > 1 and self.rank_costs is None:
                raise ProblemError(f"max_off_home={most:g} is a share, from 0 to 1.")
            object.__setattr__(self, "max_off_home", most)

    @property
    def exact_price(self) -> Fraction:
        """The price as the decimal number that it is written as."""
        return Fraction(repr(self.price))

    @property
    def most_off_home(self) -> Fraction:
        """The largest off-home share, as the decimal number that it is written as; 1 for any."""
        return Fraction(1) if self.max_off_home is None else Fraction(repr(self.max_off_home))

    @property
    def chooses_homes(self) -> bool:
        """Whether every group of experts gets a node with the plan."""
        return self.homes is None and self.sources is None

    @property
    def counts_off_home(self) -> bool:
        """Whether an assignment costs 0 at home and 1 elsewhere."""
        return self.rank_costs is None and self.sources is None

    @property
    def keeps_all_at_home(self) -> bool:
        """Whether a rule needs room on the nodes for a replica of all that is at home there."""
        return self.anchored or (self.max_off_home is not None and self.sources is None)


def of_layers(topology: Topology, layers: Any) -> Topology:
    """The topology of some of the layers."""
    parts = {}
    for name in ("homes", "sources"):
        whole = getattr(topology, name)
        if whole is not None:
            parts[name] = whole[layers]
            parts[name].flags.writeable = False
    return replace(topology, **parts) if parts else topology


def of_gpus(terms: Terms, topology: Topology, is_kept: np.ndarray) -> Topology:
    """The topology of some of the GPUs, bool [num_gpus]; tokens come from these alone."""
    parts = {"nodes": node_of_gpus(terms)[is_kept]}
    costs, sources = topology.rank_costs, topology.sources
    if costs is not None and len(costs) == terms.num_gpus:
        parts["rank_costs"] = costs[np.ix_(is_kept, is_kept)]
    if sources is not None and sources.shape[1] == terms.num_gpus:
        parts["sources"] = sources[:, is_kept]
    return replace(topology, **parts)


def fitted(terms: Terms) -> Topology | None:
    """The topology of a problem with its homes as int64 [num_layers, num_experts].

    Raises
    ------
    ProblemError
        When it does not go with another term of the problem, or a home is no node.
    """
    topology = terms.topology
    if topology is None:
        return None
    if not isinstance(topology, Topology):
        raise ProblemError(f"topology={topology!r} is no eplb_opt.Topology.")
    _check_combination(terms)
    checked: dict[str, Any] = {
        name: check(terms, getattr(topology, name))
        for name, check in FIELDS.items()
        if getattr(topology, name) is not None
    }
    homes = checked.get("homes")
    if terms.splits_by_sender:
        _check_senders(terms.dispatch, topology)
    elif topology.chooses_homes:
        _check_groups(terms)
    found = replace(topology, **checked)
    terms.set_field("topology", found)
    _check_lost(terms)
    if topology.anchored and homes is None and topology.sources is not None:
        raise ProblemError("anchored needs homes: sources alone do not say where experts are home.")
    if topology.keeps_all_at_home and not terms.splits_by_sender:
        _check_room(terms, homes)
    return found


#: What a priced topology does not go with: a test, and what to say.
REFUSED: tuple[tuple[Callable[[Terms], bool], str, str], ...] = (
    (
        lambda t: t.has_scenarios and (t.splits_by_sender or prices_links(t)),
        "several loads by senders, or with rank_costs or sources",
        "take one load, or leave these out",
    ),
    (
        lambda t: t.dispatch == "optimal",
        'dispatch="optimal", whose splits for the least largest load differ in what crosses nodes',
        'take "uniform", "nearest" or "rank_modulo"',
    ),
    (
        lambda t: t.splits_by_sender and has_unlike_gpus(t),
        "GPUs of unlike speeds or slots under a dispatch by senders",
        "leave gpu_speed and gpu_slots out",
    ),
    (lambda t: t.pinned is not None, "pinned", "leave it out"),
    (lambda t: t.forbidden is not None, "forbidden", "leave it out"),
    (lambda t: t.spread is not None, "spread", "leave it out"),
)


def prices_links(terms: Terms) -> bool:
    """Whether costs of links or sources of tokens are given."""
    return terms.topology is not None and not terms.topology.counts_off_home


def has_unlike_gpus(terms: Terms) -> bool:
    """Whether GPUs that are there differ in speed or slots."""
    is_whole = np.isin(terms.open_slots, (0, terms.slots_per_gpu)).all()
    return terms.gpu_speed is not None or not bool(is_whole)


def _check_combination(terms: Terms) -> None:
    for test, name, mend in REFUSED:
        if test(terms):
            raise ProblemError(
                f"topology does not go with {name}: it takes loads that are split uniformly or by "
                "the GPUs that send, with colocation allowed or forbidden. "
                f"So {mend}, or plan without a topology."
            )
    rules = terms.topology
    has_links = rules is not None and rules.rank_costs is not None and rules.sources is not None
    if terms.num_nodes < 2 and not has_links:
        raise ProblemError(
            "topology needs num_nodes above 1: on one node everything is at home. Or give "
            "rank_costs and sources."
        )
    size = -(-terms.num_gpus // terms.num_nodes)
    is_equal = terms.topology is None or terms.topology.nodes is None
    if is_equal and size * (terms.num_nodes - 1) >= terms.num_gpus:
        raise ProblemError(
            f"{terms.num_gpus} GPUs on num_nodes={terms.num_nodes} make nodes of {size} GPUs, and "
            f"{-(-terms.num_gpus // size)} of these hold all. Take that many nodes."
        )


def _check_senders(dispatch: str, topology: Topology) -> None:
    """Refuse what is of homes where GPUs send: tokens come from everywhere, and none is at home."""
    given = {
        "homes": topology.homes is not None,
        "anchored": topology.anchored,
        "rank_costs": topology.rank_costs is not None,
        "sources": topology.sources is not None,
    }
    for name, is_given in given.items():
        if is_given:
            raise ProblemError(
                f'{name} means nothing under dispatch="{dispatch}": every GPU sends the same part '
                "of each expert's tokens, so no node is an expert's home, and the price is on what "
                f'crosses nodes. Leave {name} out, or take dispatch="uniform".'
            )


def _check_groups(terms: Terms) -> None:
    if terms.num_groups < 2:
        raise ProblemError(
            "Without homes every group of experts gets a node, and there is one group. Take "
            "num_groups above 1, or give homes, a node for each expert."
        )
    size = experts_per_group(terms)
    if size * (terms.num_groups - 1) >= terms.num_experts:
        raise ProblemError(
            f"{terms.num_experts} experts in num_groups={terms.num_groups} make groups of {size}, "
            f"and {-(-terms.num_experts // size)} of these hold all. Take that many groups."
        )


def _check_lost(terms: Terms) -> None:
    """Every node keeps a GPU: what was at home on one without any would have no home."""
    left = gpus_of_nodes(terms)
    if not left.all():
        raise ProblemError(
            f"Node {int(np.argmin(left))} has lost all of its GPUs, and a topology needs one on "
            "every node. Plan for the nodes that are left, as a machine of their own."
        )


def _check_room(terms: Terms, homes: np.ndarray | None) -> None:
    """Refuse rules on what is off home where a node has no room for all that is at home there."""
    slots = slots_of_nodes(terms)
    advice = (
        "anchored and max_off_home need room for a replica of each expert at home. Take more "
        "slots, other homes, or neither rule."
    )
    if homes is None:
        _, most = group_rooms(terms)
        if int(most.sum()) < terms.num_groups:
            raise ProblemError(
                f"Nodes of {int(slots.max())} slots have room for {int(most.sum())} groups of "
                f"{experts_per_group(terms)} experts, not for {terms.num_groups}; {advice}"
            )
        return
    for layer_idx, row in enumerate(homes):
        held = np.bincount(row, minlength=terms.num_nodes)
        if (held > slots).any():
            node = int(np.argmax(held - slots))
            raise ProblemError(
                f"layer {layer_idx}: {held[node]} experts are at home on node {node}, which has "
                f"{slots[node]} slots; {advice}"
            )


#: Fields that are arrays, and what checks them.
FIELDS = {
    "homes": checked_homes,
    "nodes": checked_nodes,
    "rank_costs": checked_rank_costs,
    "sources": checked_sources,
}


def node_of_gpus(terms: Terms) -> np.ndarray:
    """The node of each GPU, int64 [num_gpus]: equal nodes, the last one smaller where need be.

    Unless the topology says otherwise; GPUs that are lost have a node, too.
    """
    if terms.topology is not None and terms.topology.nodes is not None:
        return terms.topology.nodes
    return equal_nodes(terms)


def equal_nodes(terms: Terms) -> np.ndarray:
    """The node of each GPU where nodes have equally many, or the last fewer, int64 [num_gpus]."""
    return np.arange(terms.num_gpus) // -(-terms.num_gpus // terms.num_nodes)


def node_of_slots(terms: Terms) -> np.ndarray:
    """The node of each slot, int64 [num_slots]."""
    return np.repeat(node_of_gpus(terms), terms.slots_per_gpu)


def gpus_of_nodes(terms: Terms) -> np.ndarray:
    """GPUs of each node that are there, int64 [num_nodes]."""
    return np.bincount(node_of_gpus(terms)[terms.open_slots > 0], minlength=terms.num_nodes)


def slots_of_nodes(terms: Terms) -> np.ndarray:
    """Slots of each node that can be filled, int64 [num_nodes]."""
    slots = np.zeros(terms.num_nodes, dtype=np.int64)
    np.add.at(slots, node_of_gpus(terms), terms.open_slots)
    return slots


def experts_per_group(terms: Terms) -> int:
    """Experts of each group; the last one is smaller where need be."""
    return -(-terms.num_experts // terms.num_groups)


def group_of_experts(terms: Terms) -> np.ndarray:
    """The group of each expert, int64 [num_experts]."""
    return np.arange(terms.num_experts) // experts_per_group(terms)


def group_rooms(terms: Terms) -> tuple[np.ndarray, np.ndarray]:
    """The fewest and the most groups at home on each node, int64 [num_nodes] each.

    Nodes get equally many, or differ by one. Under a rule on what is off home a node takes no more
    than its slots can hold a replica of.
    """
    least = np.full(terms.num_nodes, terms.num_groups // terms.num_nodes)
    most = np.full(terms.num_nodes, -(-terms.num_groups // terms.num_nodes))
    topology = terms.topology
    if topology is not None and topology.keeps_all_at_home:
        most = np.minimum(most, slots_of_nodes(terms) // experts_per_group(terms))
    return np.minimum(least, most), most
