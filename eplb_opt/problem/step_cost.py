"""What a step costs: the seconds that one expert takes on one GPU for a number of tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eplb_opt.errors import ProblemError
from eplb_opt.problem.arrays import as_int, as_number, as_numpy
from eplb_opt.problem.poisson import mean_excess, tail

if TYPE_CHECKING:
    from typing import Self

#: The most rows of a measured table: the expected time adds up a tail for each.
MAX_ROWS = 4096
#: Fields that are numbers of at least 0.
NUMBERS = (
    "expert_bytes",
    "flops_per_token",
    "fixed",
    "resident",
    "token_bytes",
    "other_seconds",
)
#: Fields that are rates, above 0, and what they divide.
RATES = {"bandwidth": "expert_bytes", "peak": "flops_per_token", "link": "token_bytes"}


class _Line(NamedTuple):
    """Seconds by pieces of lines: `idle` without tokens, else start + slopes beyond the knots."""

    idle: float
    start: float
    knots: tuple[float, ...]
    slopes: tuple[float, ...]


@dataclass(frozen=True)
class StepCost:
    """Seconds that an expert takes on a GPU for the tokens that a step brings it.

    An expert with n >= 1 tokens takes

        max(fixed + expert_bytes / bandwidth, n * flops_per_token / peak)

    seconds (the roofline: its weights are read once, or its multiplications take longer), or what a
    measured table says in between its rows; with or without tokens it takes `resident` more, and
    each token takes token_bytes / link for its way. The seconds of a GPU are the sum over its
    replicas, for a grouped matrix product works through its experts one after the other.

    Kernels that read one expert's weights while another's are multiplied come nearer to the maximum
    of the two sums, max(sum of reads, sum of products). This is never larger than the sum of the
    maxima and at least half of it; the two agree where all experts of a GPU are bound by the same
    side: in decoding with few tokens and in prefill with many.

    Parameters
    ----------
    expert_bytes
        Bytes of one expert's weights in one layer.
    bandwidth
        Bytes of weights that the GPU reads in a second.
    flops_per_token
        Operations of one expert for one token, a multiplication and an addition counting two.
    peak
        Operations of the GPU in a second.
    fixed
        Seconds of an expert that has a token, besides the reading: tiles, scheduling.
    resident
        Seconds of every replica on the GPU, with or without tokens.
    token_bytes
        Bytes that a token's way to an expert and back takes; 0 to leave communication out.
    link
        Bytes of tokens that the GPU's link carries in a second.
    table
        Rows (tokens, seconds), tokens rising and seconds not falling, which take the roofline's
        place. A row for 0 tokens says what an expert without tokens takes, else that is 0. Between
        rows the seconds are interpolated, below the first they are those of the first, and beyond
        the last they go on as between the last two.
    experts_per_token
        How many experts a token is routed to; None where that is to be said with the problem.
    other_seconds
        Seconds of a layer besides its experts. No plan changes them; percents of a step count them.
    name
        What it is called in tables.

    Raises
    ------
    ProblemError
        When a number cannot be used, or the rows of the table do not rise.

    References
    ----------
    S. Williams, A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for
    multicore architectures", Communications of the ACM, 2009.
    """

    expert_bytes: float = 0.0
    bandwidth: float | None = None
    flops_per_token: float = 0.0
    peak: float | None = None
    fixed: float = 0.0
    resident: float = 0.0
    token_bytes: float = 0.0
    link: float | None = None
    table: Any = None
    experts_per_token: int | None = None
    other_seconds: float = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        for name in NUMBERS:
            object.__setattr__(self, name, as_number(getattr(self, name), name))
        for rate, amount in RATES.items():
            self._check_rate(rate, amount)
        if self.experts_per_token is not None:
            top_k = as_int(self.experts_per_token, "experts_per_token")
            object.__setattr__(self, "experts_per_token", top_k)
        if self.table is not None:
            object.__setattr__(self, "table", _rows(self.table))
            if self.expert_bytes or self.flops_per_token or self.fixed:
                raise ProblemError(
                    "A measured table takes the place of expert_bytes, flops_per_token and fixed; "
                    "give the table or these."
                )
        elif self._line == _Line(0.0, 0.0, (), ()) and not self.resident:
            raise ProblemError(
                "This StepCost makes every step take no time: give expert_bytes with bandwidth, "
                "flops_per_token with peak, or a table."
            )

    def _check_rate(self, name: str, amount: str) -> None:
        rate = getattr(self, name)
        if rate is None:
            if getattr(self, amount):
                raise ProblemError(f"{amount}={getattr(self, amount):g} needs {name}, per second.")
            return
        rate = as_number(rate, name)
        if not rate:
            raise ProblemError(f"{name}=0 must be above 0.")
        object.__setattr__(self, name, rate)

    @classmethod
    def preset(cls, hardware: str, model: str, dtype: str = "fp8", **changes: Any) -> Self:
        """The roofline of a GPU and a model's experts, from public figures.

        Parameters
        ----------
        hardware
            A name in `presets.HARDWARE`, as "H100"; upper and lower case are alike.
        model
            A name in `presets.EXPERTS`, as "deepseek-v3".
        dtype
            "fp8" or "bf16", of weights and products.
        **changes
            Other fields, which take the preset's place. With `link` the way of a token is counted,
            FP8 to the expert and BF16 back.

        Returns
        -------
        StepCost
            Weights are read at the full memory bandwidth and multiplied at the dense peak: no
            kernel reaches either, so the seconds are a floor, and their ratios the better figure.

        Raises
        ------
        ProblemError
            For a name that is unknown; it lists those that are.
        """
        from eplb_opt.problem.presets import preset_fields, way_bytes

        fields = preset_fields(hardware, model, dtype)
        if "link" in changes:
            fields["token_bytes"] = way_bytes(model)
        return cls(**(fields | changes))

    def with_fields(self, **changes: Any) -> StepCost:
        """The same with other fields.

        Parameters
        ----------
        **changes
            Fields and their new values.

        Returns
        -------
        StepCost
            A new one, checked.
        """
        return replace(self, **changes)

    @cached_property
    def _line(self) -> _Line:
        way = self.token_bytes / self.link if self.link else 0.0
        more = ((0.0,), (way,)) if way else ((), ())
        if self.table is not None:
            found = _line_of_rows(self.table)
        else:
            read = self.fixed + (self.expert_bytes / self.bandwidth if self.bandwidth else 0.0)
            product = self.flops_per_token / self.peak if self.peak else 0.0
            bends = ((read / product,), (product,)) if product else ((), ())
            found = _Line(0.0, read, *bends)
        return found._replace(knots=found.knots + more[0], slopes=found.slopes + more[1])

    @property
    def balance_tokens(self) -> float:
        """Tokens from which an expert is bound by its products and no longer by its weights.

        Infinity without products, not a number for a measured table.
        """
        if self.table is not None:
            return float("nan")
        knots = self._line.knots
        return knots[0] if self.peak and self.flops_per_token else float("inf")

    def seconds(self, tokens: np.ndarray | float) -> np.ndarray:
        """Seconds of one replica for numbers of tokens.

        Parameters
        ----------
        tokens
            [...], not negative.

        Returns
        -------
        ndarray
            float64 [...].
        """
        line, tokens = self._line, np.asarray(tokens, dtype=np.float64)
        busy = np.full(tokens.shape, line.start)
        for knot, slope in zip(line.knots, line.slopes, strict=True):
            busy += slope * np.maximum(tokens - knot, 0.0)
        return self.resident + np.where(tokens > 0, busy, line.idle)

    def expected(self, mean_tokens: np.ndarray | float) -> np.ndarray:
        """Expected seconds of one replica whose tokens follow a Poisson law.

        Exact up to the rounding of floats: the seconds are pieces of lines, and the expected part
        of a Poisson number above a bend has a closed form. A step's tokens choose their experts
        independently, so an expert's number is binomial; the Poisson law of the same mean is its
        limit for many tokens and experts. It makes a rarely used expert slightly more often idle,
        exp(-n) against (1 - n / N)**N with N tokens, a relative difference of about n / 2N.

        Parameters
        ----------
        mean_tokens
            [...], not negative.

        Returns
        -------
        ndarray
            float64 [...].
        """
        line, mean = self._line, np.asarray(mean_tokens, dtype=np.float64)
        active = -np.expm1(-mean)
        found = self.resident + line.idle * (1 - active) + line.start * active
        for knot, slope in zip(line.knots, line.slopes, strict=True):
            found = found + slope * mean_excess(mean, knot)
        return np.asarray(found)

    def variance(self, mean_tokens: np.ndarray | float) -> np.ndarray:
        """Variance of one replica's seconds where its tokens follow a Poisson law, in seconds**2.

        As exact as `expected`: between two bends the squared distance from the mean is a parabola,
        and its part beyond a number has a closed form.

        Parameters
        ----------
        mean_tokens
            [...], not negative.

        Returns
        -------
        ndarray
            float64 [...].
        """
        line, mean = self._line, np.asarray(mean_tokens, dtype=np.float64)
        centre = self.expected(mean) - self.resident
        found = (line.idle - centre) ** 2 * np.exp(-mean)
        bends = sorted(zip(line.knots, line.slopes, strict=True))
        first, slope = line.start - centre, 0.0
        found = found + _squares_from(mean, 1, first, slope)
        for knot, more in bends:
            before = first, slope
            first, slope = first - more * knot, slope + more
            least = max(ceil(knot), 1)
            found = found + _squares_from(mean, least, first, slope)
            found = found - _squares_from(mean, least, *before)
        return np.asarray(np.maximum(found, 0.0))


def _squares_from(mean: np.ndarray, least: int, first: np.ndarray, slope: float) -> np.ndarray:
    """E[(first + slope N)**2; N >= least] of Poisson numbers N."""
    ones = tail(mean, least)
    once = mean * tail(mean, least - 1)
    twice = mean**2 * tail(mean, least - 2) + once
    return np.asarray(first**2 * ones + 2 * first * slope * once + slope**2 * twice)


def _rows(table: Any) -> tuple[tuple[float, float], ...]:
    values = as_numpy(table, "table").astype(np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not 1 <= len(values) <= MAX_ROWS:
        raise ProblemError(
            f"table has shape {list(values.shape)}; it must be [num_rows, 2], tokens and seconds, "
            f"with 1 to {MAX_ROWS} rows."
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise ProblemError("table holds numbers that are negative or not finite.")
    falls = {"tokens": np.diff(values[:, 0]) <= 0, "seconds": np.diff(values[:, 1]) < 0}
    for column, steps in falls.items():
        if steps.any():
            row = int(np.argmax(steps)) + 1
            rule = "rise" if column == "tokens" else "not fall"
            before, after = values[row - 1].tolist(), values[row].tolist()
            raise ProblemError(
                f"table: row {row} is {after[0]:g} tokens in {after[1]:g} s after {before[0]:g} in "
                f"{before[1]:g} s; {column} must {rule} from row to row. Smooth the measurements."
            )
    if values[-1, 0] == 0:
        raise ProblemError("table has a row for 0 tokens alone; give one with tokens.")
    return tuple((float(n), float(t)) for n, t in values)


def _line_of_rows(rows: tuple[tuple[float, float], ...]) -> _Line:
    idle = rows[0][1] if rows[0][0] == 0 else 0.0
    busy = rows[1:] if rows[0][0] == 0 else rows
    knots, slopes, slope = [], [], 0.0
    for (n, t), (after, later) in pairwise(busy):
        steeper = (later - t) / (after - n)
        knots.append(n)
        slopes.append(steeper - slope)
        slope = steeper
    return _Line(idle, busy[0][1], tuple(knots), tuple(slopes))
