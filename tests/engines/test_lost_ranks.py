"""A rank is lost and returns: SGLang's elastic algorithms, with stand-ins for its own modules."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from eplb_opt import Plan, Problem, ProblemError, evaluate
from eplb_opt.bench.families import family_loads
from eplb_opt.bounds.bounds import fast_bounds
from eplb_opt.engines import sglang
from eplb_opt.engines.every_rank import GAIN_VARIABLE, TOLERANCE_VARIABLE, place
from eplb_opt.engines.serving.live_gpus import LiveGpus
from eplb_opt.placement.moves import moved_slots

torch = pytest.importorskip("torch")

NUM_SLOTS, NUM_GPUS, ROOM, NUM_EXPERTS = 72, 12, 6, 60
NODES, GROUPS = 3, 6
LOAD = family_loads("lognormal-0.5", 3, NUM_EXPERTS, 0)
FLAT, HIERARCHICAL = "elasticity_aware", "elasticity_aware_hierarchical"
both = pytest.mark.parametrize("name", [FLAT, HIERARCHICAL])


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for variable in (TOLERANCE_VARIABLE, GAIN_VARIABLE, "EPLB_OPT_EFFORT"):
        monkeypatch.delenv(variable, raising=False)


class Engine:
    """SGLang with ours in the place of its function; it takes over every map that comes back."""

    def __init__(self, monkeypatch):
        self.active = torch.ones(NUM_GPUS, dtype=torch.int32)
        self.map = None
        self.own = []
        for path in (sglang.ELASTIC_MODULE, sglang.LOCATION_MODULE):
            names = path.split(".")
            for i in range(1, len(names) + 1):
                name = ".".join(names[:i])
                known = sys.modules.get(name) or ModuleType(name)
                monkeypatch.setitem(sys.modules, name, known)
        state = SimpleNamespace(instance=lambda: SimpleNamespace(active_ranks=self.active))
        vars(sys.modules[sglang.ELASTIC_MODULE])[sglang.ELASTIC_STATE] = state
        location = vars(sys.modules[sglang.LOCATION_MODULE])
        location[sglang.LOCATION_FUNCTION] = lambda: SimpleNamespace(
            physical_to_logical_map_cpu=self.map
        )
        self.call = sglang._drop_in(lambda *a: self.own.append(a) or "own", None)

    def rebalance(self, name, load=LOAD):
        numbers = NUM_SLOTS, ROOM, GROUPS, NODES
        maps = self.call(torch.from_numpy(np.ascontiguousarray(load))[None], *numbers, name)
        self.map = maps[0]
        return tuple(np.asarray(m) for m in maps)

    def lose(self, *ranks):
        self.active[list(ranks)] = 0

    @property
    def live(self):
        return LiveGpus(np.asarray(self.active[:NUM_GPUS]) != 0, ROOM)

    def moves(self, before, after):
        """Of each layer, on the ranks that are there."""
        cut = self.live.cut
        return moved_slots(
            *(Plan(cut(m), self.live.num_gpus, NUM_EXPERTS) for m in (before, after))
        )


@pytest.fixture
def engine(monkeypatch):
    return Engine(monkeypatch)


def require_sound(maps, live):
    """The three maps agree, and every expert stands on a rank that is there."""
    placed, logical, count = maps
    is_live = np.repeat(live.active, ROOM)
    assert (placed[:, ~is_live] == 0).all()
    assert ((placed >= 0) & (placed < NUM_EXPERTS)).all()
    for layer in range(len(placed)):
        seen = []
        for expert in range(NUM_EXPERTS):
            slots = [s for s in logical[layer, expert].tolist() if s >= 0]
            assert len(slots) == count[layer, expert] >= 1
            assert all(placed[layer, s] == expert for s in slots)
            seen += slots
        assert sorted(seen) == live.slots.tolist()


@both
@pytest.mark.parametrize("ranks", [(5,), (0,), (11,), (2, 7)], ids=str)
def test_every_expert_has_a_live_home_and_the_rest_is_level(engine, name, ranks):
    before = engine.rebalance(name)[0]
    engine.lose(*ranks)
    if len(ranks) == 2:  # then there are as many slots as experts
        assert engine.live.slots.size == NUM_EXPERTS
    maps = engine.rebalance(name)
    require_sound(maps, engine.live)
    problem = Problem(LOAD, engine.live.slots.size, engine.live.num_gpus)
    placed = engine.live.cut(maps[0])
    bound = np.array([float(b.value) for b in fast_bounds(problem)])
    anew = place(LOAD, problem.num_slots, 1, 1, problem.num_gpus)[0]
    best = np.maximum(bound, evaluate(problem, anew).objective)
    assert (evaluate(problem, placed).objective <= best * 1.0031).all()
    homeless = [NUM_EXPERTS - len(set(row)) for row in engine.live.cut(before).tolist()]
    moves = engine.moves(before, maps[0])
    assert (moves >= homeless).all()
    # A plan made anew moves nearly every slot.
    assert moves.mean() < engine.live.slots.size * 0.6


@both
def test_what_stays_on_its_rank_keeps_its_slot(engine, name):
    before = engine.rebalance(name)[0]
    engine.lose(4)
    after = engine.rebalance(name)[0]
    changed = (engine.live.cut(before) != engine.live.cut(after)).sum(axis=1)
    # No slot changes but those that get an expert that is new on the rank, or one more of it.
    assert (changed - engine.moves(before, after) <= 2).all()


@both
def test_where_it_returns_its_slots_are_filled_and_little_else_moves(engine, name):
    problem = Problem(LOAD, NUM_SLOTS, NUM_GPUS, *((NODES, GROUPS) if name == HIERARCHICAL else ()))
    before = engine.rebalance(name)[0]
    engine.lose(4)
    lost = engine.rebalance(name)[0]
    engine.active[4] = 1
    back = engine.rebalance(name)[0]
    Plan(back, NUM_GPUS).check(problem)
    holes = lost.copy()
    holes[:, 4 * ROOM : 5 * ROOM] = -1
    moves = engine.moves(holes, back)
    assert (moves >= ROOM).all()
    assert moves.mean() < NUM_SLOTS * 0.6
    ours, first = (evaluate(problem, m).objective.sum() for m in (back, before))
    assert ours <= first * 1.004


def test_a_rank_that_returns_does_not_hold_what_the_map_named_while_it_was_lost(
    engine, monkeypatch
):
    """However loose the level: its slots were named expert 0, and nobody knows what is in them."""
    load = LOAD.copy()
    load[:, 0] = 0
    monkeypatch.setenv(TOLERANCE_VARIABLE, "0.5")
    engine.rebalance(FLAT, load)
    engine.lose(4)
    engine.rebalance(FLAT, load)
    engine.active[4] = 1
    placed, _, count = engine.rebalance(FLAT, load)
    assert not (placed[:, 4 * ROOM : 5 * ROOM] == 0).any()
    assert (count[:, 0] == 1).all()


@both
def test_with_all_ranks_there_it_is_the_usual_plan(engine, name, monkeypatch):
    later = np.rint(LOAD * np.random.default_rng(1).lognormal(0, 0.1, LOAD.shape)).astype(int)
    usual = name.replace("elasticity_aware", "deepseek")
    first = engine.rebalance(name)[0]
    engine.map = None
    assert engine.rebalance(usual)[0].tobytes() == first.tobytes()
    near = engine.rebalance(name, later)[0]
    engine.map = torch.from_numpy(first)
    assert engine.rebalance(usual, later)[0].tobytes() == near.tobytes()


def test_a_second_loss_is_planned_from_the_map_after_the_first(engine):
    engine.rebalance(FLAT)
    engine.lose(3)
    first = engine.rebalance(FLAT)[0]
    engine.lose(8)
    maps = engine.rebalance(FLAT)
    require_sound(maps, engine.live)
    assert engine.moves(first, maps[0]).mean() < engine.live.slots.size * 0.6


def test_while_a_rank_is_lost_a_map_that_is_level_stays_byte_for_byte(engine, monkeypatch):
    engine.rebalance(FLAT)
    engine.lose(3)
    lost = engine.rebalance(FLAT)[0]
    assert engine.rebalance(FLAT)[0].tobytes() == lost.tobytes()
    monkeypatch.setenv(GAIN_VARIABLE, "0.9")
    assert engine.rebalance(FLAT, LOAD[:, ::-1])[0].tobytes() == lost.tobytes()


def test_a_whole_node_may_be_lost_and_return(monkeypatch):
    """Its groups have no node then, and get one again when it is back."""
    engine = Engine(monkeypatch)
    load = LOAD[:, :36]
    numbers = NUM_SLOTS, ROOM, GROUPS, NODES

    def rebalance():
        engine.map = engine.call(torch.from_numpy(load)[None], *numbers, HIERARCHICAL)[0]
        return np.asarray(engine.map)

    rebalance()
    engine.lose(*range(4, 8))
    lost = engine.live.cut(rebalance())
    Plan(lost, 8).check(Problem(load, 48, 8))
    engine.active[:] = 1
    Plan(rebalance(), NUM_GPUS).check(Problem(load, NUM_SLOTS, NUM_GPUS, NODES, GROUPS))


def test_ranks_that_have_never_joined_are_left_out(engine):
    engine.active = torch.cat([engine.active, torch.zeros(4, dtype=torch.int32)])
    first = engine.rebalance(FLAT)[0]
    engine.lose(1)
    require_sound(engine.rebalance(FLAT), engine.live)
    assert first.shape == (3, NUM_SLOTS)


def test_without_elastic_parallelism_all_ranks_are_there(engine):
    first = engine.rebalance(FLAT)[0]
    vars(sys.modules[sglang.ELASTIC_MODULE])[sglang.ELASTIC_STATE] = SimpleNamespace(
        instance=lambda: None
    )
    assert engine.rebalance(FLAT)[0].tobytes() == first.tobytes()


@pytest.mark.parametrize("state", ["gone", "short", "none"])
def test_sglang_plans_itself_where_we_cannot_tell_who_is_there(engine, state):
    if state == "gone":
        del vars(sys.modules[sglang.ELASTIC_MODULE])[sglang.ELASTIC_STATE]
    else:
        engine.active = None if state == "none" else torch.ones(3, dtype=torch.int32)
    tokens = torch.from_numpy(LOAD)[None]
    assert engine.call(tokens, NUM_SLOTS, ROOM, GROUPS, NODES, FLAT) == "own"
    assert engine.own[0][-1] == FLAT


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (range(3), "9 GPUs are there, with 54 slots for 60 experts: at least 10 GPUs are needed"),
        (range(12), "None of the 12 GPUs is there"),
    ],
    ids=["too many", "all"],
)
def test_what_nobody_can_plan_is_refused_with_the_numbers(engine, lost, words):
    engine.lose(*lost)
    with pytest.raises(ProblemError, match=words):
        engine.rebalance(FLAT)


def test_flags_of_another_length_are_refused():
    with pytest.raises(ProblemError, match=r"active_ranks has shape \[3\]; it must be \[12\]"):
        sglang.rebalance_experts(
            LOAD[None], NUM_SLOTS, ROOM, None, 1, FLAT, active_ranks=[True, True, False]
        )


@pytest.mark.parametrize("tolerance", ["0", "0.003", "0.1"])
@pytest.mark.parametrize("is_first", [True, False], ids=["no map yet", "a map"])
def test_every_setting_gives_the_same_bytes_again(engine, tolerance, is_first, monkeypatch):
    monkeypatch.setenv(TOLERANCE_VARIABLE, tolerance)
    if not is_first:
        engine.rebalance(FLAT)
    held = engine.map
    engine.lose(6)
    maps = engine.rebalance(FLAT)
    require_sound(maps, engine.live)
    engine.map = None if held is None else held.clone().t().contiguous().t()
    again = engine.rebalance(FLAT, np.asfortranarray(LOAD))
    assert [m.tobytes() for m in again] == [m.tobytes() for m in maps]
