"""Tables of the hot path's measurements, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb_opt.bench.hot import YARDSTICK, gap_ratios, geometric_mean
from eplb_opt.report.tables import percent, titled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from eplb_opt.bench.anytime import AnytimeRow
    from eplb_opt.bench.deadlines import DeadlineRow
    from eplb_opt.bench.hot import PolicyRow
    from eplb_opt.bench.overshoot import OvershootRow
    from eplb_opt.bench.plan_overshoot import PlanOvershootRow


def milliseconds(seconds: float) -> str:
    """Time with three digits that matter."""
    return f"{1000 * seconds:.3g} ms"


def policies_table(rows: Sequence[PolicyRow]) -> Table:
    """One configuration: time, its ratio to the greedy's, and gap of every policy."""
    first = rows[0]
    table = titled(f"{first.loads}, {first.machine} ({first.slots_per_gpu} slots a GPU)")
    for column in ("policy", "median time", "times our greedy's", "gap"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    greedy = next((r.seconds for r in rows if r.policy == "greedy"), float("nan"))
    for row in rows:
        ratio = f"{row.seconds / greedy:.3g}"
        table.add_row(row.policy, milliseconds(row.seconds), ratio, percent(row.gap))
    return table


def means_table(rows: Sequence[PolicyRow]) -> Table:
    """All configurations of four slots a GPU and more: how many times closer to the bound."""
    table = titled(f"gap of {YARDSTICK} / gap of the policy, K >= 4")
    for column in ("policy", "configurations", "geometric mean", "least"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for policy in dict.fromkeys(row.policy for row in rows):
        ratios = list(gap_ratios(rows, policy).values())
        if ratios:
            mean = f"{geometric_mean(ratios):.2f}"
            table.add_row(policy, str(len(ratios)), mean, f"{min(ratios):.2f}")
    return table


def overshoot_table(rows: Sequence[OvershootRow]) -> Table:
    """How much later than asked calls return."""
    table = titled("past the time limit, calls that kept their core")
    columns = ("setting", "limit", "calls", "kept", "median", "99 %", "worst", "worst of all")
    for column in columns:
        table.add_column(column, justify="left" if column == "setting" else "right")
    for row in rows:
        table.add_row(
            row.setting,
            milliseconds(row.time_limit),
            str(row.calls),
            str(row.unpreempted),
            *map(milliseconds, (row.median, row.percentile_99, row.worst, row.worst_of_all)),
        )
    return table


def plan_overshoot_table(rows: Sequence[PlanOvershootRow]) -> Table:
    """How late plans came, the latest last."""
    table = titled("past the time limit, one plan a process, the latest last")
    columns = ("rules", "slots a GPU", "limit", "late", "by itself", "CPU time", "memory")
    for column in columns:
        table.add_column(column, justify="left" if column == "rules" else "right")
    for row in sorted(rows, key=lambda r: r.late_by_itself):
        times = map(milliseconds, (row.time_limit, row.late, row.late_by_itself, row.cpu_seconds))
        memory = f"{row.peak_bytes / 2**20:.0f} MiB"
        table.add_row(row.case, str(row.slots_per_gpu), *times, memory)
    return table


def deadlines_table(rows: Sequence[DeadlineRow]) -> Table:
    """How late plans came under short limits, a line a case and limit."""
    table = titled("past the time limit, in a process that has planned before")
    columns = ("what is planned", "limit", "median", "worst", "CPU time", "gap")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        times = (row.time_limit, row.median, row.worst, row.cpu_seconds)
        table.add_row(row.case, *map(milliseconds, times), percent(row.gap))
    return table


def anytime_table(rows: Sequence[AnytimeRow]) -> Table:
    """What more time brings, and where it brought less."""
    table = titled("gap of the serving call by its time limit")
    for column in ("machine", "limit", "time", "gap", "above a shorter limit's"):
        table.add_column(column, justify="left" if column == "machine" else "right")
    for row in rows:
        rise = percent(row.rise) if row.rise else ""
        limit, seconds = milliseconds(row.time_limit), milliseconds(row.seconds)
        table.add_row(row.machine, limit, seconds, percent(row.gap), rise)
    return table
