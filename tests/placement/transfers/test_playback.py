"""The playback refuses every kind of transfer that cannot be carried out."""

import numpy as np
import pytest

from eplb_opt import Plan, PlanError, ProblemError
from eplb_opt.placement.transfers import played_back

#: Two GPUs with two slots, and one staging slot each: 4 and 5.
CURRENT = [[0, 1, 2, 3]]


def test_a_batch_reads_before_it_writes_and_the_next_one_sees_what_was_written():
    batches = [[(0, 0, 0, 0, 1, 2)], [(0, 0, 1, 2, 1, 3)]]
    assert played_back(CURRENT, batches, 2).tolist() == [[0, 1, 0, 0]]


def test_current_is_not_changed():
    current = np.array(CURRENT)
    played_back(current, [[(0, 0, 0, 0, 1, 2)]], 2)
    assert current.tolist() == CURRENT


@pytest.mark.parametrize(
    ("batches", "options", "words"),
    [
        ([[(0, 1, 0, 0, 1, 2)]], {}, "slot 0 is read for expert 1"),
        ([[(0, 2, 1, 2, 0, 0)], [(0, 0, 0, 0, 1, 3)]], {}, "Batch 1: slot 0 is read"),
        ([[(0, 0, 0, 0, 1, 2), (0, 3, 1, 3, 1, 2)]], {}, "GPU 1 is in two transfers"),
        ([[(0, 0, 0, 0, 0, 1), (0, 7, -1, -1, 0, 0)]], {}, "GPU 0 is in two transfers"),
        ([[(0, 0, 1, 0, 1, 2)]], {}, "slot 0 is on GPU 0, not on GPU 1"),
        ([[(0, 0, 0, 0, 1, 4)]], {}, "slot 4 is on GPU 0, not on GPU 1"),
        ([[(0, 0, 0, 0, 1, 6)]], {}, "there is no slot 6"),
        ([[(0, 0, 0, 0, 0, 4)]], {"staging_slots": 0}, "there is no slot 4"),
        ([[(0, 0, -1, -1, 1, 2)]], {}, "comes from storage, but a GPU held it"),
        ([[(0, 0, 0, 0, 1, 2)], [(0, 3, 1, 3, 1, 2)]], {}, "slot 2 of layer 0 is written a second"),
        ([[(0, 0, 0, 0, 0, 0)]], {}, "slot 0 of layer 0 holds expert 0 already"),
        ([[(0, 0, 0, 0, 1, 2)]], {"active_gpus": [False, True]}, "slot 0 is read for expert 0"),
        ([[(0, 2, 1, 2, 0, 0)]], {"active_gpus": [False, True]}, "GPU 0 is lost"),
        ([[(0, 7, -1, -1, 0, 0), (0, 8, -1, -1, 1, 2)]], {"max_in_flight": 1}, "2 transfers are"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(batches, options, words):
    with pytest.raises(PlanError, match=words):
        played_back(CURRENT, batches, 2, **options)


def test_a_source_that_is_not_the_nearest_is_refused():
    with pytest.raises(PlanError, match="GPU 1 is nearer"):
        played_back([[0, 1, 0, 2]], [[(0, 0, 0, 0, 1, 3)]], 2)
    current = [[0, 1, 0, 2]]
    batches = [[(0, 0, 0, 0, 3, 3)]]
    assert played_back(current, batches, 4).tolist() == [[0, 1, 0, 0]]
    with pytest.raises(PlanError, match="GPU 2 is nearer"):
        played_back(current, batches, 4, num_nodes=2)


def test_a_staging_slot_holds_the_expert_of_one_layer():
    current = [[0, 1], [0, 1]]
    batches = [[(0, 0, 0, 0, 0, 2)], [(1, 0, 0, 0, 0, 2)], [(0, 0, 0, 2, 1, 1)]]
    with pytest.raises(PlanError, match="Batch 2: slot 2 is read for expert 0 of layer 0"):
        played_back(current, batches, 2)


def test_an_array_needs_its_gpus():
    with pytest.raises(ProblemError, match="num_gpus="):
        played_back(CURRENT, [])
    assert played_back(Plan(CURRENT, 2), []).tolist() == CURRENT
