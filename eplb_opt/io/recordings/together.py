"""Several recordings as the loads of one problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb_opt.io.loads import Loads


def planned_for(recorded: Sequence[Loads], with_scenarios: bool) -> np.ndarray:
    """The loads of all files: their sum where there is one file, else scenarios.

    Parameters
    ----------
    recorded
        At least one recording.
    with_scenarios
        Whether every snapshot is a scenario, instead of the sum of each recording.

    Returns
    -------
    ndarray
        [num_layers, num_experts] or [num_scenarios, num_layers, num_experts].

    Raises
    ------
    FormatError
        When the files are of different models.
    """
    shape = recorded[0].load.shape[1:]
    for loads in recorded[1:]:
        if loads.load.shape[1:] != shape:
            raise FormatError(
                f"{loads.source} has {loads.num_layers} layers x {loads.num_experts} experts, but "
                f"{recorded[0].source} has {shape[0]} x {shape[1]}; one plan cannot serve both."
            )
    if with_scenarios:
        return np.concatenate([loads.load for loads in recorded])
    totals = [loads.total for loads in recorded]
    return totals[0] if len(totals) == 1 else np.stack(totals)
