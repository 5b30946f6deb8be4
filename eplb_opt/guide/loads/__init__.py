"""Small loads to try the program with, shipped with the package; `eplb-opt example` writes them.

They are generated, none are recorded; a test generates them anew, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from eplb_opt.errors import ProblemError


@dataclass(frozen=True)
class Example:
    """Loads, and what to do with them.

    Parameters
    ----------
    summary
        What they are, in one line.
    profile
        The profile of `eplb_opt.bench.generator` that they are generated from.
    num_layers, num_experts, seed
        The numbers for it.
    commands
        Command lines to try, `{file}` in the place of the file.
    """

    summary: str
    profile: str
    num_layers: int
    num_experts: int
    seed: int
    commands: tuple[str, ...]


EXAMPLES: dict[str, Example] = {
    "skewed": Example(
        "6 layers x 32 experts, a few of them hot",
        "deepseek-v2-lite",
        6,
        32,
        7,
        (
            "eplb-opt gap {file} --gpus 8 --slots 40 --time-limit 2",
            "eplb-opt plan {file} --gpus 8 --slots 40 --time-limit 2 --output plan.npz",
        ),
    ),
    "groups": Example(
        "4 layers x 64 experts in 8 groups, each to stay on one of 4 nodes",
        "deepseek-v3",
        4,
        64,
        11,
        (
            "eplb-opt gap {file} --gpus 16 --slots 80 --nodes 4 --groups 8 --time-limit 2",
            "eplb-opt size {file} --gpus 8,16 --nodes 4 --groups 8 --time-limit 1",
        ),
    ),
}


def read_example(name: str) -> str:
    """The CSV text of an example, as `eplb_opt.io.write_loads` writes it.

    Parameters
    ----------
    name
        A key of `EXAMPLES`.

    Raises
    ------
    ProblemError
        When there is no such example; the message lists those that there are.
    """
    if name not in EXAMPLES:
        raise ProblemError(f"example {name!r} is unknown; known: {', '.join(EXAMPLES)}.")
    return files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
