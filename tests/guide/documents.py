"""Markdown texts taken apart: blocks of code, commands, links."""

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "eplb_opt" / "guide"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
OURS = ("eplb-opt ", "python -m eplb_opt.")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the text says that it prints; None where the text does not say."""

    language: str
    text: str
    promised: str | None


def blocks(document, *languages):
    """The blocks of some languages; a block of text right after one says what that one prints."""
    found = list(BLOCK.finditer(document))
    for block, following in zip_longest(found, found[1:]):
        promised = None
        if following is not None and following[1] == "text":
            between = document[block.end() : following.start()]
            promised = following[2] if "\n#" not in between else None
        if block[1] in languages:
            yield Block(block[1], block[2], promised)


def commands(block):
    """The lines of a console block that run a program of ours, those that go on joined."""
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith(OURS)]


def prose(document):
    """A text without its blocks of code."""
    return BLOCK.sub("", document)


def assert_printed(printed, promised):
    """Compare what was printed with what a text promises.

    Runs of blanks count as one blank; `...` stands for any text, on a line of its own for any
    number of lines.
    """
    lines = [" ".join(line.split()) for line in promised.strip().splitlines()]
    pattern = r"\n".join(re.escape(line).replace(r"\.\.\.", ".*") for line in lines)
    pattern = pattern.replace(r"\n.*\n", r"\n(?:.*\n)*?").removesuffix(r"\n.*")
    shown = "\n".join(" ".join(line.split()) for line in printed.strip().splitlines())
    if not re.match(pattern, shown):
        pytest.fail(f"The text promises\n{promised}\nand this is printed:\n{printed}")
