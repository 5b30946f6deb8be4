"""Survivors keep their slot, for engines that ask for it; the work is done in `placement`."""

from __future__ import annotations

from eplb_opt.placement.survivors import fitted, keep_slots

__all__ = ["fitted", "keep_slots"]
