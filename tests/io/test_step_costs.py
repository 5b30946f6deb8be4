"""Measured seconds of an expert, read from a table."""

import pytest

from eplb_opt import FormatError
from eplb_opt.io import read_step_cost


@pytest.mark.parametrize("head", ["tokens,seconds\n", "# measured\n", "Tokens, Seconds\n", ""])
def test_a_table_is_read_with_and_without_a_header(tmp_path, head):
    path = tmp_path / "expert.csv"
    path.write_text(head + "1,1e-5\n64,3e-5\n")
    cost = read_step_cost(path)
    assert cost.table == ((1.0, 1e-5), (64.0, 3e-5))
    assert cost.name == str(path)
    assert cost.experts_per_token is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n", "two numbers a row"),
        ("1,fast\n", "two numbers a row"),
        ("1,2\n1,3\n", "tokens must rise"),
        ("tokens,seconds\n", "two numbers a row"),
        ("", "no rows"),
    ],
)
def test_what_is_no_table_is_refused_with_its_name(tmp_path, text, words):
    path = tmp_path / "expert.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=words) as caught:
        read_step_cost(path)
    assert "expert.csv" in str(caught.value)
