"""Gloo processes: one plan for all, or the old map for all."""

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


def together(name, folder, size=2):
    """What the ranks report; None for one that died."""
    known = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
    # One process imports torch, the children are its copies.
    context.set_forkserver_preload(["tests.engines.ranks", "eplb_opt.engines.distributed", "torch"])
    children = []
    for rank in range(size):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (name, rank, size, folder / "meeting", theirs)
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


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Both ranks' outcomes of all that leaves the group whole, in one group."""
    both = together("one_after_the_other", tmp_path_factory.mktemp("ranks"))
    return [report[1] for report in both]


@pytest.mark.parametrize("name", ["each_has_its_own_loads", "with_a_map_in_force", "with_tensors"])
def test_both_ranks_get_the_same_maps(reports, name):
    (first, maps, _), (second, same, _) = (report[name] for report in reports)
    assert first == second == "returned"
    assert maps == same
    eplb_opt.Plan(maps[0], 8).check(Problem(ranks.WEIGHT, 32, 8))
    assert np.array(maps[1]).shape[:2] == np.array(maps[2]).shape == (3, 24)


def test_what_stays_on_its_gpu_keeps_its_slot(reports):
    placed = np.array(reports[1]["with_a_map_in_force"][1][0]).reshape(3, 8, 4)
    held = (np.arange(32) % 24).reshape(8, 4)
    for layer in placed:
        for new, old in zip(layer, held, strict=True):
            assert all(new[k] == old[k] for k in range(4) if old[k] in new)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("shapes_differ", "rank 1 was called with [2, 24, 32, 8, 1, 1, 0]"),
        ("only_one_has_a_map", "current given"),
        ("loads_that_are_none", "rank 0 could not plan: ProblemError"),
    ],
)
def test_what_cannot_be_planned_is_an_error_on_both_and_spoils_nothing(reports, name, reason):
    for report in reports:
        kind, text, seconds = report[name]
        assert kind == "RebalanceError"
        assert reason in text
        assert seconds < ranks.PATIENT


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
    assert seconds < 2 * ranks.PATIENT


def test_all_that_are_left_keep_the_old_map(tmp_path):
    reports = together("the_last_of_three_dies_before_it_confirms", tmp_path, size=3)
    assert [r and r[0] for r in reports] == ["RebalanceError", "RebalanceError", None]


def test_a_call_without_a_group_is_refused():
    if distributed.is_initialized():
        pytest.skip("somebody else made a group")
    with pytest.raises(ProblemError, match="not initialised"):
        rebalance_experts_distributed(ranks.WEIGHT, *ranks.NUMBERS)


@pytest.mark.parametrize("options", [{"time_limit": float("inf")}, {"timeout": 0.0}])
def test_waiting_for_ever_is_refused(options):
    with pytest.raises(ProblemError, match="finite seconds"):
        rebalance_experts_distributed(ranks.WEIGHT, *ranks.NUMBERS, **options)
