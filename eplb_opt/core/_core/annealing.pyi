"""Annealing under several loads, designs and losses."""

from typing import Annotated

import numpy
from numpy.typing import NDArray


class Machine:
    """
    The GPUs of one layer that have slots, and what may stand on them.

    `rate` (float64 [num_gpus]) is what a GPU's load is multiplied by, 1 over its
    speed; `first` (int64 [num_gpus + 1]) the first slot of each, and the end of
    the last. `ties` (int8 [num_gpus, num_experts], or no rows) holds 1 where the
    expert must not stand on the GPU and 2 where it must; `unit` (int64
    [num_slots], or empty) the GPU or node of which every expert needs two.
    No replica leaves its node of `node_size` slots; with `apart` no expert
    stands twice on a GPU.
    """

    def __init__(self, rate: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], first: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], ties: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], unit: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], node_size: int, apart: bool) -> None: ...

class Chance:
    """
    Where the randomness of a search comes from.

    `thresholds` (float64 [1024]) are samples of the exponential distribution;
    `state`, not 0, is what the random numbers begin with.
    """

    def __init__(self, thresholds: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], state: int) -> None: ...

class ScenarioSearch:
    """
    Annealing of one layer under several loads.

    `weight` (float64 [num_experts, num_scenarios]) are loads over the mean GPU load of their
    scenario, `share` (float64 [num_scenarios]) is what each scenario counts; with `worst` the
    worst one counts instead. `slots` (int64 [num_slots]) is the plan to start from, and `held`
    (bool [num_gpus, num_experts], or no rows) what the plan in force has on a GPU: then the
    best plan is kept for every number of moved slots.
    """

    def __init__(self, machine: Machine, weight: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], worst: bool, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.bool_], dict(shape=(None, None), order='C', device='cpu', writable=False)], chance: Chance) -> None: ...

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan; the best ones are kept."""

    def anneal(self, doublings: int, temperature: float, price: float, transfers: int, slices: int, seconds: float) -> None:
        """
        So many slices of 256 swaps and copy transfers, fewer where the seconds are over.

        The norm's p is 2**doublings; `temperature` and `price`, of a moved slot, are in units
        of the objective; `transfers` of 1024 proposals are copy transfers.
        """

    def anneal_mended(self, doublings: int, temperature: float, proposals: int, seconds: float) -> None:
        """So many copy transfers, each with the swaps that mend what it spoils."""

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""

    @property
    def best(self) -> float:
        """The best objective with any number of moves."""

    def values(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        The best objective with each number of moved slots, float64 [num_slots + 1] or [1].
        """

    def plan(self, kept: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The plan of that entry of `values`, int64 [num_slots]."""

class LossSearch:
    """
    Annealing of one layer for the least largest load after any single loss.

    `weight` (float64 [num_experts]) are loads over the mean that the largest loss leaves;
    GPUs with the same number in `unit` (int64 [num_gpus], below num_gpus) are lost together;
    experts in `guarded` (bool [num_experts]) stay in two units. `slots` (int64 [num_slots]) is
    the plan to start from.
    """

    def __init__(self, machine: Machine, weight: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], unit: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], guarded: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], chance: Chance) -> None: ...

    def anneal(self, most: float, doublings: int, temperature: float, proposals: int, seconds: float) -> None:
        """
        So many swaps and copy transfers, fewer where the seconds are over.

        No loss may take more than `most` tokens for good, in units of the weights; the norm's
        p is 2**doublings, and `temperature` in its units.
        """

    def restart(self) -> None:
        """Go on from the best plan."""

    @property
    def best(self) -> float:
        """The best plan's largest load after any loss."""

    def plan(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The best plan, int64 [num_slots]."""

    @property
    def largest_load(self) -> float:
        """The largest load after any loss, of the plan that the search is at."""

    @property
    def most_taken(self) -> float:
        """
        The most tokens that one loss takes for good now, in units of the weights.
        """

class DesignLoads:
    """
    What a design is made for.

    `weight` (float64 [num_experts, num_loads]) are loads over the mean GPU load;
    with `worst` the worst of them counts instead of their weighted mean. A copy
    goes from one expert to another only where the former's replicas are then at
    most `slack` times as heavy as the latter's are now, by `heaviest` (float64
    [num_experts]).
    """

    def __init__(self, weight: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], worst: bool, heaviest: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], slack: float) -> None: ...

class DesignSearch:
    """
    Annealing of a placement for optimal dispatch.

    `slots` (int64 [num_slots]) is the plan to start from, and `held` (bool [num_gpus,
    num_experts], or no rows) what the plan in force has on a GPU: then the best plan is kept
    for every number of moved slots. The loads count nothing before `set_shares`.
    """

    def __init__(self, machine: Machine, loads: DesignLoads, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], held: Annotated[NDArray[numpy.bool_], dict(shape=(None, None), order='C', device='cpu', writable=False)], chance: Chance) -> None: ...

    def set_shares(self, share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """What each load counts, float64 [num_loads]."""

    def change_loads(self, weight: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)]) -> None:
        """Other loads; every expert keeps the parts of its split."""

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan; the best ones are kept."""

    def anneal(self, doublings: int, temperature: float, price: float, transfers: int, proposals: int, seconds: float) -> None:
        """
        So many swaps and copy transfers, fewer where the seconds are over, between two looks.

        The norm's p is 2**doublings; `temperature` and `price`, of a moved slot, are in units
        of the objective; `transfers` of 1024 proposals are copy transfers.
        """

    def forget_best(self) -> None:
        """
        Forget the values of the best plans; the plans stay until better ones come.
        """

    def peaks(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """The largest GPU load under each load, float64 [num_loads]."""

    def values(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        The best objective with each number of moved slots, float64 [num_slots + 1] or [1].
        """

    def plan(self, kept: int) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The plan of that entry of `values`, int64 [num_slots]."""

    def slots(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The plan at present, int64 [num_slots]."""

    def flow(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C')]:
        """What each slot gets under each load, float64 [num_slots, num_loads]."""

    def load(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C')]:
        """What each GPU gets times its rate, float64 [num_gpus, num_loads]."""

class TopologySearch:
    """
    Annealing of one layer for its largest GPU load plus a price on what is served off home.

    `share` (float64 [num_experts]) is each expert's part of all tokens, `home` (int64
    [num_experts]) its home node, and `node` (int64 [num_gpus], ascending from 0) the node of
    each GPU. The objective is the largest load over the mean, plus `price` times the mean cost
    of an assignment, which is at most `most`. With `anchored` every expert keeps a replica at
    home. `slots` (int64 [num_slots]) is the plan to start from.

    An assignment costs `cost` (float64 [num_rows, num_places]) at the place of the GPU that
    serves it, `place` (int64 [num_gpus], ascending from 0), in the row of its expert's home or,
    where `by_home` is False, of its expert. Without them it costs 0 at home and 1 elsewhere.

    With several loads `part` (float64 [num_experts, num_scenarios]) has each expert's part in
    each, `scenario` (float64 [num_scenarios]) what each counts, and `share` the parts so
    weighted. With `worst` the objective is the largest of the loads' instead, and `most` holds
    for each of them.
    """

    def __init__(self, machine: Machine, share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], node: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], price: float, most: float, anchored: bool, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], chance: Chance, cost: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, place: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, by_home: bool = True, part: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, scenario: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, worst: bool = False) -> None: ...

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan, with other homes; the best plan is kept."""

    def anneal(self, doublings: int, temperature: float, transfers: int, near: int, homeward: int, settling: int, slices: int, seconds: float) -> None:
        """
        So many slices of 256 swaps and copy transfers, fewer where the seconds are over.

        The norm's p is 2**doublings; `temperature` is in units of the objective. Of 1024
        proposals `transfers` are copy transfers; of these `settling` give an expert a
        replica at a cheap place, by default its home. Of the swaps `near` are within a node, and
        `homeward` of the others bring an expert to such a place.
        """

    @property
    def best(self) -> float:
        """The best plan's objective."""

    def plan(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The best plan, int64 [num_slots]."""

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""

    @property
    def away(self) -> float:
        """
        The mean cost of an assignment now: the part served away from home by default.
        """

class PairedSearch:
    """
    `TopologySearch` where all GPUs have two slots and replicas of an expert may share one.

    It decides which replicas stand on a node; there the heaviest shares a GPU with the
    lightest, and so on, which no other pairs beat. `near` counts for nothing.
    """

    def __init__(self, machine: Machine, share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], node: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], price: float, most: float, anchored: bool, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], chance: Chance, cost: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, place: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, by_home: bool = True) -> None: ...

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan, with other homes; the best plan is kept."""

    def anneal(self, doublings: int, temperature: float, transfers: int, near: int, homeward: int, settling: int, slices: int, seconds: float) -> None:
        """
        So many slices of 256 swaps and copy transfers, fewer where the seconds are over.

        The norm's p is 2**doublings; `temperature` is in units of the objective. Of 1024
        proposals `transfers` are copy transfers; of these `settling` give an expert a
        replica at a cheap place, by default its home. Of the swaps `near` are within a node, and
        `homeward` of the others bring an expert to such a place.
        """

    @property
    def best(self) -> float:
        """The best plan's objective."""

    def plan(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The best plan, int64 [num_slots]."""

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""

    @property
    def away(self) -> float:
        """
        The mean cost of an assignment now: the part served away from home by default.
        """

class PackedSearch:
    """
    `PairedSearch` for GPUs of equally many slots, whose nodes are to be packed afterwards.

    A GPU's load is taken for the mean of its node. But a replica of more than `heavy` mean loads
    has a GPU without another such one, and shares it with no less than the node's lightest. What
    replicas have above `ceiling` mean loads is added to the objective, `best`, which is that of
    nodes that could be packed so; `plan` packs them greedily.
    """

    def __init__(self, machine: Machine, share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], node: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], price: float, most: float, anchored: bool, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], chance: Chance, cost: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, place: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None = None, by_home: bool = True, heavy: float = 0.5, ceiling: float = 1.0) -> None: ...

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], home: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan, with other homes; the best plan is kept."""

    def anneal(self, doublings: int, temperature: float, transfers: int, near: int, homeward: int, settling: int, slices: int, seconds: float) -> None:
        """
        So many slices of 256 swaps and copy transfers, fewer where the seconds are over.

        The norm's p is 2**doublings; `temperature` is in units of the objective. Of 1024
        proposals `transfers` are copy transfers; of these `settling` give an expert a
        replica at a cheap place, by default its home. Of the swaps `near` are within a node, and
        `homeward` of the others bring an expert to such a place.
        """

    @property
    def best(self) -> float:
        """The best plan's objective."""

    def plan(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The best plan, int64 [num_slots]."""

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""

    @property
    def away(self) -> float:
        """
        The mean cost of an assignment now: the part served away from home by default.
        """

class ByCount:
    """
    All replicas of an expert carry the same; the column is their number.

    No expert has more than `most` replicas, 1 to 1024; the last column is `most`.
    """

    def __init__(self, most: int) -> None: ...

class RankModulo:
    """
    The GPUs that send take the replicas in turn, in the order of slots.

    The column of a replica is how many of the `num_senders` GPUs send to it.
    No expert has more than `most` replicas.
    """

    def __init__(self, num_senders: int, most: int) -> None: ...

class Nearest:
    """
    A GPU sends to a replica on itself, else on its node, else to any.

    `node` (int64 [num_gpus], ascending from 0) is the node of each GPU, `first`
    (int64 [num_gpus + 1]) its first slot, and the end of the last. The column of
    a replica is the largest number of GPUs that may send to it, and the last
    column all of them.
    """

    def __init__(self, node: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], first: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], most: int) -> None: ...

class Crossing:
    """
    A price on what crosses nodes where every GPU sends to one replica.

    `share` (float64 [num_experts]) is each expert's among all tokens, `node` (int64
    [num_gpus], ascending from 0) the node of each GPU. `price` is what all tokens crossing are
    worth in mean GPU loads, `most` the largest part that may. Of 1024 swaps `near` stay on a
    node, and of 1024 transfers `settling` go to a node without their expert.
    """

    def __init__(self, share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], node: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], price: float, most: float, near: int, settling: int) -> None: ...

class ShareSearch:
    """
    Annealing of one layer whose replicas carry what a rule says of where they stand.

    `values` (float64 [num_experts * columns, num_scenarios]) is what a replica of an expert
    puts on its GPU with each column of the rule, 0 to the last one, over the mean GPU load of
    the scenario. `share` (float64 [num_scenarios]) is what each scenario counts; with `worst`
    the worst one counts instead. `slots` (int64 [num_slots]) is the plan to start from.
    `crossing` is the price on what crosses nodes, which the objective then has added; None for
    none. `moves` (int64 [num_gpus, num_experts], or None) is what an expert counts on a GPU
    where the plan in force does not have it, and 0 where it does: then the best plan is kept
    for every count of moves below `num_kept`, the last one for so many or more.
    """

    def __init__(self, machine: Machine, rule: ByCount | RankModulo | Nearest, values: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], share: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], worst: bool, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], chance: Chance, crossing: Crossing | None = None, moves: Annotated[NDArray[numpy.int64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, num_kept: int = 1) -> None: ...

    def restart(self, slots: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None:
        """Go on from another plan; the best one is kept."""

    def anneal(self, doublings: int, temperature: float, transfers: int, slices: int, seconds: float, price: float = 0.0) -> None:
        """
        So many slices of 256 swaps and copy transfers, fewer where the seconds are over.

        The norm's p is 2**doublings; `temperature` and `price`, of a move, are in units of
        the objective; `transfers` of 1024 proposals are copy transfers.
        """

    @property
    def best(self) -> float:
        """The best plan's objective, with any number of moves."""

    def values(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """The best objective with each count of moves, float64 [num_kept]."""

    def plan(self, kept: int = -1) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """
        The plan of that entry of `values`, by default the best one, int64 [num_slots].
        """

    def present(self) -> Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C')]:
        """The plan that the search is at, int64 [num_slots]."""

    def loads(self) -> Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C')]:
        """
        Its GPU loads as they were followed move by move, float64 [num_gpus * num_scenarios].
        """

    @property
    def largest_load(self) -> float:
        """The largest GPU load now, relative to the mean."""

    @property
    def away(self) -> float:
        """
        The part of all tokens that crosses nodes now; 0 without a price on it.
        """
