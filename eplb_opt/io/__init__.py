"""Files of loads and of placements, the engines' own among them.

Importing this room loads numpy alone; torch loads with the first .pt file.
"""

from eplb_opt.io.certificate_file import read_certificates, write_certificates
from eplb_opt.io.loads import Loads
from eplb_opt.io.read import LOAD_FORMATS, PLAN_FORMATS, read_loads, read_plan
from eplb_opt.io.stream import Trace, open_trace
from eplb_opt.io.write import WRITERS, write_plan

__all__ = [
    "LOAD_FORMATS",
    "PLAN_FORMATS",
    "WRITERS",
    "Loads",
    "Trace",
    "open_trace",
    "read_certificates",
    "read_loads",
    "read_plan",
    "write_certificates",
    "write_plan",
]
