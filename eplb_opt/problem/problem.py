"""What is to be planned: loads, slots and topology, validated once."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.problem.arrays import as_numpy
from eplb_opt.problem.checks import COLOCATIONS, DISPATCHES, OBJECTIVES, scenario_weights
from eplb_opt.problem.parts import changed, part_of, without_lost_gpus
from eplb_opt.problem.terms import Terms
from eplb_opt.problem.units import check_loads, to_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.problem.topology import Topology

__all__ = ["COLOCATIONS", "DISPATCHES", "OBJECTIVES", "Problem"]


class Problem(Terms):
    """Expert loads and the machine they are to be spread over.

    The layers are independent. Every slot holds one replica of a logical expert,
    every expert has at least one, and a replica of an expert with `count` of them
    carries `load / count`; or, under optimal dispatch, the part that makes the largest GPU load
    least. The objective of a layer is its largest GPU load.

    With scenarios one plan serves several loads. Each scenario then counts with its largest GPU
    load over its own mean GPU load (1 is perfect; a scenario without load counts as 1), and the
    objective of a layer is their weighted mean or the worst of them.

    With a topology experts have home nodes. The objective of a layer is then its largest over its
    mean GPU load (1 for a layer without load), plus a price times the share of assignments that
    replicas off their expert's home node serve, or, where every GPU sends to one replica, of those
    that cross nodes. With scenarios each counts with that sum, its homes those of all.

    With a cost the objective of a layer is the largest of its GPUs' seconds: the expected ones of
    a step, which every replica adds to by its expert's load and count.

    Parameters
    ----------
    load
        [num_layers, num_experts], or [num_scenarios, num_layers, num_experts]; tokens or any
        unit, not negative. Integers are exact. Floats
        become integers of a power-of-two unit, one a layer: exactly where the layer's total
        stays below 2**62 such units, else rounded down (relative error below 1e-12 of the
        total), and what is reported is widened by that error.
    num_slots
        Physical experts a layer, over all GPUs; slot p is on GPU p // slots_per_gpu.
    num_gpus
        GPUs; node n holds the consecutive ones from n * gpus_per_node.
    num_nodes, num_groups
        With more than one of both the problem is hierarchical: experts come in num_groups equal
        consecutive groups, each node takes equally many, and all replicas of a group's experts
        stay on its node. GPUs may then differ in speed and slots, and nodes in how many they lost,
        under the uniform split. Otherwise nodes constrain nothing.
    colocation
        "allow" or "forbid" two replicas of an expert on one GPU.
    scenario_weights
        [num_scenarios], not negative, some above 0; alike by default. They are divided by their
        sum. With objective "max" a scenario counts in full or, at weight 0, not at all.
    objective
        "mean" or "max" over the scenarios.
    active_gpus
        bool [num_gpus]; a lost GPU's slots stay empty. All by default.
    gpu_slots
        [num_gpus], how many of its slots each GPU can fill, the first ones. All by default.
    gpu_speed
        [num_gpus], relative; a GPU's load counts divided by its speed, and the mean GPU load is
        the total over the sum of the speeds. All 1 by default.
    pinned, forbidden
        Experts that must, or must not, stand on a GPU: (expert, GPU) for every layer, or
        (layer, expert, GPU); or bool masks [num_experts, num_gpus] or with a leading num_layers.

    spread
        "gpu" or "node": every expert has replicas on at least two of them, so that the loss of any
        one leaves it a replica. None for no such rule.
    dispatch
        How tokens are split over an expert's replicas. "uniform": every replica gets the same part.
        "optimal": the engine splits them anew for every load (every scenario) so that the largest
        GPU load is least. "nearest" and "rank_modulo": every GPU sends the same part of each
        expert's tokens, all to one replica. Nearest, as SGLang deals: the expert's only replica,
        else one on the sending GPU, else one on its node (whose numbers count here, whatever the
        groups), else dealt out evenly. Rank modulo, as vllm-ascend does: GPU r sends to replica r
        mod n of the expert's n, in the order of their slots. Lost GPUs send nothing.
    topology
        A `Topology`: what homes experts have, and the price of serving them elsewhere. Groups then
        bind nobody, and any numbers of nodes and groups will do. It goes with any dispatch but
        "optimal"; under "nearest" and "rank_modulo" there are no homes, the price is on what
        crosses nodes, and GPUs are alike. None for no price.
    cost
        A `StepCost`: the seconds that an expert takes for its tokens; what counts are then the
        expected seconds of a step. Or, under the uniform split, a `CostTable`, in a unit of its
        own. It goes with one load and GPUs that are equally fast. None to count loads.
    batch_tokens
        With a `StepCost`: the tokens of each GPU in a step, before they are routed.
    experts_per_token
        With a `StepCost`: how many experts a token is routed to; by default what the cost says.

    Attributes
    ----------
    load
        int64, shaped as it was given, in units of 2**-unit_exponent, read-only.
    unit_exponent
        int64 [num_layers] or [num_scenarios, num_layers]; 0 for integer loads.
    rounded
        bool, of the same shape; True where a float load did not fit and was rounded down.
    load_on_device
        A copy of the loads as they were given, where that was a tensor on a GPU: heuristics that
        compute with tensors take it there. Else None, and None for a part of the layers.
    scenario_weights
        float64 [num_scenarios] as given, or None without scenarios.
    gpu_slots
        int64 [num_gpus], 0 for lost GPUs; None where every slot is filled.
    pinned, forbidden
        bool [num_layers, num_experts, num_gpus] or None.
    costs
        The costs of replicas as integers of a small unit, see `replica_cost`; None without a cost.

    Raises
    ------
    ProblemError
        With the numbers and the mend, for anything that cannot be planned.
    """

    def layer(self, layer_idx: int) -> Problem:
        """The problem of one layer alone; its loads keep the unit of this problem.

        Parameters
        ----------
        layer_idx
            Place of the layer, from 0.

        Returns
        -------
        Problem
            One with a single layer, the same object at every call.
        """
        known = self._layers.get(layer_idx)
        if known is None:
            known = part_of(self, np.s_[..., layer_idx : layer_idx + 1])
            self._layers[layer_idx] = known
        return known

    @cached_property
    def _layers(self) -> dict[int, Problem]:
        """Layers that were asked for before: many ask for the same ones."""
        return {}

    def selected(self, layers: Sequence[int]) -> Problem:
        """The problem of some layers; their loads keep the unit of this problem.

        Parameters
        ----------
        layers
            Places of the layers, from 0, in any order; one may come several times.

        Returns
        -------
        Problem
            One with these layers in this order.
        """
        return part_of(self, np.s_[..., list(layers)])

    def repeated(self, layer_idx: int, times: int) -> Problem:
        """A problem whose layers all are one of this problem's, to score plans of it at once.

        Parameters
        ----------
        layer_idx
            Place of the layer, from 0.
        times
            How many layers the new problem has.

        Returns
        -------
        Problem
            The loads keep the unit of this problem.
        """
        return self.selected([layer_idx] * times)

    def scenario(self, scenario_idx: int) -> Problem:
        """The problem of one scenario alone; its objective is the largest GPU load.

        Parameters
        ----------
        scenario_idx
            Place of the scenario, from 0.

        Returns
        -------
        Problem
            One without scenarios; this problem's own loads where it has none.
        """
        return part_of(self, np.s_[scenario_idx, :] if self.has_scenarios else np.s_[...])

    def without_scenario(self, scenario_idx: int) -> Problem:
        """The problem of all scenarios but one.

        Parameters
        ----------
        scenario_idx
            Place of the scenario to leave out, from 0; there must be others.

        Returns
        -------
        Problem
            The other scenarios keep their weights.

        Raises
        ------
        ProblemError
            When the others have no weight.
        """
        others = [i for i in range(self.num_scenarios) if i != scenario_idx]
        part = part_of(self, np.s_[others, :])
        if self.scenario_weights is not None:
            given = self.scenario_weights[others]
            weights = scenario_weights(given, given.shape, self.objective)
            part.set_field("scenario_weights", weights)
        return part

    def flat(self) -> Problem:
        """The same loads with nothing to keep on a node, and no price on it.

        Returns
        -------
        Problem
            One with a single group and a single node, or, where a dispatch looks at nodes, its own.
        """
        nodes = self.num_nodes if self.dispatch == "nearest" else 1
        return changed(self, num_nodes=nodes, num_groups=1, topology=None)

    def with_load(self, load: np.ndarray) -> Problem:
        """Another load under the same rules, without scenarios.

        Parameters
        ----------
        load
            Tokens or any unit, [num_layers, num_experts].

        Returns
        -------
        Problem
            The loads get a unit of their own.
        """
        values = as_numpy(load, "load")
        if values.shape != self.load.shape[-2:]:
            return replace(self, load=values, scenario_weights=None)
        check_loads(values)
        part = self.scenario(0)
        part.set_loads(*to_units(values))
        part.set_costs()
        return part

    def without_lost_gpus(self) -> Problem | None:
        """The problem of the GPUs that are left, where they are alike.

        Slot p of its plan is the p-th open slot of this problem's.

        Returns
        -------
        Problem or None
            None where no GPU is lost, where those that are left are not alike, where experts are
            tied to GPUs or spread over nodes, or where groups stay on nodes that have lost
            unequally many GPUs: then the problem is planned with its empty slots.
        """
        return without_lost_gpus(self)

    def with_slots(self, num_slots: int) -> Problem:
        """The same loads with other slots: each GPU that has slots gains or loses equally many.

        Parameters
        ----------
        num_slots
            Slots of a layer over all GPUs, a multiple of the GPUs.

        Returns
        -------
        Problem
            All other rules are this problem's.
        """
        more = num_slots // self.num_gpus - self.slots_per_gpu
        slots = self.gpu_slots
        if slots is not None:
            slots = np.where(slots > 0, slots + more, 0)
        return changed(self, num_slots=num_slots, gpu_slots=slots)

    def with_colocation(self, colocation: str) -> Problem:
        """The same loads under another rule for the replicas of one expert.

        Parameters
        ----------
        colocation
            "allow" or "forbid" two of them on one GPU.

        Returns
        -------
        Problem
            All other rules are this problem's.
        """
        return changed(self, colocation=colocation)

    def with_topology(
        self,
        topology: Topology | None,
        num_nodes: int | None = None,
        num_groups: int | None = None,
    ) -> Problem:
        """The same loads with another price on what is served off home.

        Parameters
        ----------
        topology
            Homes, price and rules; None to let groups bind again.
        num_nodes, num_groups
            Other numbers of nodes and groups; None for this problem's.

        Returns
        -------
        Problem
            All other rules are this problem's.

        Raises
        ------
        ProblemError
            When it does not go with another term of the problem.
        """
        return changed(
            self,
            topology=topology,
            num_nodes=num_nodes or self.num_nodes,
            num_groups=num_groups or self.num_groups,
        )

    def with_spread(self, spread: str | None) -> Problem:
        """The same loads with every expert on two GPUs or nodes, or under no such rule.

        Parameters
        ----------
        spread
            "gpu" or "node" for two of them, None for no such rule.

        Returns
        -------
        Problem
            All other rules are this problem's.

        Raises
        ------
        ProblemError
            When the slots do not allow it.
        """
        return changed(self, spread=spread)

    def with_dispatch(self, dispatch: str) -> Problem:
        """The same loads with an expert's tokens shared by its replicas in another way.

        Parameters
        ----------
        dispatch
            "uniform", "optimal", "nearest" or "rank_modulo".

        Returns
        -------
        Problem
            All other rules are this problem's.
        """
        return changed(self, dispatch=dispatch)

    def with_objective(self, objective: str) -> Problem:
        """The same loads with the scenarios put together in another way.

        Parameters
        ----------
        objective
            "mean" or "max" over the scenarios.

        Returns
        -------
        Problem
            All other rules are this problem's.

        Raises
        ------
        ProblemError
            When there is no such way.
        """
        return changed(self, objective=objective)
