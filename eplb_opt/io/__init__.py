"""Files: loads and placements of every format read into one form, and written from one form.

Loads come in as `loads.Loads`, or step by step as a `Trace`; placements as a map [num_layers,
num_slots], and go out as a `placement.Placement`; `shapes` checks the arrays. Start with `read`:
its tables list the formats, how each is recognised and which function parses it. `write` has the
like for placements. A format's own code is in `engines/` where a serving engine defines it, and
in `containers/` where it is a common one (npz, CSV, JSON, torch); loads over time are in
`recordings/`. `files` is the only place that opens and writes; it refuses what is no regular
file, and a failed write leaves the old file whole. `certificate_file` stores proofs of bounds,
and `transfers_file` who sends what to whom. Whether what was read can be what it is taken for is
asked in `plausible/`.

Importing this room loads numpy alone; torch loads with the first .pt file.
"""

from eplb_opt.io.certificate_file import read_certificates, write_certificates
from eplb_opt.io.engines.validate import VALIDATORS
from eplb_opt.io.loads import Loads
from eplb_opt.io.read import (
    LOAD_FORMATS,
    PLAN_FORMATS,
    kind_of,
    read_loads,
    read_plan,
    read_stored_plan,
)
from eplb_opt.io.recordings.stream import open_trace
from eplb_opt.io.recordings.token_files import TOKEN_FORMATS, open_tokens, read_pairs, write_tokens
from eplb_opt.io.recordings.tokens import TokenChunk, TokenRecording
from eplb_opt.io.recordings.totals import read_total
from eplb_opt.io.recordings.trace import Trace
from eplb_opt.io.recordings.write import LOAD_WRITERS, write_loads
from eplb_opt.io.step_costs import read_step_cost
from eplb_opt.io.transfers_file import write_transfers
from eplb_opt.io.write import WRITERS, packages_to_write, write_plan

__all__ = [
    "LOAD_FORMATS",
    "LOAD_WRITERS",
    "PLAN_FORMATS",
    "TOKEN_FORMATS",
    "VALIDATORS",
    "WRITERS",
    "Loads",
    "TokenChunk",
    "TokenRecording",
    "Trace",
    "kind_of",
    "open_tokens",
    "open_trace",
    "packages_to_write",
    "read_certificates",
    "read_loads",
    "read_pairs",
    "read_plan",
    "read_step_cost",
    "read_stored_plan",
    "read_total",
    "write_certificates",
    "write_loads",
    "write_plan",
    "write_tokens",
    "write_transfers",
]
