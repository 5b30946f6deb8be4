import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt.errors import FormatError, MissingDependency
from eplb_opt.io import LOAD_FORMATS, Loads, read_loads
from tests.io.samples import (
    LOAD,
    load_files,
    load_folders,
    npy_bytes,
    npz_file,
    pt_bytes,
    sglang_dump,
    total_files,
)

TRACES = Path(__file__).resolve().parents[3] / "shared" / "data" / "traces"


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def folder(parent: Path, name: str, files: dict[str, bytes] | None = None) -> Path:
    path = parent / name
    path.mkdir(exist_ok=True)
    for file, content in (load_folders()[name] if files is None else files).items():
        written(path, file, content)
    return path


@pytest.mark.parametrize("name", list(load_files()))
def test_every_format_reads_the_same_loads(tmp_path, name):
    loads = read_loads(written(tmp_path, name, load_files()[name]))
    assert (loads.load == LOAD).all()
    assert loads.load.dtype == np.int64
    assert (loads.total == LOAD.sum(axis=0)).all()
    assert not loads.load.flags.writeable


def test_every_format_of_the_table_has_a_sample(tmp_path):
    files = load_files() | total_files()
    seen = {read_loads(written(tmp_path, n, c)).format for n, c in files.items()}
    seen |= {read_loads(folder(tmp_path, n)).format for n in load_folders()}
    lists = written(tmp_path, "a.json", load_files()["a.json"])
    assert (read_loads(lists, "lmdeploy").load == LOAD).all()
    assert seen == {row.name for row in LOAD_FORMATS}


@pytest.mark.parametrize("name", list(load_folders()))
def test_folders_of_all_ranks_read_as_one_recording(tmp_path, name):
    loads = read_loads(folder(tmp_path, name))
    assert (loads.load == LOAD).all()
    ids = {"statistics": (3, 4, 5), "counts": (0, 1, 2)}.get(name, (1, 2, 3))
    assert (loads.layer_ids, loads.num_hidden_layers) == (ids, ids[-1] + 1)


@pytest.mark.parametrize("name", list(total_files()))
def test_every_format_of_one_step_reads_the_same_sum(tmp_path, name):
    loads = read_loads(written(tmp_path, name, total_files()[name]))
    assert (loads.load == LOAD.sum(axis=0)).all()
    assert loads.load.dtype == np.int64
    bare = written(tmp_path, "bare", total_files()[name])
    assert read_loads(bare).format == name.partition(".")[0]


@pytest.mark.parametrize("name", list(load_files()))
def test_a_format_forced_by_name_needs_no_extension(tmp_path, name):
    path = written(tmp_path, name, load_files()[name])
    bare = written(tmp_path, "bare", path.read_bytes())
    if name == "legacy.pt":
        assert (read_loads(bare, format="pt").load == LOAD).all()
    elif name != "a.csv":
        forced = read_loads(path).format
        assert (read_loads(bare, format=forced).load == LOAD).all()
    else:
        assert (read_loads(bare, format="csv").load == LOAD).all()


def test_two_dimensions_are_one_snapshot(tmp_path):
    loads = read_loads(written(tmp_path, "a.npy", npy_bytes(LOAD[0])))
    assert loads.load.shape == (1, 3, 4)
    assert (loads.num_snapshots, loads.num_layers, loads.num_experts) == (1, 3, 4)


def test_fractions_stay_floats(tmp_path):
    loads = read_loads(written(tmp_path, "a.csv", "0.5,1.5\n2,1e3\n"))
    assert loads.load.dtype == np.float64
    assert loads.load.tolist() == [[[0.5, 1.5], [2.0, 1000.0]]]


@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<f4", "<f2", "<u8", "|i1"])
def test_other_number_types_become_64_bits(tmp_path, dtype):
    loads = read_loads(written(tmp_path, "a.npy", npy_bytes((LOAD % 100).astype(dtype))))
    assert loads.load.dtype == (np.float64 if "f" in dtype else np.int64)
    assert (loads.load == LOAD % 100).all()


def test_a_trace_keeps_its_layer_ids_and_model(tmp_path):
    content = npz_file(load=LOAD, layer_ids=np.array([3, 4, 6]), model="a model")
    loads = read_loads(written(tmp_path, "a.npz", content))
    assert loads.layer_ids == (3, 4, 6)
    assert loads.num_hidden_layers == 7
    assert loads.source == "a model"


def test_leading_dense_rows_of_a_recorder_dump_are_dropped_and_remembered(tmp_path):
    loads = read_loads(written(tmp_path, "a.pt", pt_bytes(sglang_dump())))
    assert loads.format == "sglang"
    assert loads.layer_ids == (1, 2, 3)
    assert loads.num_hidden_layers == 4


def test_an_idle_moe_layer_after_a_busy_one_is_kept(tmp_path):
    count = np.zeros((2, 5, 4), dtype=int)
    count[1, 2], count[0, 4] = 3, 2
    loads = read_loads(written(tmp_path, "a.json", json.dumps({"logical_count": count.tolist()})))
    assert loads.layer_ids == (2, 3, 4)
    assert (loads.total[1] == 0).all()


def test_a_plain_array_keeps_its_zero_rows(tmp_path):
    load = LOAD[0] * [[0], [1], [1]]
    assert (read_loads(written(tmp_path, "a.npy", npy_bytes(load))).load[0] == load).all()


def test_a_dump_without_any_traffic_is_refused(tmp_path):
    with pytest.raises(FormatError, match="all of the 3 layers are zero"):
        read_loads(written(tmp_path, "a.json", '{"logical_count": [[0, 0], [0, 0], [0, 0]]}'))


def test_a_placement_is_not_taken_for_loads(tmp_path):
    content = npz_file(physical_to_logical=LOAD[0], logical_count=LOAD[0])
    with pytest.raises(FormatError, match="placement"):
        read_loads(written(tmp_path, "a.npz", content))


@pytest.mark.parametrize(
    ("text", "layers", "load"),
    [
        ("1,2\n3,4\n", (0, 1), [[[1, 2], [3, 4]]]),
        ("\ufeffe0;e1\r\n1;2\r\n\r\n3;4\r\n", (0, 1), [[[1, 2], [3, 4]]]),
        ("# saved by numpy\n1\t2\n3\t4", (0, 1), [[[1, 2], [3, 4]]]),
        ("Layer,e0,e1\n5,3,4\n3,1,2\n", (3, 5), [[[1, 2], [3, 4]]]),
        ("step,e0\na,1\na,2\nb,3\nb,4\n", (0, 1), [[[1], [2]], [[3], [4]]]),
        ("layer,snapshot,e0\n1,0,2\n0,9,3\n0,0,1\n1,9,4\n", (0, 1), [[[1], [2]], [[3], [4]]]),
    ],
)
def test_tables_may_name_layers_and_snapshots(tmp_path, text, layers, load):
    loads = read_loads(written(tmp_path, "a.csv", text))
    assert loads.layer_ids == layers
    assert loads.load.tolist() == load


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "row 1 has 1 cells, row 0 has 2"),
        ("e0,e1\n1,x\n", "row 1 holds 'x'"),
        ("e0,e1\n", "nothing below"),
        ("\n\n", "no rows"),
        ("layer,e0\n0,1\n0,2\n", "several rows"),
        ("layer,step,e0\n0,0,1\n1,0,1\n0,1,1\n", "'1' has no row for layer 1"),
        ("layer,e0\nx,1\n", "column layer"),
        ("layer,layer_id,e0\n0,0,1\n", "several columns"),
        ("step,e0\n0,1\n1,1\n1,1\n", "different numbers of rows"),
        ("1_0,2\n1,2\n3_0,4\n", "column '1_0' is none of an expert"),
        ("99999999999999999999,1\n", "fit 64 bits"),
        ("layer\n0\n", "no column with loads"),
        (b"1,2\n\xff\xfe\x00", "no UTF-8"),
        (b"1,2\n\0,3\n", "NUL"),
    ],
)
def test_bad_tables_say_what_is_wrong(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_loads(written(tmp_path, "a.csv", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2], [3]]", "row 1 has 1 entries, row 0 has 2"),
        ("[1, 2]", r"shape \[2\]"),
        ("[[[[1]]]]", r"shape \[1, 1, 1, 1\]"),
        ("[]", r"shape \[0\]"),
        ("[[], []]", "nothing in it"),
        ('[["1"]]', "must hold integers or reals"),
        ("[[true]]", "type bool"),
        ("[[null]]", "type object"),
        ("[[99999999999999999999999]]", "64 bits"),
        ("[[18446744073709551615]]", "larger unit"),
        (f"[[{'9' * 5000}]]", "no JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("[[1, 2]", "cut off"),
        ("7", "a JSON int"),
        ('{"loads": [[1]]}', "keys loads"),
        ('{"load": [[1]], "layer_ids": [[1]]}', "layer_ids"),
        ('{"load": [[1], [1]], "layer_ids": [1, 0]}', "ascend"),
        ('{"load": {"a": 1}}', "type object"),
        ('{"logical_count": [[1], [2, 3]]}', "logical_count is no rectangular"),
    ],
)
def test_bad_json_says_what_is_wrong(tmp_path, text, message):
    path = written(tmp_path, "a.json", text)
    with pytest.raises(FormatError, match=message) as caught:
        read_loads(path)
    assert str(caught.value).startswith(str(path))


def test_values_that_are_not_finite_are_left_to_the_problem(tmp_path):
    load = read_loads(written(tmp_path, "a.json", "[[NaN, 1e400, -3]]")).load
    assert np.isnan(load[0, 0, 0])
    assert np.isinf(load[0, 0, 1])


def test_unknown_formats_and_extensions_list_the_known_ones(tmp_path):
    path = written(tmp_path, "a.xlsx", "x")
    with pytest.raises(
        FormatError, match=r"'nope' is unknown; known: sglang, lmdeploy, trtllm, vllm, adrs, npy"
    ):
        read_loads(path, format="nope")
    with pytest.raises(FormatError, match=r"'.xlsx' is unknown; known: .npy, .npz, .csv"):
        read_loads(path)


def test_a_format_in_the_wrong_container_says_which_is_due(tmp_path):
    with pytest.raises(FormatError, match="this is json, but npy comes as npy"):
        read_loads(written(tmp_path, "a.json", "[[1]]"), format="npy")


def test_a_sum_beyond_64_bits_is_refused():
    loads = Loads(np.full((3, 1, 1), 2**62))
    with pytest.raises(FormatError, match="beyond 2"):
        _ = loads.total


def test_a_sum_of_floats_is_not_limited():
    assert Loads(np.full((3, 1, 1), 2.0**90)).total.tolist() == [[3 * 2.0**90]]


def test_hidden_layers_must_hold_the_last_layer():
    with pytest.raises(FormatError, match="take 4 or more"):
        Loads(LOAD, (1, 2, 3), num_hidden_layers=3)


@given(st.data())
def test_loads_survive_the_round_trip_through_text(tmp_path_factory, data):
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * 3))
    count = int(np.prod(shape))
    values = data.draw(st.lists(st.integers(0, 2**63 - 1), min_size=count, max_size=count))
    load = np.array(values, dtype=np.int64).reshape(shape)
    path = tmp_path_factory.mktemp("round") / "a.json"
    path.write_text(json.dumps(load.tolist()))
    assert (read_loads(path).load == load).all()


def test_without_torch_only_pt_files_are_out_of_reach(tmp_path, monkeypatch):
    pt = written(tmp_path, "a.pt", pt_bytes(sglang_dump()))
    npy = written(tmp_path, "a.npy", npy_bytes(LOAD))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"eplb-opt\[heuristics\]"):
        read_loads(pt)
    assert read_loads(npy).num_layers == 3


def test_importing_the_room_loads_numpy_alone():
    code = (
        "import sys, eplb_opt.io;"
        "heavy = 'torch', 'ortools', 'yaml', 'scipy', 'pyarrow', 'safetensors';"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not TRACES.is_dir(), reason="the recorded traces are not beside the project")
def test_recorded_traces_are_read():
    paths = sorted(TRACES.glob("*.npz"))
    assert paths
    for path in paths:
        with np.load(path) as stored:
            loads = read_loads(path)
            assert (loads.load == stored["load"]).all()
            if "layer_ids" in stored:
                assert loads.layer_ids == tuple(stored["layer_ids"].tolist())
