"""What is said between reading and planning: each suspicion, and that ordinary loads raise none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eplb_opt.errors import FormatError
from eplb_opt.io import Loads, read_loads, read_total
from eplb_opt.io.origin import Origin, StepWatch
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.plausible import Question, examine, examine_current, folded, with_experts
from eplb_opt.io.plausible.heat import is_heat, refuse_heat
from tests.io.test_long_tables import ROWS

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT.parent / "shared" / "data" / "traces"
QUESTION = Question(8, 40)


def recorded(num_steps=1, num_layers=6, num_experts=32, seed=0, tokens=20_000):
    """Loads as recorders count them: every layer has the same total."""
    draws = np.random.default_rng(seed)
    shares = draws.dirichlet(np.full(num_experts, 2.0), num_layers)
    return np.stack([[draws.multinomial(tokens, p) for p in shares] for _ in range(num_steps)])


def notes(load, question=QUESTION, **origin):
    loads = Loads(load, source="a.npy", origin=Origin(**origin))
    return examine([loads], question)


BUNDLED = sorted((ROOT / "instances").glob("*.npz"))
#: Bundled loads that no recorder would write: made to be odd.
ODD = {"equal", "few-tokens", "one-expert", "one-hot", "powers", "silent-layer"}


@pytest.mark.parametrize(
    "path",
    [path for path in BUNDLED if path.stem not in ODD] + sorted(TRACES.glob("*.npz")),
    ids=lambda path: path.stem,
)
@pytest.mark.parametrize("read", [read_total, read_loads])
def test_bundled_and_recorded_loads_raise_no_suspicion(path, read):
    loads = read(path)
    for num_gpus in (8, 32, loads.num_layers):
        slots = num_gpus * max(loads.num_experts // num_gpus, 1)
        assert examine([loads], Question(num_gpus, slots)) == ()


@pytest.mark.parametrize("name", sorted(ODD))
def test_bundled_loads_that_are_odd_raise_suspicion(name):
    loads = read_total(ROOT / "instances" / f"{name}.npz")
    try:
        said = examine([loads], Question(8, 8 * loads.num_experts))
    except FormatError as error:  # columns that are all alike look like layers
        said = (str(error),)
    assert said


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(2, 12), st.sampled_from([8, 32, 64]))
def test_loads_as_recorders_count_them_raise_no_suspicion(seed, num_steps, num_layers, num_experts):
    load = recorded(num_steps, num_layers, num_experts, seed)
    assert notes(load) == ()
    assert notes(load.astype(float) * 0.5) == ()


IDS = np.array([np.random.default_rng(i).permutation(np.arange(40) % 32) for i in range(6)])
PATTERN = np.zeros((8, 6, 32), dtype=int)  # [device][layer][expert]
for _layer in range(6):
    PATTERN[np.arange(40) // 5, _layer, IDS[_layer]] = 1
HEAT = recorded(1, 6, 40)[0].reshape(6, 8, 5)
ONE = recorded()[0]

REFUSED = {
    "a placement": (IDS, "the ids of experts in 40 slots"),
    "an empty slot": (np.where(IDS == 3, -1, IDS), "is this a plan"),
    "a negative load": (np.where(ONE.max() == ONE, -7, ONE), "the least is -7"),
    "a pattern": (PATTERN, "which device holds which expert"),
    "a pattern by layer": (PATTERN.swapaxes(0, 1), "which device holds which expert"),
    "a long table": (
        np.array([[layer, e, ONE[layer, e]] for layer in range(6) for e in range(32)]),
        "layer, expert and count",
    ),
    "a long table with steps": (
        np.array([[0, layer, e, ONE[layer, e]] for layer in range(6) for e in range(32)]),
        "layer, expert and count",
    ),
    "a column of layers": (
        np.column_stack([np.arange(3, 9), ONE]),
        "first of 33 columns counts 3, 4, ... 8",
    ),
    "a column of steps": (
        np.column_stack([np.arange(24) // 4, np.tile(ONE, (4, 1))]),
        "climbs from 0 to 5",
    ),
    "names of experts": (np.vstack([np.arange(32), ONE]), "numbers the experts"),
    "a total column": (np.column_stack([ONE, ONE.sum(axis=1)]), "last of 33 columns is the sum"),
    "a total first": (np.column_stack([ONE.sum(axis=1), ONE]), "first of 33 columns is the sum"),
    "a total row": (np.vstack([ONE, ONE.sum(axis=0)]), "last of 7 rows is the sum"),
    "experts in rows": (ONE.T, r"turn them round, with numpy: load\.T"),
    "heat for other slots": (HEAT, "layers, ranks, slots of a rank"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_surely_no_loads_is_refused(case):
    load, words = REFUSED[case]
    with pytest.raises(FormatError, match=words) as caught:
        notes(load, Question(8, 48))
    assert str(caught.value).startswith("a.npy: ")


def one_rank():
    load = recorded()
    load[..., 4:] = 0
    return load


def some_idle():
    load = recorded()
    load[..., [5, 17]] = 0
    return load


NOTED = {
    "one rank": (
        one_rank(),
        "28 of 32 experts have no token in any layer; those that have are 0",
    ),
    "some idle experts": (some_idle(), "2 of 32 experts have no token in any layer (5, 17)"),
    "dense layers": (recorded() * (np.arange(6) > 2)[:, None], "layers 0 to 2 have no token"),
    "no load": (np.zeros((6, 32), int), "every plan is as good as another"),
    "few tokens": (recorded(tokens=8), "of the experts have no token"),
    "a placeholder": (np.full((6, 32), 7), "the same load in every layer (7 in layer 0)"),
    "a layer repeated": (np.tile(ONE[0], (6, 1)), "one layer's, repeated"),
    "other traffic": (recorded() * np.array([1, 1, 1, 1, 1, 5])[:, None], "layer 5 has 100,000"),
    "shares": (ONE / ONE.sum(axis=1, keepdims=True), "shares, not tokens"),
    "a counter": (np.cumsum(recorded(5), axis=0), "no load falls from one of 5 snapshots"),
    "a handful of tokens": ((recorded() > 600).astype(int), "nothing but 0 and 1"),
    "many rows": (np.tile(recorded(num_experts=8)[0], (40, 1)), "240 layers of 8 experts"),
    "layers first": (
        np.stack([recorded(1, 6, 32, s, 10_000 * (s + 1))[0] for s in range(4)]).swapaxes(0, 1),
        "load.swapaxes(0, 1)",
    ),
    "heat of other ranks": (recorded(1, 6, 40)[0].reshape(6, 5, 8), "--map FILE"),
}


@pytest.mark.parametrize("case", NOTED)
def test_what_is_odd_gets_a_note_with_its_numbers(case):
    load, words = NOTED[case]
    found = notes(load)
    assert any(words in note for note in found), found
    assert all(note.startswith("a.npy: ") for note in found)


def test_layers_of_equal_loads_are_not_taken_for_turned_round():
    found = notes(np.array([[4] * 16, [4000] * 16]))
    assert found  # a note that they are equal, and no refusal


def test_numbers_of_an_array_that_only_counts_are_loads():
    assert notes(np.arange(1, 25).reshape(2, 3, 4)) is not None
    assert notes(np.arange(24).reshape(2, 12)) is not None


def test_loads_that_are_not_finite_are_left_to_the_problem():
    assert notes(np.array([[np.nan, np.inf, 1.0]])) == ()


def test_fewer_ranks_than_gpus_are_said():
    assert "files of 3 ranks (0 to 2), and --gpus is 8" in notes(recorded(), ranks=(0, 1, 2))[0]
    assert "the file of rank 3 alone" in notes(recorded(), ranks=(3,))[0]
    assert notes(recorded(), ranks=tuple(range(8))) == ()
    assert notes(recorded(), Question(), ranks=(0,)) == ()


def test_a_table_of_hits_may_end_early_and_more_experts_may_be_told(tmp_path):
    path = tmp_path / "hits.csv"
    path.write_text(ROWS)
    loads = read_loads(path)
    assert "so 4 experts are planned" in examine([loads], Question())[0]
    whole = with_experts(loads, 6)
    assert whole.load[..., 4:].sum() == 0
    assert not any("experts are planned" in note for note in examine([whole], Question()))
    with pytest.raises(FormatError, match="there are 4 experts, more than the 3"):
        with_experts(loads, 3)


def test_several_files_are_looked_at_beside_each_other():
    one, other = (Loads(recorded(seed=s), source=f"{s}.npy") for s in (1, 2))
    assert examine([one, other], QUESTION) == ()
    again = Loads(one.load, source="again.npy")
    assert "1.npy and again.npy hold the same loads" in examine([one, other, again], QUESTION)[0]
    total = Loads(one.load + other.load, source="total.npy")
    with pytest.raises(FormatError, match=r"total\.npy is the sum of the other 2 files"):
        examine([one, other, total], QUESTION)
    named = [Loads(one.load, tuple(range(at, at + 6)), source=f"from {at}") for at in (3, 4)]
    with pytest.raises(FormatError, match="one plan cannot serve both"):
        examine(named, QUESTION)


MAP = np.array([[0, 1, 2, 2, 3, 0], [0, 1, 3, 2, 3, 1], [0, 1, 2, 2, 3, 1]])
SLOT_LOADS = np.array([[[50, 7, 9], [9, 30, 50]], [[4, 8, 6], [60, 6, 8]], [[70, 5, 2], [2, 9, 5]]])


@pytest.mark.parametrize("shape", [(3, 2, 3), (3, 6), (1, 3, 6)])
def test_loads_of_slots_are_folded_by_their_map(shape):
    load = SLOT_LOADS.reshape(shape)
    found = folded(Loads(load, source="heat.npy"), StoredPlan(MAP), "map.json")
    assert found.total.tolist() == [[100, 7, 18, 30], [4, 16, 60, 12], [70, 10, 4, 9]]
    assert "folded by map.json into those of 4 experts" in found.origin.notes[0]


def test_what_a_padded_slot_has_counted_is_left_out():
    padded = np.where(MAP == 2, -1, MAP)
    padded[padded == 3] = 2
    load = np.where(padded < 0, 99, SLOT_LOADS.reshape(3, 6))
    found = folded(Loads(load), StoredPlan(padded), "map.json")
    assert found.total.tolist() == [[100, 7, 30], [4, 16, 12], [70, 10, 9]]


def test_heat_is_known_by_its_shape_alone():
    assert is_heat((3, 2, 3), Question(2, 6))
    assert not is_heat((3, 2, 3), Question(2, 8))
    assert not is_heat((3, 2, 3), Question(3, 9))
    assert not is_heat((3, 2, 3), Question())
    with pytest.raises(FormatError, match="give it as --map FILE"):
        refuse_heat((3, 2, 3), Question(2, 6))
    with pytest.raises(FormatError, match="are none of the 3 layers x 6 slots"):
        folded(Loads(np.ones((3, 5))), StoredPlan(MAP), "map.json")


LOADS = Loads(recorded(num_layers=2), (3, 4), source="l.npz")
HELD = np.tile(np.arange(40) % 32, (2, 1))


def current(placed=HELD, loads=LOADS, question=QUESTION, **told):
    return examine_current(StoredPlan(placed, **told), "--current c.npz", loads, question)


def test_a_plan_in_force_that_fits_raises_nothing():
    told = {"layer_ids": (3, 4), "num_gpus": 8, "num_experts": 32, "num_hidden_layers": 5}
    assert current() == current(**told) == ()
    assert current(HELD[:1], is_every_layer=True) == ()
    assert current(np.vstack([HELD, HELD, HELD[:1]])) == ()  # a row for each hidden layer


def swapped(old, new):
    return np.where(old == HELD, new, HELD)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_gpus": 4}, "it is of 4 GPUs, and --gpus is 8"),
        ({"question": Question(8, 48)}, "it has 40 slots a layer, and --slots is 48"),
        ({"layer_ids": (3, 5)}, "LOADS has 4 besides"),
        ({"num_hidden_layers": 4}, "a model with 4 hidden layers, and LOADS has layer 4"),
        ({"placed": HELD[:1]}, "it has 1 rows, and LOADS has 2 layers"),
        (
            {"placed": np.vstack([HELD, HELD]), "loads": Loads(LOADS.load)},
            "convert LOADS named.npz --kind loads --layers 2-3",
        ),
        ({"placed": HELD % 30}, "it holds 30 experts, and LOADS has 32"),
        ({"placed": swapped(5, 6)}, "in layer 0 expert 5 of 32 stands in no slot"),
        ({"placed": swapped(5, 6), "layer_ids": (3, 4)}, "in layer 3 expert 5"),
        ({"loads": Loads(recorded(num_experts=40, num_layers=2))}, "as many as slots.*--map FILE"),
        (
            {"placed": np.array([[*range(32), *[-1] * 8], [*[-1] * 8, *range(32)]])},
            "say how many slots each GPU can fill, with --gpu-slots",
        ),
    ],
)
def test_what_the_plan_in_force_contradicts_is_refused(arguments, words):
    with pytest.raises(FormatError, match=words) as caught:
        current(**arguments)
    assert str(caught.value).startswith("--current c.npz: ")


def test_layers_that_only_the_plan_in_force_has_are_said_and_missed_by_an_engine():
    more = {"placed": np.vstack([HELD, HELD[:1]]), "layer_ids": (3, 4, 5)}
    assert "LOADS lacks 5" in current(**more)[0]
    with pytest.raises(FormatError, match="a plan for sglang would lack them too"):
        current(**more, question=Question(8, 40, engine="sglang"))


def test_a_table_of_hits_may_know_fewer_experts_than_the_plan_in_force():
    few = Loads(LOADS.load[..., :30], (3, 4), origin=Origin(may_lack_experts=True))
    assert current(loads=few) == ()


@given(st.integers(1, 4), st.integers(0, 10**6))
def test_steps_looked_at_in_pieces_are_the_same(size, seed):
    load = np.random.default_rng(seed).integers(0, 3, (6, 2, 3))
    watch, whole = StepWatch(), StepWatch()
    whole.add(load)
    for first in range(0, 6, size):
        watch.add(load[first : first + size])
    found, due = watch.steps(), whole.steps()
    assert (found.num_steps, found.never_falls, found.is_binary) == (
        due.num_steps,
        due.never_falls,
        due.is_binary,
    )
    for name in ("layer_spread", "step_spread", "whole_spread"):
        assert getattr(found, name) == pytest.approx(getattr(due, name))


@pytest.mark.parametrize("steps", [[], [0]])
def test_the_header_that_a_refusal_advises_is_read(tmp_path, steps):
    rows = [[*steps, layer, e, ONE[layer, e]] for layer in range(6) for e in range(32)]
    with pytest.raises(FormatError, match="with the header") as caught:
        notes(np.array(rows))
    header = str(caught.value).rpartition("header ")[2].rstrip(".")
    text = "\n".join([header, *(",".join(map(str, row)) for row in rows)])
    (tmp_path / "a.csv").write_text(text)
    assert read_loads(tmp_path / "a.csv").load.tolist() == [ONE.tolist()]


@pytest.mark.parametrize("name", ["view.pt", "heat.npy", "heat.npz", "heat.json"])
def test_heat_is_known_in_every_container(tmp_path, name):
    path = tmp_path / name
    if name == "view.pt":
        torch = pytest.importorskip("torch")
        torch.save(torch.from_numpy(SLOT_LOADS), path)
    elif name == "heat.npy":
        np.save(path, SLOT_LOADS)
    elif name == "heat.npz":
        np.savez(path, load=SLOT_LOADS)
    else:
        path.write_text(str(SLOT_LOADS.tolist()))
    loads = read_total(path)
    shape = (loads.origin.steps.num_steps, loads.num_layers, loads.num_experts)
    assert is_heat(shape, Question(2, 6))
