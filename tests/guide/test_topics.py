"""The pages of the guide: all listed, linked to each other, and written in one vocabulary."""

import re
import tomllib

import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.guide import TOPICS, read_topic, summary_of
from tests.guide.documents import GUIDE, LINK, PICTURE, ROOT, prose

README = (ROOT / "README.md").read_text()
PAGES = {f"{topic}.md": read_topic(topic) for topic in TOPICS}
#: Every text, and the folder that its links start from.
TEXTS = {"README.md": (README, ROOT)} | {name: (text, GUIDE) for name, text in PAGES.items()}
MAX_PICTURE_BYTES = 60_000
MAX_LINE = 120


def test_every_page_in_the_folder_is_a_topic():
    assert {path.name for path in GUIDE.glob("*.md")} == set(PAGES)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_starts_with_a_heading_that_fits_the_list_of_topics(topic):
    assert read_topic(topic).startswith(f"# {topic.capitalize()}: ")
    assert 20 < len(summary_of(topic)) < 100


def test_an_unknown_topic_is_refused_with_the_known_ones():
    with pytest.raises(ProblemError, match="glossary"):
        read_topic("../README")


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_pictures_lead_to_files_that_are_there(name):
    text, folder = TEXTS[name]
    local = [target for target in LINK.findall(text) if not target.startswith("https://")]
    for target in local + PICTURE.findall(text):
        file, _, anchor = target.partition("#")
        assert (folder / file).exists(), target
        if anchor:
            linked = (folder / file).read_text() if file else text
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("topic", TOPICS)
def test_every_page_can_be_reached_from_the_readme_and_by_another_page(topic):
    assert f"eplb_opt/guide/{topic}.md" in README
    if topic not in ("changes", "architecture"):
        assert any(f"{topic}.md" in text for name, text in PAGES.items() if name != f"{topic}.md")


def test_every_word_of_the_glossary_is_used_elsewhere():
    others = " ".join(prose(text) for name, (text, _) in TEXTS.items() if name != "glossary.md")
    said = " ".join(others.lower().split())
    unused = [
        entry
        for entry in glossary_entries()
        if not any(re.search(rf"\b{re.escape(word)}", said) for word in entry.split(", "))
    ]
    assert not unused


def test_the_glossary_is_in_alphabetical_order_without_repetitions():
    headwords = [entry.split(", ")[0] for entry in glossary_entries()]
    assert headwords == sorted(set(headwords))


def glossary_entries():
    rows = re.findall(r"^\| ([^|]+) \|", PAGES["glossary.md"], re.MULTILINE)
    return [row.lower() for row in rows if row not in ("word", "---")]


@pytest.mark.parametrize("name", TEXTS)
def test_lines_of_prose_are_short_enough_to_read_in_an_editor(name):
    text = prose(TEXTS[name][0])
    lines = [line for line in text.splitlines() if not line.startswith(("|", "!", "<!--"))]
    assert not [line for line in lines if len(line) > MAX_LINE]


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (GUIDE / "examples").glob("*.png")}
    assert len(sizes) >= 2
    assert max(sizes.values()) < MAX_PICTURE_BYTES


def anchors(text):
    """The anchors that a web page of a text has for its headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_wheels_leave_nothing_of_the_guide_out():
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["scikit-build"]
    assert "eplb_opt" in settings["wheel"]["packages"]
    assert "/eplb_opt" in settings["sdist"]["include"]
    patterns = settings["wheel"]["exclude"] + settings["sdist"]["exclude"]
    shipped = [
        path.relative_to(ROOT) for path in GUIDE.rglob("*") if "__pycache__" not in path.parts
    ]
    assert not [path for path in shipped if any(path.match(pattern) for pattern in patterns)]
