"""Small files that ask for gigabytes or for hours: refused by what they claim, or left packed."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest

from eplb_opt.certificates import Certificate
from eplb_opt.errors import FormatError
from eplb_opt.io import read_certificates, read_loads, read_plan, read_total
from eplb_opt.io.containers.npz import MAX_MEMBERS
from tests.io.test_read_loads import written

if TYPE_CHECKING:
    from pathlib import Path

Members = dict[str, tuple[tuple[int, ...], str]]

#: A gigabyte of zeros, that takes one megabyte packed, in every shape that is read another way.
GIGABYTE: dict[str, Members] = {
    "steps": {"load": ((500, 1024, 256), "<i8")},
    "layers": {"load": ((500 * 1024, 256), "<i8")},
    "bytes": {"load": ((2000, 2048, 256), "|u1")},
    "tiny steps": {"load": ((128_000_000, 1, 1), "<i8")},
    "ids": {"load": ((2, 4), "<i8"), "layer_ids": ((128_000_000,), "<i8")},
    "count": {"load": ((2, 4), "<i8"), "num_hidden_layers": ((128_000_000,), "<i8")},
    "plan": {"physical_to_logical": ((500, 262_144), "<i8")},
}
#: Of address space, beside what the packages take: far below what the files ask for.
ROOM_BYTES = 700 * 2**20
CHILD = """
import resource, sys
from eplb_opt.errors import FormatError
from eplb_opt.io import read_loads, read_plan, read_total
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
for read in (read_loads, read_total, read_plan):
    try:
        print(read.__name__, "accepted", read(sys.argv[1]).shape)
    except FormatError as error:
        print(read.__name__, "refused", error)
"""


def header(shape: tuple[int, ...], descr: str) -> bytes:
    content = io.BytesIO()
    described = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, described)
    return content.getvalue()


def zeros(path: Path, members: Members) -> Path:
    """An archive of zeros, written a mebibyte at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (shape, descr) in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(header(shape, descr))
                left = prod(shape) * np.dtype(descr).itemsize
                while left:
                    left -= member.write(bytes(min(left, 2**20)))
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc for the memory used")
@pytest.mark.parametrize("kind", GIGABYTE)
def test_a_packed_gigabyte_is_refused_in_little_memory(tmp_path: Path, kind: str) -> None:
    path = zeros(tmp_path / "a.npz", GIGABYTE[kind])
    assert path.stat().st_size < 2 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(ROOM_BYTES)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "accepted" not in done.stdout
    assert len(done.stdout.splitlines()) == 3


def test_a_member_that_nobody_needs_stays_packed(tmp_path: Path) -> None:
    members: Members = {"load": ((2, 4), "<i8"), "other": ((128_000_000,), "<i8")}
    path = zeros(tmp_path / "a.npz", members)
    for read in (read_loads, read_total):
        assert read(path).load.shape == (1, 2, 4)


def test_a_damaged_member_that_nobody_needs_costs_nothing(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, load=np.ones((2, 4)), note=np.array([object()], dtype=object))
    path = written(tmp_path, "a.npz", content.getvalue())
    assert read_loads(path).load.shape == (1, 2, 4)


def test_archives_of_very_many_members_are_not_looked_into(tmp_path: Path) -> None:
    content = io.BytesIO()
    head = header((2, 4), "<i8").replace(b" ", b"\t")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(MAX_MEMBERS + 1):
            archive.writestr(f"{number}.npy", head)
    path = written(tmp_path, "a.npz", content.getvalue())
    for read in (read_loads, read_total, read_plan):
        with pytest.raises(FormatError, match="members; at most"):
            read(path)


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("load.npy", header((1, 1), "<i8") + struct.pack("<q", 1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("load.npy", header((1, 1), "<i8") + struct.pack("<q", 2))
    path = written(tmp_path, "a.npz", content.getvalue())
    for read in (read_loads, read_total):
        with pytest.raises(FormatError, match="twice"):
            read(path)


def test_tensors_and_lists_that_repeat_themselves_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    one = torch.zeros(1, dtype=torch.int64)
    row = [1] * 1000
    documents = {
        "expanded": one.expand(3, 1000, 256_000),
        "expanded recording": {"logical_count": one.expand(1000, 3, 256_000)},
        "expanded map": {"physical_to_logical_map": one.expand(1000, 256_000)},
        "rows of one tensor": [one.expand(256_000)] * 1000,
        "lists of one list": [[row] * 1000] * 300,
    }
    for name, document in documents.items():
        path = tmp_path / f"{name}.pt"
        torch.save(document, path)
        assert path.stat().st_size < 10_000
        for read in (read_loads, read_plan):
            with pytest.raises(FormatError, match=r"claim|no key|logical_count|single tensor"):
                read(path)


def test_a_small_repeated_tensor_is_taken(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(torch.ones(1, 8, dtype=torch.int64).expand(4, 8), tmp_path / "a.pt")
    assert read_loads(tmp_path / "a.pt").load.sum() == 32


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"load": [[1, 2]], "load": [[3, 4]]}'),
        ("a.json", '{"logical_count": [[[1, 2]]], "logical_count": [[[3, 4]]]}'),
        ("a.json", '{"load": [[1, 2]], "layer_ids": [0], "layer_ids": [5]}'),
        (
            "a.jsonl",
            '{"record_type": "eplb_load_stats", "version": 1, "version": 1, "step": 0, '
            '"expert_load": [[1, 2]], "p2l_map": [[0, 1]]}\n',
        ),
    ],
)
def test_loads_with_a_key_twice_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(FormatError, match="stands twice"):
        read_loads(written(tmp_path, name, text.encode()))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"physical_to_logical_map": [[0, 1]], "physical_to_logical_map": [[1, 0]]}'),
        ("p.json", '{"moe_layer_count": 1, "layer_list": [], "moe_layer_count": 2}'),
        ("p.yaml", "num_slots: 2\nnum_slots: 2\ninitial_global_assignments:\n  0: [0, 1]\n"),
    ],
)
def test_plans_with_a_key_twice_are_refused(tmp_path: Path, name: str, text: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    with pytest.raises(FormatError, match="stands twice"):
        read_plan(written(tmp_path, name, text.encode()))


def test_certificates_with_a_key_twice_are_refused(tmp_path: Path) -> None:
    entry = json.dumps(Certificate.from_json('{"kind": "k", "bound": "1", "data": {}}').to_dict())
    twice = entry.replace('"bound": "1"', '"bound": "1", "bound": "2"')
    path = written(tmp_path, "c.json", f'{{"eplb_opt_certificates": [{twice}]}}'.encode())
    with pytest.raises(FormatError, match="twice"):
        read_certificates(path)
    with pytest.raises(FormatError, match="twice"):
        Certificate.from_json(twice)
