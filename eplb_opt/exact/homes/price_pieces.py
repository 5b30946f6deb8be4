"""Pieces of T with prices for each, from the least load on until the bound is reached anyhow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eplb_opt.bounds.home_prices import NO_PLAN, Piece, PricedLayer
from eplb_opt.exact.homes.price_lp import Fineness, node_prices

if TYPE_CHECKING:
    from eplb_opt.clock import Deadline

#: By how much what is paid for being off home falls with T, in units of load, where not known.
USUAL_FALL = 0.6
#: A piece is at most so many times the one before, and there are at most so many.
GROWTH, MAX_PIECES = 3.0, 40


@dataclass(frozen=True)
class Proven:
    """Pieces without a gap between them, and the bound that they prove, in units of the layer."""

    pieces: tuple[Piece, ...]
    units: int

    def begun_at(self, layer: PricedLayer, level: int) -> Proven:
        """The same prices where T begins at another level, before the first piece's end."""
        left = [piece for piece in self.pieces if piece.end > level]
        if not left:
            prices = self.pieces[-1].prices
            left = [Piece(level, level + 1, prices, layer.away(level + 1, prices))]
        pieces = (replace(left[0], begin=level), *left[1:])
        return Proven(pieces, units_of(layer, pieces))

    def data(self, layer: PricedLayer) -> dict[str, int | list[int]]:
        """The data of a certificate of kind "home_prices"."""
        prices = [piece.prices for piece in self.pieces]
        return {
            "scale": layer.scale,
            "unit": layer.unit,
            "levels": [self.pieces[0].begin, *(piece.end for piece in self.pieces)],
            "many": [len(one.thresholds) for one in prices],
            "thresholds": [t for one in prices for t in one.thresholds.tolist()],
            "at_threshold": [y for one in prices for y in one.at_threshold.ravel().tolist()],
            "on_slots": [m for one in prices for m in one.on_slots.tolist()],
            "on_away": [one.on_away for one in prices],
        }


def units_of(layer: PricedLayer, pieces: tuple[Piece, ...]) -> int:
    """What pieces prove: the least of them, and of the load where they end."""
    return min([layer.value(p.begin, p.away) for p in pieces] + [layer.value(pieces[-1].end, 0)])


def prove(layer: PricedLayer, first: int, fineness: Fineness, deadline: Deadline) -> Proven | None:
    """Cut the range of T into pieces, and price each; None where there is no time for the first.

    Parameters
    ----------
    layer
        The layer in integers.
    first
        A level that no plan is below, in parts of the scale.
    fineness
        How much work each level is worth.
    deadline
        When to stop: then what is known of further pieces is their load alone.
    """
    pieces: list[Piece] = []
    least, begin, step = NO_PLAN, first, max(int(first * fineness.step), 1)
    while layer.value(begin, 0) < least and len(pieces) < MAX_PIECES:
        end = begin + step
        wanted = least - layer.value(begin, 0) if pieces else NO_PLAN
        piece = _priced(layer, (begin, end), pieces, wanted, fineness, deadline)
        if piece is None:
            return None if not pieces else _end(layer, pieces)
        pieces.append(piece)
        least = min(least, layer.value(begin, piece.away))
        # The next one may end where what is paid still makes up for the load that is missing.
        spare = piece.away - (least - layer.value(end, 0))
        fall = USUAL_FALL * layer.problem.num_gpus * layer.unit
        step = max(min(int(spare / fall), int(step * GROWTH)), step // 2, 1)
        begin = end
    return _end(layer, pieces)


def _end(layer: PricedLayer, pieces: list[Piece]) -> Proven:
    return Proven(tuple(pieces), units_of(layer, tuple(pieces)))


def _priced(
    layer: PricedLayer,
    ends: tuple[int, int],
    before: list[Piece],
    wanted: int,
    fineness: Fineness,
    deadline: Deadline,
) -> Piece | None:
    """The piece with prices: those of the one before where they do, else new ones."""
    begin, end = ends
    if before:
        prices = before[-1].prices.stretched(end, before[-1].end)
        away = layer.away(end, prices)
        if away >= wanted:
            return Piece(begin, end, prices, away)
    fresh, away = node_prices(layer, end, wanted, fineness, deadline)
    return None if fresh is None else Piece(begin, end, fresh, away)
