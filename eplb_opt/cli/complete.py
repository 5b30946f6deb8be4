"""Values that the shell can complete, from the same tables that the commands read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bench import library
from eplb_opt.bench.families import FAMILIES
from eplb_opt.exact import MODELS
from eplb_opt.guide import TOPICS
from eplb_opt.guide.loads import EXAMPLES
from eplb_opt.workloads.replay import heuristics

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Slots x GPUs that the README measures.
MACHINES = ["288x32", "320x64", "288x72", "288x144"]


def instance_names(incomplete: str) -> list[str]:
    """Stored instances."""
    return _starting(library.names(), incomplete)


def example_names(incomplete: str) -> list[str]:
    """Loads that come with the program."""
    return _starting(EXAMPLES, incomplete)


def family_names(incomplete: str) -> list[str]:
    """Synthetic load families."""
    return _starting(FAMILIES, incomplete)


def model_names(incomplete: str) -> list[str]:
    """Exact models."""
    return _starting(MODELS, incomplete)


def machine_names(incomplete: str) -> list[str]:
    """Machines of the benchmarks."""
    return _starting(MACHINES, incomplete)


def guide_topics(incomplete: str) -> list[str]:
    """Topics of the guide."""
    return _starting(TOPICS, incomplete)


def heuristic_names(incomplete: str) -> list[str]:
    """Published heuristics, ours among them."""
    return _starting(heuristics(), incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
