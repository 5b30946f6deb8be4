"""Two slots a GPU: settings of the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PairsParams:
    """Settings of the search.

    Parameters
    ----------
    compiled
        Use numba where it is there.
    first_pass
        Pairs (coarse, aim). The roots of levels are asked until the level that they leave open is
        so close to the one that they close, relative to it; then counts are searched that reach
        this share of the way from the bound to the incumbent.
    first_moves
        Of each of those searches.
    near_excess
        CP-SAT first looks among the options that cost at most this much more than the cheapest,
        in replicas.
    near_time, rest_time
        CP-SAT's deterministic time for that, and for deciding among all options. A level that
        stays open is left for others; when they are done, these times are doubled.
    cpsat_seconds
        With less time left in a turn CP-SAT is not asked.
    first_nodes, max_nodes, certify_nodes
        Of a level's tree: before CP-SAT is asked to decide; when it did not; and in the end, of the
        last level's tree when CP-SAT decided it and a certificate would still be good to have.
        With linear programs, which take fifty times as long, nodes / lp_nodes.
    lp_nodes
        See there.
    narrow
        Once the bounds are this close, relative to the upper one, every second question is
        whether anything is below the incumbent at all.
    max_cells
        A layer whose table of options and rows would be larger is refused: it takes gigabytes.
    seconds_per_cell
        For one pass over that table on a slow core; what cannot be done in time is refused.
    import_seconds
        For loading the solvers the first time; with less time left they are not used.
    """

    compiled: bool = True
    first_pass: tuple[tuple[float, float], ...] = ((1e-2, 0.3), (3e-3, 0.5), (3e-3, 0.2))
    first_moves: int = 20
    near_excess: float = 0.1
    near_time: float = 1.0
    rest_time: float = 2.0
    cpsat_seconds: float = 0.2
    first_nodes: int = 60
    max_nodes: int = 1000
    certify_nodes: int = 300
    lp_nodes: int = 8
    narrow: float = 2e-3
    max_cells: int = 20_000_000
    seconds_per_cell: float = 5e-8
    import_seconds: float = 2.0
