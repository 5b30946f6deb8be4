"""The method without a slot count."""

import numpy as np
import pytest
import torch

from heuristics import cpu_lpt


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_any_kind_of_loads_gives_the_same_lists(kind):
    assert cpu_lpt(kind([8, 1, 1, 2]), 3) == [[0], [0], [3, 1, 2]]


def test_an_expert_over_the_target_gets_enough_copies_but_one_a_gpu_at_most():
    # Target 4: 10 needs three copies; alone, an expert would need five of four.
    assignment = cpu_lpt([10, 1, 1], 3)
    assert sum(gpu.count(0) for gpu in assignment) == 3
    assert cpu_lpt([7], 4) == [[0], [0], [0], [0]]


def test_loads_of_zero_give_every_expert_one_place():
    placed = cpu_lpt([0, 0, 0], 2)
    assert sorted(expert for gpu in placed for expert in gpu) == [0, 1, 2]


def test_loads_too_small_to_share_give_every_expert_one_place():
    assert sum(map(len, cpu_lpt([5e-324, 0.0], 8))) == 2


def test_loads_on_a_gradient_tape_are_read_without_it():
    assert cpu_lpt(torch.ones(2, requires_grad=True), 2) == [[0], [1]]


@pytest.mark.parametrize("loads", [[[1, 2]], [], [-1, 2], [float("nan")], ["a"]])
def test_loads_that_are_none_are_refused(loads):
    with pytest.raises(ValueError, match="weight"):
        cpu_lpt(loads, 2)


def test_no_gpu_is_refused():
    with pytest.raises(ValueError, match="num_gpus=0"):
        cpu_lpt([1], 0)
