"""Small problems that lead the drivers through the whole core; effort is counted."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

import eplb_opt
from eplb_opt import CostTable, Problem, Topology
from eplb_opt.bounds.node_prices import PricedNodes
from eplb_opt.bounds.priced_choices import PricedChoices
from eplb_opt.clock import Deadline
from eplb_opt.core import greedy, local, moves, pairs, serving
from eplb_opt.exact.config_lp.model import FlatConfigLp
from eplb_opt.exact.pairs.model import PairsLayer, PairsParams
from eplb_opt.search.after_loss import least_load_after_loss
from eplb_opt.search.annealing.design import DesignSearch
from eplb_opt.search.annealing.layer import AnnealSearch
from eplb_opt.search.annealing.shares import ShareSearch
from eplb_opt.search.annealing.topology import TopologySearch
from eplb_opt.search.local import LayerSearch
from eplb_opt.search.starts import first_plan

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = np.array([[5000, *range(1, 16)], [700, 600, *range(90, 104)]])
START = np.arange(24) % 16
HEAVY = np.array([np.floor(1e5 / np.arange(1, 25) ** 1.2)])


def flat() -> None:
    """Exchanges, descent, triples and kicks of one layer."""
    problem = Problem(LOAD[:1], 20, 5)
    search = LayerSearch(problem, first_plan(problem)[0], Fraction(1), seed=0)
    search.run_steps(60)
    search.run_until(Deadline.after(0))
    eplb_opt.plan(Problem(LOAD, 24, 6), effort=2, workers=1)


def apart() -> None:
    eplb_opt.plan(Problem(LOAD, 24, 6, colocation="forbid"), effort=2, workers=1)


def nodes() -> None:
    eplb_opt.plan(Problem(LOAD, 24, 6, num_nodes=2, num_groups=4), effort=2, workers=1)


def two_slots() -> None:
    weight = np.floor(1e6 / np.arange(1, 49) ** 1.2).astype(np.int64)
    problem = Problem(weight[None, :], 60, 30)
    layer = PairsLayer(problem, PairsParams())
    layer.run(first_plan(problem)[0], Fraction(1), Deadline(), 30)
    loads = pairs.Layer(weight, 0, 60)
    level = int(weight.sum() // 30 * 2)
    loads.fewest(level)
    options = pairs.list_options(loads, level)
    kept = options.keep(np.ones(len(options.count), dtype=bool))
    num_rows = len(kept.need())
    kept.prove((kept.need() > 0).astype(np.int64))
    kept.climb(np.linspace(0.0, 1.0, num_rows), 60.0, 5)
    tree = pairs.Tree(loads, level, float(level) * 2)
    tree.begin_at(np.linspace(0.0, 1.0, num_rows))
    tree.grow(10, np.inf)
    tree.decide(np.inf)
    if tree.is_root_done:
        tree.options_left()
    tree.trace()
    counts = pairs.refill(weight.astype(float), np.ones(48, dtype=np.int64), 60)
    limits = np.ones(48, dtype=np.int64), np.full(48, 60)
    pairs.rate(weight.astype(float), counts, (0, 47), float(level))
    pairs.search_counts(weight.astype(float), counts, limits, (float(level), 0.5), (20, np.inf))


def single_moves() -> None:
    """Each move of the local search for itself."""
    rng = np.random.default_rng(0)
    slots = rng.permutation(np.concatenate([np.arange(11), rng.integers(0, 11, 5)]))
    node = local.NodeSearch(rng.integers(1, 10**6, 11), slots, 4, False, 1)
    node.exchange(int(node.loads.argmax()))
    node.redeal(*np.argsort(-node.loads)[:3].tolist())
    node.transfer(int(node.loads.max()))
    node.shuffle(3)
    node.renew(1)
    node.fit_counts(int(node.loads.mean()), int(node.loads.max()))
    node.draw_counts(int(node.loads.mean()))
    node.scan_counts(1, 3)
    node.sorted_subsets(0, 2)
    node.advance(5, 1)
    node.restart(slots)
    local.pack(np.array([9, 7, 5, 3]), np.array([2, 2, 1, 1]), 3, 2, False)
    moves.best_assignment(rng.integers(0, 9, (4, 4)))
    serving.first_offence(np.array([[0, 1, 2, 0]]), np.array([[2, 1, 1]]), 1, 1)


def configurations() -> None:
    problem = Problem(HEAVY, 32, 8)
    start = first_plan(problem)[0]
    FlatConfigLp.of(problem, start).run(Fraction(1), Fraction(10**6), Deadline(), 40)


def scenarios() -> None:
    problem = Problem(np.stack([LOAD, LOAD[:, ::-1]]), 24, 6)
    AnnealSearch(problem.layer(0), first_plan(problem)[0], seed=0).run_slices(1)
    eplb_opt.plan(problem, effort=2, workers=1)
    # Counts that are to blame: transfers with their mends.
    wide = Problem(np.array([[[9, 1, 1]], [[1, 9, 1]]]), 4, 2)
    AnnealSearch(wide, first_plan(wide)[0], seed=0).run_slices(1)


def homes() -> None:
    for topology in (Topology(0.1), Topology(0.5, anchored=True, max_off_home=0.4)):
        problem = Problem(LOAD, 24, 6, num_nodes=3, num_groups=4, topology=topology)
        eplb_opt.plan(problem, effort=2, workers=1)
    packed = Problem(LOAD[:1], 24, 6, num_nodes=3, num_groups=4, topology=Topology(0.1))
    search = TopologySearch(packed, START, 0)
    search.packed.nodes.begin(*search.now).search.restart(*search.now)
    pairs = Problem(LOAD, 24, 12, num_nodes=3, num_groups=4, topology=Topology(0.1))
    eplb_opt.plan(pairs, effort=2, workers=1)
    tokens = np.random.default_rng(0).integers(0, 9, (4, LOAD.shape[1]))
    first_plan(Problem(LOAD, 32, 8, num_nodes=4, topology=Topology(0.1, sources=tokens)))
    several, topology = np.stack([LOAD, LOAD[:, ::-1]]), Topology(0.1, max_off_home=0.6)
    for objective in ("mean", "max"):
        terms = {"num_nodes": 3, "num_groups": 4, "objective": objective, "topology": topology}
        eplb_opt.plan(Problem(several, 24, 6, **terms), effort=2, workers=1)


def anchors() -> None:
    rules = Topology(0.3, anchored=True)
    layer = PricedNodes(Problem(LOAD[:1], 24, 6, num_nodes=2, num_groups=4, topology=rules))
    choices = PricedChoices(layer, layer.scale // 6, layer.scale * layer.unit * 4)
    choices.step(Deadline())


def shares() -> None:
    for dispatch in ("nearest", "rank_modulo"):
        # One layer and one turn: most of the time of more is the solver's, not the core's.
        problem = Problem(LOAD[:1], 24, 6, num_nodes=3, dispatch=dispatch)
        eplb_opt.plan(problem, effort=1, workers=1)
        priced = problem.with_topology(Topology(0.1), 3)
        eplb_opt.plan(priced, effort=1, workers=1)
        maps = eplb_opt.rebalance_experts(LOAD, 24, 1, 3, 6, effort=20, dispatch=dispatch)
        eplb_opt.rebalance_experts(
            LOAD[::-1],
            24,
            1,
            3,
            6,
            effort=5,
            dispatch=dispatch,
            current=maps[0],
            move_tolerance=0.1,
        )
    seconds = 1 + LOAD[0][:, None] / np.arange(1, 10)
    eplb_opt.plan(Problem(LOAD[:1], 24, 6, cost=CostTable(seconds)), effort=2, workers=1)
    problem = Problem(LOAD[:1], 24, 6, dispatch="rank_modulo")
    search = ShareSearch(problem, first_plan(problem)[0], seed=0)
    search.restart(first_plan(problem)[0])
    search._search.loads(), search._search.present(), search._search.values()


def rules() -> None:
    speed = np.array([1.0, 1.0, 0.5, 1.0, 2.0, 1.0])
    few = LOAD[:, :10]
    eplb_opt.plan(Problem(few, 24, 6, gpu_speed=speed, spread="gpu"), effort=2, workers=1)
    pinned, forbidden = [(0, 1), (3, 2)], [(5, 0)]
    ties = Problem(LOAD, 24, 6, pinned=pinned, forbidden=forbidden)
    eplb_opt.plan(ties, effort=2, workers=1)


def designs() -> None:
    problem = Problem(LOAD[:1], 20, 5, dispatch="optimal")
    held = np.zeros((5, 16), dtype=bool)
    for noise, kept in ((0.2, held), (0.0, None)):
        search = DesignSearch(problem, first_plan(problem)[0], seed=0, noise=noise, held=kept)
        search.settle()
        search.weigh(0.5)
        search.run_slices(1)
        search.draw_loads()
        search.adapt_noise()
        search.placed()
    core = search._search
    core.slots(), core.flow(), core.load()
    eplb_opt.plan(Problem(LOAD, 24, 6, dispatch="optimal"), effort=1, noise=0.1, workers=1)


def losses() -> None:
    problem = Problem(LOAD[:1], 20, 5)
    guarded = np.zeros(16, dtype=bool)
    start = first_plan(problem)[0]
    least_load_after_loss(problem, start, guarded, 1, Deadline(), calls=1)


def migrations() -> None:
    problem = Problem(LOAD, 24, 6)
    held = eplb_opt.plan(problem, effort=0, workers=1).plan
    later = Problem(LOAD[:, ::-1], 24, 6)
    eplb_opt.plan(later, current=held, max_moves=5, effort=2, workers=1)
    eplb_opt.frontier(later, held, effort=1, workers=1)


def splits() -> None:
    plan = eplb_opt.plan(Problem(LOAD, 24, 6), effort=0, workers=1).plan
    eplb_opt.dispatch(plan, LOAD)
    eplb_opt.dispatch(plan, LOAD.astype(float), gpu_speed=np.array([1.0, 1, 1, 1, 1, 0.5]))


def rebalances() -> None:
    for shape in ((24, 1, 1, 6), (24, 4, 2, 6), (20, 1, 1, 10)):
        for effort in (0, 30):
            maps = eplb_opt.rebalance_experts(LOAD, *shape, effort=effort)
        eplb_opt.rebalance_experts(LOAD[::-1], *shape, effort=5, current=maps[0])
        greedy.rebalance(LOAD, shape)
    session = serving.Session(LOAD, (24, 1, 1, 6))
    session.keep(maps[0], np.ones(2, dtype=bool)) if maps[0].shape == (2, 24) else None
    weights, _ = serving.fixed_point(LOAD)
    serving.lightest_partition(weights, 4, 2)
    serving.first_offence(np.array([[0, 1, 2, 0]]), np.array([[2, 1, 1]]), 1, 1)
    node = serving.NodeSearch(np.resize(np.arange(16), 24), weights[0], 6)
    node.step(1), node.exchange(1), node.sweep()


def near_plans() -> None:
    held = eplb_opt.rebalance_experts(LOAD, 24, 1, 1, 6, effort=5)[0]
    later = LOAD[:, ::-1]
    near = {"effort": 20, "current": held}
    eplb_opt.rebalance_experts(later, 24, 1, 1, 6, move_tolerance=0.05, **near)
    eplb_opt.rebalance_experts(later, 24, 1, 1, 6, move_tolerance=0.0, **near)
    eplb_opt.rebalance_experts(later, 24, 1, 1, 6, max_moves=8, **near)
    eplb_opt.rebalance_experts(later, 24, 1, 1, 6, max_moves=[3, 4], **near)
    lost = np.arange(6) != 2
    eplb_opt.rebalance_experts(later, 24, 1, 1, 6, active_gpus=lost, **near)


def priced() -> None:
    sizes = 24, 4, 3, 6
    session = serving.PricedSession(LOAD, sizes, 0.3)
    session.plan(20, None)
    placed = np.array(session.placed)
    flat = eplb_opt.rebalance_experts(LOAD, 24, 1, 1, 6, effort=5)[0]
    session.offer(flat, np.arange(2))
    session.worth_of(flat), session.near(flat, 0.01, 20)
    weights, _ = serving.fixed_point(LOAD)
    homes = np.ascontiguousarray(session.homes[0])
    serving.plans_on_the_way(weights[0], placed[0], homes, sizes, 0.3, 10)


SCENES: tuple[Callable[[], None], ...] = (
    flat, apart, nodes, two_slots, configurations, scenarios, homes, anchors, shares, rules,
    designs, losses, migrations, splits, rebalances, near_plans, single_moves, priced,
)  # fmt: skip


def play() -> None:
    """All of them."""
    for scene in SCENES:
        scene()
