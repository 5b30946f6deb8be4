"""Settings of the exact model for two slots a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairsParams:
    """Settings of the bisection over levels.

    Parameters
    ----------
    first_pass
        Tuples (coarse, aim), one a pass. The roots of levels are asked until the lowest open level
        is within the share `coarse` of the highest refuted one; then counts are searched whose
        value is at most the share `aim` of the way from the bound to the incumbent.
    first_moves
        The moves of replicas in each of those searches.
    light, light_moves
        Where the water level is at most this share of the mean GPU load, that many moves come
        before any level is asked about: counts come close to the mean there, and a root refutes
        nothing.
    first_nodes, max_nodes, certify_nodes
        The nodes of a level's tree: before dynamic programming is tried; before the level is left
        for others, after which the number is doubled; and in the end, to find a certificate of the
        last level where dynamic programming or CP-SAT decided it.
    cpsat_time
        CP-SAT's deterministic time for a level, in units of about a second; doubled with the nodes.
    cpsat_seconds
        CP-SAT is not asked with fewer seconds left: the first number holds in a turn that begins
        with it, the second later in a turn.
    cpsat_options
        CP-SAT is not asked about a level with more options.
    import_seconds
        Seconds for importing the backends the first time.
    narrow
        Once the bounds are within this share of the upper one, every second question is whether
        anything is below the incumbent at all; until then counts are searched after each question.
    max_options
        A layer with more pairs of expert and count is refused: a level would take gigabytes.
    """

    first_pass: tuple[tuple[float, float], ...] = ((1e-2, 0.3), (3e-3, 0.5), (3e-3, 0.2))
    first_moves: int = 20
    light: float = 0.75
    light_moves: int = 6
    first_nodes: int = 60
    max_nodes: int = 1000
    certify_nodes: int = 300
    cpsat_time: float = 2.0
    cpsat_seconds: tuple[float, float] = (0.2, 0.7)
    cpsat_options: int = 20_000
    import_seconds: float = 2.0
    narrow: float = 2e-3
    max_options: int = 20_000_000
