"""How files are packed, whoever wrote them: arrays, tables, JSON, torch archives, folders.

`detect` tells a file's container from its first bytes, or else from its name, and lists all of
them in `CONTAINERS`. Each other module reads one container into plain values and parses the
formats that no engine defines: `npy`, `npz`, `csv_table`, `parquet_table`, `plain_json`,
`torch_file`, `folder`. None runs code from a file, and each compares what a file claims to hold
with its size before it unpacks it. `chunks` writes a file piece by piece.
"""
