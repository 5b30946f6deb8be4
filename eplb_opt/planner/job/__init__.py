"""A directory that keeps what a call has found, so that the same call can go on from there.

`directory.Job` is what the call holds: it writes one file a layer, atomically, and reads them back.
`identity` tells whether a directory is of this call, `records` is the format of the files, `proof`
verifies what is read, and `lock` keeps a second call away. Nothing in a directory is believed: a
plan passes the checker and is scored again, and a bound counts only as far as its certificate
proves it. No file is a pickle.
"""

from __future__ import annotations

from eplb_opt.planner.job.directory import Job, is_begun

__all__ = ["Job", "is_begun"]
