"""Bad input is refused with its numbers; any good kind of input is taken."""

import numpy as np
import pytest
import torch
from heuristic_cases import README, README_ANSWER, README_LOADS

from heuristics import HEURISTICS

every_heuristic = pytest.mark.parametrize("name", sorted(HEURISTICS))

BAD_WEIGHTS = {
    "one axis": ([1, 2], r"shape \[2\]"),
    "three axes": ([[[1, 2]]], r"shape \[1, 1, 2\]"),
    "no layer": (np.zeros((0, 4)), "at least one"),
    "no expert": (np.zeros((4, 0)), "at least one"),
    "negative": ([[3, -7]], r"-7"),
    "nan": ([[1.0, float("nan")]], "NaN or inf"),
    "inf": ([[1.0, float("inf")]], "NaN or inf"),
    "minus inf": ([[1.0, -float("inf")]], "NaN or inf"),
    "complex": (np.array([[1j, 2]]), "complex128"),
    "bool": (np.array([[True, False]]), "bool"),
    "past float32": ([[3e38, 3e38]], "scale them"),
}
NO_TENSOR = {
    "text": ([["a", "b"]], "real loads"),
    "ragged": ([[1, 2], [3]], "no array"),
    "nothing": (None, "real loads"),
}
BAD_NUMBERS = [
    ((7, 1, 1, 2), r"num_replicas=7 .* num_gpus=2.* 8 replicas"),
    ((2, 1, 1, 2), r"num_replicas=2 .* 4 experts"),
    ((8, 3, 3, 3), r"num_replicas=8 .* num_gpus=3"),
    ((6, 3, 1, 2), r"4 experts .* num_groups=3"),
    ((8, 4, 4, 2), r"num_gpus=2 .* num_nodes=4"),
    ((0, 1, 1, 2), r"num_replicas=0"),
    ((8, 0, 1, 2), r"num_groups=0"),
    ((8, 1, -1, 2), r"num_nodes=-1"),
    ((8, 1, 1, 0), r"num_gpus=0"),
    ((8, 1, 1, 2.0), r"num_gpus=2.0"),
    ((8, 1, True, 2), r"num_nodes=True"),
    ((8, None, 1, 2), r"num_groups=None"),
]


@every_heuristic
@pytest.mark.parametrize("kind", BAD_WEIGHTS | NO_TENSOR)
def test_bad_loads_are_refused(name, kind):
    weight, message = (BAD_WEIGHTS | NO_TENSOR)[kind]
    with pytest.raises(ValueError, match=message):
        HEURISTICS[name](weight, 8, 1, 1, 2)


@every_heuristic
@pytest.mark.parametrize("kind", BAD_WEIGHTS)
def test_bad_tensors_are_refused(name, kind):
    weight, message = BAD_WEIGHTS[kind]
    with pytest.raises(ValueError, match=message):
        HEURISTICS[name](torch.as_tensor(np.asarray(weight)), 8, 1, 1, 2)


@every_heuristic
@pytest.mark.parametrize(("numbers", "message"), BAD_NUMBERS)
def test_bad_numbers_are_refused(name, numbers, message):
    with pytest.raises(ValueError, match=message):
        HEURISTICS[name](np.ones((2, 4)), *numbers)


@every_heuristic
def test_arrays_and_lists_give_arrays(name):
    from_list = HEURISTICS[name](README_LOADS, *README.numbers)
    for dtype in (np.int32, np.uint16, np.float16, np.float64):
        maps = HEURISTICS[name](README.weight.astype(dtype), *README.numbers)
        for a, b in zip(maps, from_list, strict=True):
            assert isinstance(a, np.ndarray)
            np.testing.assert_array_equal(a, b)


@every_heuristic
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.float64, torch.float16])
def test_tensors_give_tensors_on_the_same_device(name, dtype):
    weight = torch.tensor(README_LOADS).to(dtype)
    maps = HEURISTICS[name](weight, *README.numbers)
    for tensor, array in zip(maps, README.run(HEURISTICS[name]), strict=True):
        assert isinstance(tensor, torch.Tensor)
        assert (tensor.dtype, tensor.device) == (torch.int64, weight.device)
        np.testing.assert_array_equal(tensor.numpy(), array)


@every_heuristic
def test_tensors_may_be_transposed_expanded_or_taped(name):
    expected = README.run(HEURISTICS[name])[0]
    transposed = torch.tensor(README_LOADS).T.contiguous().T
    taped = torch.tensor(README_LOADS, dtype=torch.float32, requires_grad=True)
    expanded = torch.tensor(README_LOADS[:1]).expand(3, -1)
    assert HEURISTICS[name](transposed, *README.numbers)[0].tolist() == expected.tolist()
    assert HEURISTICS[name](taped, *README.numbers)[0].tolist() == expected.tolist()
    for row in HEURISTICS[name](expanded, *README.numbers)[0].tolist():
        assert row == expected[0].tolist()


@every_heuristic
def test_input_is_never_modified_nor_kept(name):
    weight = torch.tensor(README_LOADS, dtype=torch.float32)
    array = weight.numpy().copy()
    frozen = array.copy()
    frozen.flags.writeable = False
    HEURISTICS[name](weight, *README.numbers)
    HEURISTICS[name](frozen, *README.numbers)
    np.testing.assert_array_equal(weight.numpy(), array)
    np.testing.assert_array_equal(frozen, array)


def test_numpy_integers_count_as_numbers():
    numbers = [np.int64(n) for n in README.numbers]
    assert HEURISTICS["deepseek"](README_LOADS, *numbers)[0].tolist() == README_ANSWER


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@every_heuristic
def test_cuda_tensors_give_the_same_maps_on_their_device(name):
    maps = HEURISTICS[name](torch.tensor(README_LOADS, device="cuda"), *README.numbers)
    for tensor, array in zip(maps, README.run(HEURISTICS[name]), strict=True):
        assert tensor.device.type == "cuda"
        np.testing.assert_array_equal(tensor.cpu().numpy(), array)
