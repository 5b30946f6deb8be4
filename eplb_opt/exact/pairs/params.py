"""Two slots a GPU: settings of the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairsParams:
    """Settings of the search.

    Parameters
    ----------
    first_pass
        Pairs (coarse, aim). The roots of levels are asked until the level that they leave open is
        so close to the one that they close, relative to it; then counts are searched that reach
        this share of the way from the bound to the incumbent.
    first_moves
        Of each of those searches.
    light, light_moves
        Where the water level is at most this share of the mean GPU load, that many moves come
        before any level is asked about: counts come close to the mean there, and a root refutes
        nothing.
    first_nodes, max_nodes, certify_nodes
        Of a level's tree: before labels are to decide; when they did not, before the level is left
        for others, after which the numbers are doubled; and in the end, of the last level's tree
        when labels or CP-SAT decided it and a certificate would still be good to have.
    cpsat_time
        CP-SAT's deterministic time for deciding a level, about seconds; doubled with the nodes.
    cpsat_seconds
        With less time left CP-SAT is not asked: in a turn that begins with it, and later in one.
    cpsat_options
        A level with more options is none for CP-SAT.
    import_seconds
        For loading the solvers the first time.
    narrow
        Once the bounds are this close, relative to the upper one, every second question is
        whether anything is below the incumbent at all; until then counts are searched after each
        question.
    max_options
        A layer with more pairs of an expert and a count is refused: a level takes gigabytes.
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
