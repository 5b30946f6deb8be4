"""What a topology may say where every GPU sends an expert's tokens to one replica."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from eplb_opt.errors import ProblemError

if TYPE_CHECKING:
    from eplb_opt.problem.terms import Terms

#: The fields of a topology that are about nodes alone, and about no homes.
KNOWN = {"price", "max_off_home", "nodes"}
#: What bounds and search with a price take for granted where GPUs send: a test, and what to say.
REFUSED = (
    (lambda t: t.has_scenarios, "several loads", "take one load"),
    (lambda t: t.gpu_speed is not None, "gpu_speed", "leave the speeds out"),
    (
        lambda t: not np.isin(t.open_slots, (0, t.slots_per_gpu)).all(),
        "gpu_slots that differ",
        "give every GPU that is there all of its slots",
    ),
)


def check_senders(terms: Terms) -> None:
    """Refuse what is of homes, and what is not known, under "nearest" and "rank_modulo".

    Raises
    ------
    ProblemError
        With what does not go together, and why.
    """
    topology = terms.topology
    if topology is None:
        return
    for name in (field.name for field in fields(topology)):
        value = getattr(topology, name)
        is_left_out = value is None or (isinstance(value, bool | np.bool_) and not value)
        if name not in KNOWN and not is_left_out:
            raise ProblemError(
                f'Topology({name}=...) means nothing under dispatch="{terms.dispatch}": every GPU '
                "sends the same part of each expert's tokens, so no node is an expert's home, and "
                f"the price is on what crosses nodes. Leave {name} out, or take "
                'dispatch="uniform".'
            )
    for test, name, mend in REFUSED:
        if test(terms):
            raise ProblemError(
                f'topology does not go with {name} under dispatch="{terms.dispatch}". So {mend}, '
                'or take dispatch="uniform".'
            )
