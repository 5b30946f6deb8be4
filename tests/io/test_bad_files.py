"""Damaged and hostile files: FormatError, or loads; never anything else, never code."""

import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io import files, read_loads, read_plan
from tests.io.samples import LOAD, load_files, npy_bytes, npz_file, plan_files, pt_bytes
from tests.io.test_read_loads import written

NUM_MUTATIONS = 120


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def header(shape: str, descr: str = "'<i8'", version: int = 1, claimed: int | None = None) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    width = 2 if version == 1 else 4
    length = (len(text) if claimed is None else claimed).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(99999999999, 99999999999)"), "the header claims"),
        (header("(1, 2)") + bytes(8), "truncated"),
        (header("(1, 2)") + bytes(24), "the header claims 16 bytes"),
        (header("(-1, 2)") + bytes(16), "claims the shape"),
        (header("(1, 1)", version=2, claimed=4_000_000_000), "header is damaged"),
        (header("(1, 1)", version=9), "header is damaged|unknown"),
        (header("(1, 1)", version=3), "unknown"),
        (header("(1, 1)", "'|O'") + bytes(8), "never loaded"),
        (header("(1, 1)", "'|V99999999'") + bytes(8), "claims"),
        (header("(1, 1)", "'<c16'") + bytes(16), "type complex"),
        (header("(1, 1)", "'<M8[s]'") + bytes(8), "type datetime"),
        (header("(1, 1)", "[('a', '<i8')]") + bytes(8), "type"),
        (header("(1,") + bytes(8), "header is damaged"),
        (b"\x93NUMPY", "header is damaged"),
        (npy_bytes(np.zeros((0, 4))), "nothing in it"),
        (npy_bytes(np.array(3)), r"shape \[\]"),
    ],
)
def test_damaged_npy_headers_are_refused_before_memory_is_taken(tmp_path, content, message):
    with pytest.raises(FormatError, match=message):
        read_loads(written(tmp_path, "a.npy", content))


def test_missing_empty_and_odd_files_are_named(tmp_path):
    cases = {
        tmp_path / "none.npz": "no such file",
        tmp_path: "directory",
        written(tmp_path, "e.npz", b""): "empty",
        "/dev/zero": "device",
        "a\0b.npz": "cannot be opened",
    }
    for path, message in cases.items():
        for read in (read_loads, read_plan):
            with pytest.raises(FormatError, match=message):
                read(path)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.json", "a.pt"])
def test_noise_under_any_name_is_refused(tmp_path, name):
    noise = bytes(range(128, 256)) * 4
    with pytest.raises(FormatError, match=name):
        read_loads(written(tmp_path, name, noise))


def test_pickles_are_never_executed(tmp_path):
    trap = tmp_path / "trap"
    objects = np.array([[Bomb(trap)]], dtype=object)
    contents = {
        "a.npy": npy_bytes(objects),
        "a.npz": npz_file(load=objects),
        "a.pt": pt_bytes(Bomb(trap)),
        "legacy.pt": pt_bytes(Bomb(trap), _use_new_zipfile_serialization=False),
        "dict.pt": pt_bytes({"logical_count": Bomb(trap)}),
        "b.npy": pickle.dumps(Bomb(trap)),
        "b.npz": pickle.dumps(Bomb(trap)),
        "b.pt": pickle.dumps(Bomb(trap)),
    }
    for name, content in contents.items():
        path = written(tmp_path, name, content)
        for read in (read_loads, read_plan):
            with pytest.raises(FormatError):
                read(path)
    assert not trap.exists()


def test_archives_that_claim_too_much_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path, "a.npz", npz_file(load=np.zeros((2000, 4))))
    assert read_loads(path).num_layers == 2000
    monkeypatch.setattr(files, "FREE_BYTES", 100)
    monkeypatch.setattr(files, "MAX_RATIO", 2)
    with pytest.raises(FormatError, match=r"load.npy: \d+ bytes claim to be 64000 unpacked"):
        read_loads(path)
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100 are unpacked"):
        read_loads(path)


def test_an_archive_that_lies_about_its_members_is_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("load.npy", header("(1000000000, 1000000)") + bytes(64))
    with pytest.raises(FormatError, match=r"load.npy: the header claims"):
        read_loads(written(tmp_path, "a.npz", content.getvalue()))


def test_archives_without_loads_say_what_they_hold(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name, bytes_, message in (
        ("a.npz", content.getvalue(), "no .npy arrays"),
        ("b.npz", npz_file(a=LOAD, b=LOAD), "keys a, b: 2 arrays"),
        ("c.npz", npz_file(a=np.arange(3)), "keys a: 0 arrays"),
        ("d.npz", npz_file(load=LOAD, layer_ids=np.array([0.5, 1, 2])), "layer_ids"),
        ("e.npz", npz_file(load=LOAD, num_hidden_layers=np.arange(2)), "num_hidden_layers"),
    ):
        with pytest.raises(FormatError, match=message):
            read_loads(written(tmp_path, name, bytes_))


def test_archives_in_rare_packings_are_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("load.npy", npy_bytes(LOAD))
    with pytest.raises(FormatError, match="another way than deflate"):
        read_loads(written(tmp_path, "a.npz", content.getvalue()))


def test_nesting_beyond_numpy_is_refused(tmp_path):
    for depth in (40, 70, 500):
        path = written(tmp_path, "a.json", "[" * depth + "1" + "]" * depth)
        with pytest.raises(FormatError, match=r"shape|rectangular|type object"):
            read_loads(path)


def test_text_beyond_the_limit_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 10)
    for name in ("a.json", "a.csv"):
        with pytest.raises(FormatError, match="at most 10 are read"):
            read_loads(written(tmp_path, name, load_files()[name]))


def test_an_archive_on_several_disks_is_refused(tmp_path):
    content = bytearray(load_files()["sglang.pt"])
    num_disks = content.rindex(b"PK\x06\x07") + 16
    content[num_disks] = 2
    with pytest.raises(FormatError, match="archive is damaged"):
        read_loads(written(tmp_path, "a.pt", bytes(content)))


def test_odd_tensors_are_refused(tmp_path):
    import torch

    huge = torch.zeros(1).expand(2**20, 2**20)
    for tensor, message in (
        (huge, "claims 1099511627776 values"),
        (torch.eye(3).to_sparse(), "no dense tensor"),
        (torch.zeros(2, 2, dtype=torch.complex64), "type complex"),
        (torch.zeros(2), r"shape \[2\]"),
        (torch.zeros(2, 2, dtype=torch.bool), "type bool"),
    ):
        with pytest.raises(FormatError, match=message):
            read_loads(written(tmp_path, "a.pt", pt_bytes(tensor)))


def test_half_precision_and_gradients_are_read(tmp_path):
    import torch

    for tensor in (
        torch.ones(2, 2, dtype=torch.bfloat16),
        torch.ones(2, 2, requires_grad=True),
        torch.ones(4, 4)[::2, ::2],
    ):
        loads = read_loads(written(tmp_path, "a.pt", pt_bytes(tensor)))
        assert loads.load.tolist() == [[[1.0, 1.0], [1.0, 1.0]]]


def test_records_of_every_pass_are_told_apart(tmp_path):
    for document, message in (
        ({"records": [], "last_physical_to_logical_map": None}, "map has type object"),
        ({"records": []}, "there is no last_physical_to_logical_map"),
        ({"records": [], "last_physical_to_logical_map": [[0, 1]]}, "no steps in it"),
        ({"steps": 3}, "keys steps"),
    ):
        with pytest.raises(FormatError, match=message):
            read_loads(written(tmp_path, "a.pt", pt_bytes(document)))


def mutated(content: bytes, rng: random.Random) -> bytes:
    damage = rng.randrange(4)
    if damage == 0:
        return content[: rng.randrange(len(content))]
    where = rng.randrange(len(content))
    if damage == 1:
        return content[:where] + rng.randbytes(rng.randrange(1, 9)) + content[where:]
    if damage == 2:
        return content[:where] + content[where + rng.randrange(1, 9) :]
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def read_or_refuse(read, path) -> bool:
    try:
        read(path)
    except FormatError as error:
        assert str(error).startswith(str(path))
        return False
    return True


@pytest.mark.parametrize("name", list(load_files()))
def test_damaged_loads_are_refused_or_read(tmp_path, name):
    content, rng = load_files()[name], random.Random(name)
    outcomes = {
        read_or_refuse(read_loads, written(tmp_path, name, mutated(content, rng)))
        for _ in range(NUM_MUTATIONS)
    }
    assert False in outcomes


@pytest.mark.parametrize("name", list(plan_files()))
def test_damaged_placements_are_refused_or_read(tmp_path, name):
    content, rng = plan_files()[name], random.Random(name)
    outcomes = {
        read_or_refuse(read_plan, written(tmp_path, name, mutated(content, rng)))
        for _ in range(NUM_MUTATIONS)
    }
    assert False in outcomes


@pytest.mark.parametrize("extension", ["npy", "npz", "csv", "json", "pt", "", "txt"])
@pytest.mark.parametrize("start", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"[[", b"\x80\x02"])
def test_random_bytes_are_refused_or_read(tmp_path, extension, start):
    rng = random.Random(extension)
    for _ in range(15):
        content = start + rng.randbytes(rng.randrange(1, 200))
        for read in (read_loads, read_plan):
            read_or_refuse(read, written(tmp_path, f"a.{extension}", content))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "sglang.pt"])
def test_every_truncation_of_a_binary_file_is_refused(tmp_path, name):
    content = load_files()[name]
    for end in range(1, len(content), max(1, len(content) // 60)):
        assert not read_or_refuse(read_loads, written(tmp_path, name, content[:end]))
