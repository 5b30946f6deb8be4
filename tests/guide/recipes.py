"""The recipes of the page on architecture: files to add and changes to make, applied to a copy."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from eplb_opt.core import _core
from tests.guide.documents import ROOT, blocks

FILE = re.compile(r"^# (\S+\.py)\n")
#: A copy needs the modules and the compiled core, not what they were made of.
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.cpp", "*.hpp", "*.md", "*.png", "*.tmp")


@dataclass(frozen=True)
class Change:
    """One place of a file: the lines that stand there, and those that are to stand there."""

    file: str
    before: str
    after: str


def copy_packages(folder):
    """Both packages, as they are here, in another folder."""
    for package in ("eplb_opt", "heuristics"):
        shutil.copytree(ROOT / package, folder / package, ignore=LEFT_OUT)
    # An editable installation keeps the compiled core elsewhere.
    core = Path(_core.__file__)
    shutil.copy(core, folder / "eplb_opt" / "core" / core.name)


def apply_recipes(document, folder):
    """Add the files and make the changes that a text shows; the names of the files."""
    changed = []
    for block in blocks(document, "python", "diff"):
        named = FILE.match(block.text)
        if block.language == "python" and named:
            path = folder / named[1]
            assert not path.exists(), path
            path.write_text(block.text)
            changed.append(named[1])
        if block.language == "diff":
            for change in changes(block.text):
                make(change, folder)
                changed.append(change.file)
    return changed


def changes(diff):
    """The changes of a block; `---` names the file, `@@` stands between two places."""
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        file, _, places = part.partition("\n")
        for place in re.split(r"^@@\n", places, flags=re.MULTILINE):
            lines = place.splitlines()
            before = [line[1:] for line in lines if line[:1] != "+"]
            after = [line[1:] for line in lines if line[:1] != "-"]
            yield Change(file, "\n".join(before) + "\n", "\n".join(after) + "\n")


def make(change, folder):
    """Replace the lines, which must stand in the file exactly once."""
    path = folder / change.file
    text = path.read_text()
    assert text.count(change.before) == 1, f"{change.file}:\n{change.before}"
    path.write_text(text.replace(change.before, change.after))
