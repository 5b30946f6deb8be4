import re

import pytest

from eplb_opt.cli import main
from eplb_opt.guide import TOPICS, read_topic, summary_of


def run(capsys, *arguments):
    code = main(["guide", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_without_a_topic_every_topic_is_listed_with_what_it_is_about(capsys):
    code, out, _ = run(capsys)
    listed = [line.split(maxsplit=1) for line in out.splitlines() if line.strip()]
    assert code == 0
    assert [name for name, _ in listed] == list(TOPICS)
    assert [about.strip() for _, about in listed] == [summary_of(topic) for topic in TOPICS]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_pipe_gets_the_markdown_as_it_is(capsys, topic):
    assert run(capsys, topic) == (0, read_topic(topic), "")


def test_a_terminal_gets_headings_and_tables_instead_of_marks(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "units")
    assert code == 0
    assert "| --- |" not in out and "|---|" not in out
    assert "balancedness" in out
    shown = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert max(map(len, shown.splitlines())) <= 80


def test_an_unknown_topic_is_bad_input_and_the_known_ones_are_named(capsys):
    code, out, err = run(capsys, "philosophy")
    assert (code, out) == (2, "")
    assert "philosophy" in err and "choosing" in err
