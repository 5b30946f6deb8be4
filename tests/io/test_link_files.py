"""Files of what links cost and of where tokens come from."""

import json

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io.links import read_rank_costs, read_sources

COSTS = [[0, 0.25, 1], [0.25, 0, 1], [1, 1, 0]]


def written(folder, name, content):
    path = folder / name
    if name.endswith(".npy"):
        np.save(path, content)
    elif name.endswith(".npz"):
        np.savez(path, **content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sglang.json", {"rank_cost_matrix": COSTS}),
        ("ours.json", {"rank_costs": COSTS}),
        ("lists.json", COSTS),
        ("a.npy", np.array(COSTS)),
        ("a.npz", {"rank_costs": np.array(COSTS)}),
        ("one.npz", {"anything": np.array(COSTS)}),
        ("a.csv", "0,0.25,1\n0.25,0,1\n1,1,0\n"),
    ],
)
def test_a_matrix_is_read_from_every_container(tmp_path, name, content):
    costs = read_rank_costs(written(tmp_path, name, content))
    assert costs.dtype == np.float64
    assert costs.tolist() == COSTS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", {"costs": COSTS}, "keys costs; one of rank_costs, rank_cost_matrix is due"),
        ("a.json", [[0, 1]], r"shape \[1, 2\]; it must be square"),
        ("a.json", [[0, 1], [1]], "row 1 has 1 entries, row 0 has 2"),
        ("a.json", [["a", "b"], ["c", "d"]], "must hold integers or reals"),
        ("a.json", "{", "no JSON"),
        ("a.csv", "0,x\n1,0\n", "more than numbers"),
        ("a.npy", np.zeros((0, 0)), "square"),
        ("a.npz", {"a": np.zeros(2), "b": np.zeros(2)}, "one of rank_costs"),
        ("a.yaml", "a: 1", "read from json, npy, npz, csv"),
    ],
)
def test_what_is_no_matrix_is_refused_with_the_file(tmp_path, name, content, words):
    path = written(tmp_path, name, content)
    with pytest.raises(FormatError, match=words) as error:
        read_rank_costs(path)
    assert str(path) in str(error.value)


def test_sources_are_read_under_either_name_and_by_layer(tmp_path):
    tokens = np.arange(3 * 2 * 4).reshape(3, 2, 4)
    plain = written(tmp_path, "a.npy", tokens)
    named = {"tokens_per_source_expert": tokens, "layer_ids": np.array([3, 4, 7])}
    packed = written(tmp_path, "a.npz", named)
    assert read_sources(plain).tolist() == tokens.tolist()
    assert read_sources(packed, (4, 7)).tolist() == tokens[1:].tolist()
    assert read_sources(written(tmp_path, "a.json", tokens[0].tolist())).shape == (2, 4)
    with pytest.raises(FormatError, match="lack layer 5"):
        read_sources(packed, (4, 5))
    short = written(tmp_path, "b.npz", {"sources": tokens, "layer_ids": np.array([3])})
    with pytest.raises(FormatError, match="1 layer_ids stand beside 3"):
        read_sources(short, (4,))
    with pytest.raises(FormatError, match="sources has shape"):
        read_sources(written(tmp_path, "c.npy", np.zeros(3)))
