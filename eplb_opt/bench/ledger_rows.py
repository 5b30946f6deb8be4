"""What the measurements of calls have found, as rows of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bench.ledger import LedgerRow

if TYPE_CHECKING:
    from eplb_opt.bench.dispatch import DispatchRow
    from eplb_opt.bench.hot import PolicyRow
    from eplb_opt.bench.ledger import Setting
    from eplb_opt.bench.moves import MovesRow
    from eplb_opt.bench.prices import PriceRow


def hot_row(setting: Setting, row: PolicyRow) -> LedgerRow:
    """A policy of the serving call: the gap is to the bounds that hold without search."""
    return LedgerRow(
        setting,
        "hot",
        f"{row.loads} {row.machine}",
        row.policy,
        seed=0,
        seconds=row.seconds,
        gap=row.gap,
        note=f"{row.kept} of {row.rounds} calls never waited for a core",
    )


def moves_row(setting: Setting, row: MovesRow) -> LedgerRow:
    """A policy after a change of the loads: the gap is to the bounds that hold without search."""
    return LedgerRow(
        setting,
        "moves",
        f"{row.change}, {row.machine}",
        row.policy,
        seed=0,
        seconds=row.seconds,
        gap=row.reached - 1,
        moves=row.moves,
    )


def price_row(setting: Setting, row: PriceRow) -> LedgerRow:
    """A policy where serving off home has a price: the gap is to the bounds without search."""
    return LedgerRow(
        setting,
        "prices",
        f"{row.loads} {row.machine} at {row.price:g}",
        row.policy,
        seed=0,
        seconds=row.seconds,
        cpu_seconds=row.processor_seconds,
        gap=row.above_bound,
        note=f"objective {row.objective:.4f}, load {row.load:.4f}, off home {row.off_home:.4f}",
    )


def dispatch_row(setting: Setting, row: DispatchRow, seed: int) -> LedgerRow:
    """A split of tokens: seconds of a layer and batch, and the mean gap to the exact optimum.

    Parameters
    ----------
    setting
        When, with what and where.
    row
        What was measured.
    seed
        Of batches and placements.
    """
    worst = f"at worst {row.worst:.3g} above the optimum"
    return LedgerRow(
        setting,
        "dispatch",
        f"{row.placement} {row.machine}",
        row.program,
        seed=seed,
        seconds=row.microseconds / 1e6,
        gap=row.mean,
        note=f"{worst}; {row.note}" if row.note else worst,
    )
