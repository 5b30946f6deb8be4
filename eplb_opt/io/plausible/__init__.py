"""Between reading and planning: whether what was read is plausible beside what is asked.

A check is a function with a row in a table: `shapes.CHECKS` and `counts.CHECKS` look at one
recording, `files.CHECKS` at several beside each other, `in_force.CHECKS` at the plan in force. It
takes what was read and the `Question`, and returns None, a note (odd: said with its numbers, and
the work goes on) or a refusal (surely wrong: a FormatError with the mend). `examine` walks through
the tables. A new suspicion is one function and one row.

Checks are for people's files at the command line; the library's arrays are taken as they are.
"""

from eplb_opt.io.plausible.door import examine, examine_current, with_experts
from eplb_opt.io.plausible.heat import folded
from eplb_opt.io.plausible.question import Finding, Question

__all__ = ["Finding", "Question", "examine", "examine_current", "folded", "with_experts"]
