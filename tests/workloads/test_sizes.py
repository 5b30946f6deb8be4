import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.workloads.sizing import Size, make_sizes


def test_by_default_each_gpu_count_starts_at_the_fewest_slots_that_hold_every_expert():
    sizes = make_sizes(256, [72, 32])
    assert sizes[0] == Size(256, 32)
    assert [size.slots_per_gpu for size in sizes] == [8, 9, 10, 11, 12, 4, 5, 6, 7, 8]


def test_slots_go_to_the_gpu_counts_that_divide_them():
    assert make_sizes(256, [32, 72], num_slots=[320, 288]) == [
        Size(288, 32),
        Size(320, 32),
        Size(288, 72),
    ]


def test_slots_of_one_gpu_that_hold_too_few_experts_are_left_to_the_larger_gpu_counts():
    assert make_sizes(256, [32, 64], slots_per_gpu=[4, 8]) == [
        Size(256, 32),
        Size(256, 64),
        Size(512, 64),
    ]


def test_redundant_slots_are_those_beyond_one_for_each_expert():
    size = Size(288, 72)
    assert size.redundant(256) == 32
    assert size.redundant_per_gpu(256) == pytest.approx(32 / 72)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"num_slots": [300]}, "take 288 or 320"),
        ({"num_slots": [32]}, "take 256 or 288"),
        ({"slots_per_gpu": [3]}, "8 on each"),
        ({"num_slots": [288], "slots_per_gpu": [9]}, "exclude each other"),
        ({"slots_per_gpu": [0]}, "below 1"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_the_mend(keywords, words):
    with pytest.raises(ProblemError, match=words):
        make_sizes(256, [32], **keywords)
    with pytest.raises(ProblemError, match="num_gpus is empty"):
        make_sizes(256, [])
