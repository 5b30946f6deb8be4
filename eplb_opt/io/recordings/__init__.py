"""Loads over time in files: read, put in order, summed and written a few steps at a time.

`stream.open_trace` opens a recording as a `trace.Trace`: its header, its steps in order, and their
sum; start there. `recording.Recording` is what a format's reader gives where steps come in any
order or from many files, and `spool` puts those in order on the disk. `totals.read_total` sums a
recording in the memory of a step or two. `folding` adds loads of physical slots up to loads of
experts. `write` writes loads in the formats that other programs read.

`token_files.open_tokens` opens a recording of single tokens as a `tokens.TokenRecording`, which is
walked through a chunk at a time; `token_slots` has what its readers share.
"""
