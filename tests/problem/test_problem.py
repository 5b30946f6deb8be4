from fractions import Fraction

import numpy as np
import pytest

from eplb_opt import Problem, ProblemError

GOOD = {"load": [[3, 1, 2, 2], [0, 0, 9, 1]], "num_slots": 6, "num_gpus": 2}


def build(**changes):
    return Problem(**{**GOOD, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_slots": 7}, ["num_slots = 7", "num_gpus = 2", "6 or 8"]),
        ({"num_slots": 2}, ["num_slots=2", "4 experts", "at least 4"]),
        ({"num_gpus": 4, "num_slots": 8, "num_nodes": 3}, ["num_gpus = 4", "num_nodes = 3"]),
        ({"num_groups": 3}, ["experts = 4", "num_groups = 3"]),
        (
            {
                "load": np.ones((1, 12)),
                "num_slots": 12,
                "num_gpus": 4,
                "num_nodes": 4,
                "num_groups": 6,
            },
            ["num_groups = 6", "num_nodes = 4"],
        ),
        ({"load": [[1, -2, 3, 4]]}, ["load[0, 1] = -2", "negative"]),
        ({"load": [[1, float("nan"), 3, 4]]}, ["load[0, 1]", "not finite"]),
        ({"load": [[1, 2, float("inf"), 4]]}, ["load[0, 2]", "not finite"]),
        ({"load": [[1, 2j, 3, 4]]}, ["complex"]),
        ({"load": [["a", "b"]]}, ["dtype"]),
        ({"load": [[1, 2], [3]]}, ["rectangular"]),
        ({"load": [1, 2, 3, 4]}, ["[4]", "[num_layers, num_experts]"]),
        ({"load": np.ones((2, 2, 2, 4))}, ["[2, 2, 2, 4]"]),
        ({"load": np.ones((0, 4))}, ["[0, 4]"]),
        ({"load": np.ones((2, 0))}, ["[2, 0]"]),
        ({"load": [[2**62, 0, 0, 0]]}, ["layer 0", "2**62"]),
        ({"load": np.full((1, 4), 2**64 - 1, dtype=np.uint64)}, ["2**62"]),
        ({"load": [[1e300, 1.0, 1.0, 1.0]]}, ["1e+300"]),
        ({"num_slots": 6.5}, ["num_slots=6.5"]),
        ({"num_gpus": 0}, ["num_gpus=0"]),
        ({"num_gpus": True}, ["num_gpus=True"]),
        ({"colocation": "maybe"}, ["'maybe'", "allow, forbid"]),
        ({"num_slots": 10, "colocation": "forbid"}, ["5 slots", "4"]),
    ],
)
def test_bad_input_is_refused_with_its_numbers(changes, words):
    with pytest.raises(ProblemError) as caught:
        build(**changes)
    for word in words:
        assert word in str(caught.value)


def test_problem_error_is_a_value_error():
    assert issubclass(ProblemError, ValueError)


def test_loads_are_copied_and_frozen():
    load = np.array(GOOD["load"])
    problem = build(load=load)
    load[0, 0] = 99
    assert problem.load[0, 0] == 3
    with pytest.raises(ValueError, match="read-only"):
        problem.load[0, 0] = 1


def test_integers_pass_unchanged_whatever_their_type():
    for dtype in (np.int8, np.uint16, np.int32, np.uint64, np.float32, np.float64):
        problem = build(load=np.array(GOOD["load"], dtype=dtype))
        assert problem.load.tolist() == GOOD["load"]
        assert problem.load.dtype == np.int64
        assert not problem.rounded.any()
        assert problem.unit_exponent.tolist() == [0, 0]


def test_floats_that_fit_are_exact():
    load = [[0.5, 0.25, 3.0, 0.1], [1.0, 2.0, 3.0, 0.0]]
    problem = build(load=load)
    assert not problem.rounded.any()
    for layer_idx, row in enumerate(load):
        unit = problem.unit(layer_idx)
        assert [int(v) * unit for v in problem.load[layer_idx]] == [Fraction(v) for v in row]


def test_floats_that_do_not_fit_are_rounded_down_within_the_promise():
    load = [[1e-20, 0.1, 1e5 / 3, 7.0]]
    problem = build(load=load)
    assert problem.rounded.all()
    unit = problem.unit(0)
    errors = [Fraction(v) - int(w) * unit for v, w in zip(load[0], problem.load[0], strict=True)]
    assert all(error >= 0 for error in errors)
    assert sum(errors) <= Fraction(1e-12) * Fraction(sum(load[0]))
    assert int(problem.load.sum()) < 2**62


def test_tensors_are_accepted_bfloat16_too():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(GOOD["load"])
    assert build(load=tensor).load.tolist() == GOOD["load"]
    assert build(load=tensor.to(torch.bfloat16)).load.tolist() == GOOD["load"]


def test_a_layer_and_a_relaxation_keep_the_units():
    problem = Problem([[0.5, 1.5, 2, 2], [1, 1, 1, 1]], 8, 4, 2, 2, "forbid")
    for part in (problem.flat(), problem.with_colocation("allow"), problem.layer(0)):
        assert part.unit(0) == Fraction(1, 2)
        assert part.load[0].tolist() == [1, 3, 4, 4]
    assert problem.layer(1).unit(0) == 1
    assert not problem.flat().is_hierarchical
    assert problem.flat().colocation == "forbid"


def test_nodes_or_groups_alone_do_not_make_a_hierarchy():
    assert not build(num_nodes=2).is_hierarchical
    assert not build(num_groups=2).is_hierarchical
    assert build(num_nodes=2, num_groups=2).is_hierarchical
