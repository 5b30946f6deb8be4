"""Tables with a row for each expert that was hit, headers, and recordings of several ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eplb_opt.errors import FormatError
from eplb_opt.io import read_loads, read_total
from eplb_opt.io.containers.long_table import loads_of_rows
from eplb_opt.io.recordings.rank_files import added_ranks, rank_file, rank_files

ROWS = "layer_id,expert_id,count\n" + "".join(
    f"{layer},{expert},{100 * expert + 10 * layer + 1}\n" for layer in (3, 4) for expert in range(4)
)
LOAD = [[31, 131, 231, 331], [41, 141, 241, 341]]


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_a_long_table_keeps_the_ids_of_its_layers(tmp_path):
    loads = read_loads(written(tmp_path, "rank0.csv", ROWS))
    assert loads.load.tolist() == [LOAD]
    assert loads.layer_ids == (3, 4)
    assert loads.origin.may_lack_experts


def test_absent_rows_are_zero_and_steps_are_snapshots(tmp_path):
    text = "step,layer_id,expert_id,count\n7,3,1,5\n7,4,0,6\n9,3,2,8\n"
    loads = read_loads(written(tmp_path, "a.csv", text))
    assert loads.load.tolist() == [[[0, 5, 0], [6, 0, 0]], [[0, 0, 8], [0, 0, 0]]]


def test_rows_that_come_again_are_added_up_and_said(tmp_path):
    text = "rank,layer,expert,load\n0,3,1,5\n1,3,1,6\n1,3,0,1\n"
    loads = read_loads(written(tmp_path, "a.csv", text))
    assert loads.load.tolist() == [[[1, 11]]]
    assert "1 of 3 rows name an expert of a layer again" in loads.origin.notes[0]


@given(st.data())
def test_a_long_table_in_any_order_is_the_array_it_was_made_of(data):
    shape = data.draw(st.tuples(*[st.integers(1, 3)] * 3))
    size = int(np.prod(shape))
    numbers = st.lists(st.integers(0, 9), min_size=size, max_size=size)
    load = np.array(data.draw(numbers)).reshape(shape)
    load[-1, -1, -1] = load[0, -1, 0] = 1  # else the last ones are not known to be there
    load[:, :, 0] += 1
    rows = data.draw(st.permutations(np.argwhere(load > 0).tolist()))
    rows.sort(key=lambda row: row[0])
    step, layer, expert = np.array(rows).T
    found = loads_of_rows([str(s) for s in step], layer, expert, load[step, layer, expert])
    assert found.load.tolist() == load.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer_id,expert_id,n\n3,0,1\n", "column 'n' is none that is known; drop it"),
        ("layer_id,expert_id\n3,0\n", "none called count"),
        ("expert_id,count\n0,1\n", "none called layer_id"),
        ("layer_id,count\n3,1\n", "no column expert_id"),
        ("rank,expert0,expert1\n0,1,2\n", "'rank' holds no loads"),
        ("layer,expert0,total\n0,1,1\n", "'total' is none of an expert"),
        ("layer,expert0,expert2\n0,1,1\n", "number 1 is missing before 'expert2'"),
        ("layer,expert0,expert0\n0,1,1\n", "number 0 is there twice"),
        ("layer,e0\n0,1\n0,2\n", "layer 0 has several rows"),
        ("layer_id,expert_id,count\n3,99999999,1\n", "holds 99999999"),
        ("layer_id,expert_id,count\n3,1048575,1\n1000000,1,2\n", None),
        ("index,e0,e1\n5,1,1\n9,2,2\n", "does not count the rows"),
        ("layer,slot0,slot1\n0,1,0\n", "this is a placement"),
    ],
)
def test_what_is_no_table_of_loads_is_refused_with_the_mend(tmp_path, text, message):
    path = written(tmp_path, "a.csv", text)
    if message is None:  # wide, but no more than files may claim
        assert read_loads(path).load.shape == (1, 2, 2**20)
        return
    with pytest.raises(FormatError, match=message):
        read_loads(path)


def test_few_rows_cannot_claim_much_memory(tmp_path):
    rows = "".join(f"{layer},1048575,1\n" for layer in range(100))
    with pytest.raises(FormatError, match="claim to be"):
        read_loads(written(tmp_path, "a.csv", f"layer_id,expert_id,count\n{rows}"))


@pytest.mark.parametrize(
    "header",
    ["layer,expert0,expert1,expert2", "layer,0,1,2", "layer,e1,e2,e3", ",0,1,2", "index,e0,e1,e2"],
)
def test_columns_are_experts_whatever_they_are_called(tmp_path, header):
    rows = "0,5,6,7\n1,8,9,10\n"
    loads = read_loads(written(tmp_path, "a.csv", f"{header}\n{rows}"))
    assert loads.load.tolist() == [[[5, 6, 7], [8, 9, 10]]]


def test_columns_sorted_as_texts_are_put_in_the_order_of_their_numbers(tmp_path):
    names = sorted(f"expert{i}" for i in range(12))
    row = [name.removeprefix("expert") for name in names]
    text = f"{','.join(names)}\n{','.join(row)}\n"
    assert read_loads(written(tmp_path, "a.csv", text)).load.tolist() == [[list(range(12))]]


def test_a_first_row_that_counts_the_columns_is_their_names(tmp_path):
    loads = read_loads(written(tmp_path, "a.csv", "0,1,2,3\n9,8,7,6\n5,5,5,5\n"))
    assert loads.load.tolist() == [[[9, 8, 7, 6], [5, 5, 5, 5]]]
    assert "read as names" in loads.origin.notes[0]


@pytest.mark.parametrize(
    ("name", "rank", "num_ranks"),
    [
        ("rank0.csv", 0, None),
        ("load_rank-3.npy", 3, None),
        ("rank12_step9_expert_counts.pt", 12, None),
        ("rank3_of_8.csv", 3, 8),
        ("moe-rank-00003-of-00008.npz", 3, 8),
        ("frank0.csv", None, None),
        ("rank.csv", None, None),
        ("ranks.csv", None, None),
        ("rank0x.csv", None, None),
    ],
)
def test_names_tell_the_rank(name, rank, num_ranks):
    found = rank_file(name)
    assert (found and found.rank, found and found.num_ranks) == (rank, num_ranks)


def test_a_folder_of_ranks_is_one_recording(tmp_path):
    written(tmp_path, "rank0.csv", ROWS)
    written(tmp_path, "rank1.csv", "layer_id,expert_id,count\n5,6,7\n3,0,100\n")
    loads = read_total(tmp_path)
    assert loads.layer_ids == (3, 4, 5)
    assert loads.load[0].tolist() == [
        [131, 131, 231, 331, 0, 0, 0],
        [41, 141, 241, 341, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 7],
    ]
    assert loads.origin.ranks == (0, 1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["rank0.csv", "rank2.csv"], r"files of 2 ranks \(0, 2\) of 3; those of 1 are missing"),
        (["rank0_of_4.csv", "rank1_of_4.csv"], "2, 3 are missing"),
        (["rank0.csv", "rank1.csv", "total.csv"], "beside the files of 2 ranks lies total.csv"),
    ],
)
def test_a_folder_with_other_files_than_all_ranks_is_refused(tmp_path, names, message):
    for name in names:
        written(tmp_path, name, ROWS)
    with pytest.raises(FormatError, match=message):
        read_total(tmp_path)


def test_ranks_may_count_from_one_where_the_name_says_of_how_many(tmp_path):
    files = rank_files(["rank1of2.csv", "rank2of2.csv"])
    parts = [read_loads(written(tmp_path, file.name, ROWS)) for file in files]
    assert added_ranks(files, parts).load[0].tolist() == (2 * np.array(LOAD)).tolist()


def test_ranks_of_other_shapes_are_no_recording(tmp_path):
    files = rank_files(["rank0.csv", "rank1.csv"])
    wide = [written(tmp_path, "a.csv", "1,2\n3,4\n"), written(tmp_path, "b.csv", "1,2,3\n4,5,6\n")]
    with pytest.raises(FormatError, match=r"rank0\.csv has 1 snapshots x 2 layers x 2 experts"):
        added_ranks(files, [read_loads(path) for path in wide])


def test_totals_of_two_ranks_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    for rank in (0, 1):
        counts = {"rank": rank, "logical_count": torch.tensor([[[1, 2], [3, 4]]])}
        torch.save(counts, tmp_path / f"expert_distribution_recorder_{rank}.pt")
    with pytest.raises(FormatError, match="each holds the tokens of all ranks"):
        read_total(tmp_path)
    (tmp_path / "expert_distribution_recorder_1.pt").unlink()
    assert read_total(tmp_path).load.tolist() == [[[1, 2], [3, 4]]]
