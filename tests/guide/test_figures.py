"""The tables of figures in the texts are those of the stored data."""

import pytest

from eplb_opt.errors import FormatError
from eplb_opt.guide import figures


@pytest.mark.parametrize("path", figures.DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_of_a_text_are_up_to_date(path):
    text = path.read_text()
    assert figures.updated(text) == text, "Write them anew: python -m eplb_opt.guide.figures"


def test_every_table_stands_in_a_text():
    texts = "".join(path.read_text() for path in figures.DOCUMENTS)
    assert {found[1] for found in figures.BETWEEN.finditer(texts)} == set(figures.TABLES)


def test_what_stood_between_the_marks_is_replaced_and_nothing_else(monkeypatch):
    monkeypatch.setitem(
        figures.TABLES, "mixtral", lambda: figures.instances_table(["mixtral-8x7b-16-8"])
    )
    begin = figures.BEGIN.format("mixtral")
    before = f"above\n{begin}\nold figures\n{figures.END}\nbelow\n"
    after = figures.updated(before)
    assert after.startswith(f"above\n{begin}\n| instance |")
    assert after.endswith(f"{figures.END}\nbelow\n")
    assert "old figures" not in after
    assert "| mixtral-8x7b-16-8 | 32 x 8 | 16 / 8 | 1.59 % | 0 | 32 of 32 |" in after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no figures\n", "no places"),
        (f"{figures.BEGIN.format('none')}\n{figures.END}\n", "'none' is unknown; known: instances"),
    ],
)
def test_a_text_without_marks_or_with_an_unknown_one_is_refused(text, message):
    with pytest.raises(FormatError, match=message):
        figures.updated(text)


def test_the_greedy_of_a_worked_example_is_as_far_from_the_optimum_as_published():
    # Published: the greedy has 232 where the proven optimum is 196 2/3.
    assert figures.greedy_gap("hot-pair") == pytest.approx(232 / (590 / 3) - 1)
