import pytest
from rich import box
from rich.table import Table

from eplb_opt.cli.screen import Screen, fitted


def table(*headings, rows=2, cell="1,234,567.89"):
    made = Table(title="A table")
    for heading in headings:
        made.add_column(heading, justify="right")
    for _ in range(rows):
        made.add_row(*[cell] * len(headings))
    return made


def printed(made, width):
    screen = Screen(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with screen.file:
        screen.print(made)
        return screen.export_text()


def test_a_table_that_fits_stays_as_it_is():
    made = table("gap", "balancedness")
    assert fitted(made, Screen(width=80)) is made
    assert fitted(made, Screen(width=30)).box is box.SIMPLE_HEAD


@pytest.mark.parametrize("width", [42, 50, 60, 75])
def test_no_number_is_ever_cut_off(width):
    made = table("a GPU", "layer", "proven bound", "balancedness", "best possible", "gap")
    text = printed(made, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.count("1,234,567.89") >= 2 * 2
    assert "gap" in text


def test_what_had_no_room_is_named():
    text = printed(table("layer", "balancedness", "bound by", "time"), 32)
    assert "bound by" in " ".join(text.split())
    assert "No room for" in text
    assert "layer" in text.splitlines()[1]


def test_long_cells_are_broken_between_words_and_short_ones_are_not():
    long = table("layers", "status", cell="26x8, 32x9, 26x10, 32x11, 12x12")
    text = printed(long, 40)
    assert "26x10," in text
    assert "No room" not in text
    assert "0 of 58" in printed(table("optimal", "gap", cell="0 of 58"), 17)


def test_tables_are_set_apart():
    screen = Screen(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with screen.file:
        screen.print(table("a"))
        screen.print(table("b"))
        lines = screen.export_text().splitlines()
    assert "" in [line.strip() for line in lines[1:-1]]
