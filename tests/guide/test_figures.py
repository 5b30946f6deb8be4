"""The tables of figures in the texts are those of the stored data."""

import pytest

from eplb_opt.errors import FormatError
from eplb_opt.guide import figures


@pytest.mark.parametrize("path", figures.DOCUMENTS, ids=lambda path: path.name)
def test_the_figures_of_a_text_are_up_to_date(path):
    text = path.read_text()
    assert figures.updated(text, figures.DOCUMENTS[path]) == text, (
        "Write them anew: python -m eplb_opt.guide.figures"
    )


def test_what_stood_between_the_marks_is_replaced_and_nothing_else():
    before = f"above\n{figures.BEGIN}\nold figures\n{figures.END}\nbelow\n"
    after = figures.updated(before, ("mixtral-8x7b-16-8",))
    assert after.startswith(f"above\n{figures.BEGIN}\n| instance |")
    assert after.endswith(f"{figures.END}\nbelow\n")
    assert "old figures" not in after
    assert "| mixtral-8x7b-16-8 | 32 x 8 | 16 / 8 | 1.59 % | 0 | 32 of 32 |" in after


def test_a_text_without_marks_is_refused():
    with pytest.raises(FormatError, match="0 places"):
        figures.updated("no figures\n")


def test_the_greedy_of_a_worked_example_is_as_far_from_the_optimum_as_published():
    # Published: the greedy has 232 where the proven optimum is 196 2/3.
    assert figures.greedy_gap("hot-pair") == pytest.approx(232 / (590 / 3) - 1)
