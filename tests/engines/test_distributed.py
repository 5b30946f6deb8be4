"""Two gloo processes: one plan for both, or the old map for both."""

import multiprocessing

import numpy as np
import pytest

import eplb_opt
from eplb_opt import Problem, ProblemError
from eplb_opt.engines.distributed import rebalance_experts_distributed
from tests.engines import ranks

distributed = pytest.importorskip("torch.distributed")
pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="this torch has no gloo",
)
#: No test here waits longer for a child; starting one takes most of it.
PATIENCE = 120


def together(name, folder):
    """What both ranks report; None for one that died."""
    context = multiprocessing.get_context("spawn")
    children = []
    for rank in range(2):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (name, rank, folder / "meeting", theirs)
        child = context.Process(target=ranks.run, args=arguments, daemon=True)
        child.start()
        theirs.close()  # else the end of a dead child's pipe would never be seen
        children.append((child, ours))
    reports = []
    for child, pipe in children:
        try:
            reports.append(pipe.recv() if pipe.poll(PATIENCE) else pytest.fail("a rank hangs"))
        except EOFError:
            reports.append(None)
        child.join(PATIENCE)
        child.kill()
    return reports


def test_both_ranks_get_rank_0s_plan_and_can_go_on_calling(tmp_path):
    (first, maps, _), (second, same, _) = together("both_call", tmp_path)
    assert first == second == "returned"
    assert maps == same
    problem = Problem(ranks.WEIGHT, 32, 8)
    for placed, slots, count in maps:
        eplb_opt.Plan(placed, 8).check(problem)
        assert np.array(slots).shape[:2] == np.array(count).shape == (3, 24)


def test_only_rank_0s_loads_count(tmp_path):
    reports = together("each_has_its_own_loads", tmp_path)
    assert [r[0] for r in reports] == ["returned"] * 2
    assert reports[0][1] == reports[1][1]


def test_what_stays_on_its_gpu_keeps_its_slot_on_both(tmp_path):
    reports = together("with_a_map_in_force", tmp_path)
    assert reports[0][1] == reports[1][1]
    placed = np.array(reports[0][1][0]).reshape(3, 8, 4)
    held = (np.arange(32) % 24).reshape(8, 4)
    for layer in placed:
        for new, old in zip(layer, held, strict=True):
            assert all(new[k] == old[k] for k in range(4) if old[k] in new)


def test_tensors_come_back_as_tensors_and_the_same(tmp_path):
    reports = together("with_tensors", tmp_path)
    assert [r[0] for r in reports] == ["returned"] * 2
    assert reports[0][1] == reports[1][1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shapes_differ", r"rank 1 was called with [2, 24, 32, 8, 1, 1, 0]"),
        ("only_one_has_a_map", "current given"),
        ("loads_that_are_none", "rank 0 could not plan: ProblemError"),
    ],
)
def test_what_cannot_be_planned_is_an_error_on_both_at_once(tmp_path, name, reason):
    for kind, text, seconds in together(name, tmp_path):
        assert kind == "RebalanceError"
        assert reason in text
        assert seconds < 10


@pytest.mark.parametrize(
    ("name", "survivor"),
    [
        ("the_other_never_calls", 0),
        ("the_first_never_calls", 1),
        ("the_other_dies_before", 0),
        ("the_first_dies_planning", 1),
        ("the_other_dies_before_it_confirms", 0),
    ],
)
def test_a_rank_that_dies_or_never_calls_leaves_the_old_map(tmp_path, name, survivor):
    kind, text, seconds = together(name, tmp_path)[survivor]
    assert kind == "RebalanceError", text
    assert "the old map stays in force" in text
    assert seconds < 30


def test_a_call_without_a_group_is_refused():
    if distributed.is_initialized():
        pytest.skip("somebody else made a group")
    with pytest.raises(ProblemError, match="not initialised"):
        rebalance_experts_distributed(ranks.WEIGHT, *ranks.NUMBERS)


@pytest.mark.parametrize("options", [{"time_limit": float("inf")}, {"timeout": 0.0}])
def test_waiting_for_ever_is_refused(options):
    with pytest.raises(ProblemError, match="finite seconds"):
        rebalance_experts_distributed(ranks.WEIGHT, *ranks.NUMBERS, **options)
