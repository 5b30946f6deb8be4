import json

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io import (
    TokenRecording,
    open_tokens,
    open_trace,
    read_loads,
    read_pairs,
    read_total,
    write_tokens,
)
from eplb_opt.io.placement import StoredPlan
from eplb_opt.io.recordings import tokens as tokens_module

from . import token_samples as samples

pytest.importorskip("torch", reason="recordings of tokens are torch files")
pytest.importorskip("safetensors")

#: Passes of four ranks: one has no token in the second pass, one has many in the first.
SIZES = ((5, 2), (3, 0), (9, 1), (4, 4))


def parts(sizes=SIZES):
    """Experts of the tokens of each rank's passes."""
    return [
        [samples.routed(num, seed=10 * rank + i) for i, num in enumerate(row)]
        for rank, row in enumerate(sizes)
    ]


def walked(recording):
    """All tokens as a sorted list of (rank, layer id, experts in order)."""
    found = []
    for chunk in recording.chunks():
        for at, layer_idx in enumerate(chunk.layer_idx):
            for experts, rank in zip(chunk.experts[at], chunk.rank, strict=True):
                ids = tuple(sorted(e for e in experts.tolist() if e >= 0))
                if ids:
                    found.append((int(rank), recording.layer_ids[layer_idx], ids))
    return sorted(found)


def expected(tokens_of_rank, first_layer):
    return sorted(
        (rank, first_layer + layer, tuple(sorted(token[layer].tolist())))
        for rank, passes in enumerate(tokens_of_rank)
        for experts in passes
        for token in experts
        for layer in range(experts.shape[1])
    )


def counts(tokens_of_rank):
    total = np.zeros((samples.NUM_LAYERS, samples.NUM_EXPERTS), dtype=np.int64)
    for passes in tokens_of_rank:
        for experts in passes:
            for layer in range(experts.shape[1]):
                total[layer] += np.bincount(experts[:, layer].ravel(), minlength=total.shape[1])
    return total


def test_sglangs_tokens_come_back_as_experts_with_their_rank(tmp_path):
    recording = open_tokens(samples.write_per_token(tmp_path / "dumps", parts()))
    assert recording.format == "sglang"
    assert recording.layer_ids == (2, 3, 4)
    assert (recording.num_experts, recording.num_hidden_layers) == (12, 5)
    assert walked(recording) == expected(parts(), 2)
    assert recording.notes == []


def test_the_file_of_one_rank_reads_alone(tmp_path):
    folder = samples.write_per_token(tmp_path / "dumps", parts()[:1])
    (file,) = folder.iterdir()
    assert walked(open_tokens(file)) == expected(parts()[:1], 2)


@pytest.mark.parametrize("kind", ["raw", "cooccurrence"])
def test_tensorrt_llms_tokens_come_back_in_both_layouts(tmp_path, kind):
    folder = samples.write_statistics(tmp_path / "statistics", parts(), kind=kind)
    recording = open_tokens(folder)
    assert recording.format == "trtllm"
    assert recording.layer_ids == (3, 4, 5)
    assert walked(recording) == expected(parts(), 3)


@pytest.mark.parametrize("write", [samples.write_per_token, samples.write_statistics])
def test_the_same_files_read_as_loads(tmp_path, write):
    folder = write(tmp_path / "recording", parts())
    assert np.array_equal(read_loads(folder).total, counts(parts()))
    assert np.array_equal(read_total(folder).load[0], counts(parts()))
    total = open_tokens(folder).total()
    assert np.array_equal(total.load[0], counts(parts()))
    assert total.origin.ranks == (0, 1, 2, 3)
    assert total.layer_ids == read_loads(folder).layer_ids


def test_our_own_file_holds_the_same_tokens_and_reads_as_loads(tmp_path):
    recording = open_tokens(samples.write_per_token(tmp_path / "dumps", parts()))
    path = tmp_path / "tokens.npz"
    write_tokens(path, recording)
    again = open_tokens(path)
    assert walked(again) == walked(recording)
    assert (again.layer_ids, again.num_hidden_layers) == ((2, 3, 4), 5)
    assert again.num_experts == 12
    for read in (read_loads, read_total):
        loads = read(path)
        assert np.array_equal(loads.total, counts(parts()))
        assert loads.layer_ids == (2, 3, 4)
    assert open_trace(path).shape == (1, 3, 12)
    before = path.read_bytes()
    write_tokens(path, again)
    assert path.read_bytes() == before


def test_a_bare_array_is_tokens_without_ranks(tmp_path):
    experts = samples.routed(6)
    np.save(tmp_path / "routed.npy", experts.astype(np.int16))
    recording = open_tokens(tmp_path / "routed.npy")
    assert recording.layer_ids == (0, 1, 2)
    assert walked(recording) == [(-1, *rest) for _, *rest in expected([[experts]], 0)]


def test_leading_layers_of_zeros_are_dense_as_sglang_returns_routed_experts(tmp_path):
    experts = samples.routed(6)
    whole = np.concatenate([np.zeros((6, 2, 3), dtype=np.int32), experts], axis=1)
    np.save(tmp_path / "routed.npy", whole)
    for recording in (open_tokens(tmp_path / "routed.npy"), TokenRecording.of(whole)):
        assert (recording.layer_ids, recording.num_hidden_layers) == ((2, 3, 4), 5)
        assert walked(recording) == [(-1, *rest) for _, *rest in expected([[experts]], 2)]
    with pytest.raises(FormatError, match="it was not recorded"):
        TokenRecording.of(whole[:, :2])
    # One expert a token: all of them may go to expert 0.
    assert TokenRecording.of(whole[:, :3, :1]).layer_ids == (0, 1, 2)


def test_chunks_are_merged_and_cut_and_lose_nothing(tmp_path, monkeypatch):
    folder = samples.write_per_token(tmp_path / "dumps", parts())
    whole = list(open_tokens(folder).chunks())
    assert len(whole) == 1  # eight passes in one chunk
    for size in (1, 40, 100):
        monkeypatch.setattr(tokens_module, "CHUNK_ENTRIES", size)
        cut = list(open_tokens(folder).chunks())
        assert len(cut) > 1
        assert sum(chunk.num_tokens for chunk in cut) == 28
        assert walked(open_tokens(folder)) == expected(parts(), 2)


def test_progress_ends_at_the_whole(tmp_path):
    for path in (
        samples.write_per_token(tmp_path / "dumps", parts()),
        samples.write_statistics(tmp_path / "statistics", parts()),
    ):
        told = []
        list(open_tokens(path).chunks(lambda *ends, told=told: told.append(ends)))
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1] > 0


def test_slots_of_a_load_balancer_are_folded_by_its_map(tmp_path):
    slots = [[samples.slots_of(e) for e in passes] for passes in parts()]
    folder = samples.write_statistics(tmp_path / "statistics", slots, num_experts=16)
    stored = StoredPlan(samples.PLACED, (3, 4, 5))
    assert walked(open_tokens(folder, stored=stored)) == expected(parts(), 3)
    assert open_tokens(folder).num_experts == 16


@pytest.mark.parametrize("with_slots", [False, True], ids=["experts", "slots"])
def test_co_occurrence_counts_the_tokens_in_which_both_fire(tmp_path, with_slots):
    given = [[samples.slots_of(e) for e in row] for row in parts()] if with_slots else parts()
    folder = samples.write_statistics(
        tmp_path / "statistics", given, kind="cooccurrence", num_experts=16 if with_slots else 12
    )
    stored = StoredPlan(samples.PLACED, (3, 4, 5)) if with_slots else None
    pairs, layer_ids = read_pairs(folder, stored=stored)
    assert layer_ids == (3, 4, 5)
    wanted = np.zeros((3, 12, 12), dtype=np.int64)
    for _, layer, experts in expected(parts(), 0):
        wanted[layer][np.ix_(experts, experts)] += 1
    assert np.array_equal(pairs, wanted)
    assert read_pairs(samples.write_statistics(tmp_path / "plain", parts())) is None


def test_ranks_that_record_the_same_tokens_are_noted(tmp_path):
    same = [parts()[0]] * 4
    for path in (
        samples.write_per_token(tmp_path / "dumps", same),
        samples.write_statistics(tmp_path / "statistics", same),
    ):
        recording = open_tokens(path)
        list(recording.chunks())
        (note,) = recording.notes
        assert "6 times a rank has recorded the very tokens of another" in note


def test_ranks_that_keep_the_beginning_of_a_gathered_batch_are_noted(tmp_path):
    """SGLang with DP attention and no all-to-all backend: a rank keeps as many as it has."""
    whole = [samples.routed(9, seed=1), samples.routed(9, seed=2)]
    kept = [[batch[:num] for batch in whole] for num in (4, 9, 2, 5)]
    recording = open_tokens(samples.write_per_token(tmp_path / "dumps", kept))
    list(recording.chunks())
    assert "6 times" in recording.notes[0]


def altered(tmp_path, change):
    """A dump of a rank with something changed."""
    import torch

    document = samples.per_token(0, parts()[0])
    change(document)
    path = tmp_path / "expert_distribution_recorder_1.5_0.pt"
    torch.save(document, path)
    return path


def set_topk(document, at, value):
    document["records"][0]["topk_ids_of_layer"][at] = value


DAMAGE = {
    "no tokens, as in mode per_pass": (
        lambda d: [r.pop("topk_ids_of_layer") for r in d["records"]],
        "mode per_pass. Record with --expert-distribution-recorder-mode per_token",
    ),
    "a slot that is not there": (lambda d: set_topk(d, (3, 1, 2), 16), "the map has 16"),
    "an id below -1": (lambda d: set_topk(d, (3, 1, 2), -2), "slots -2 to"),
    "an expert twice": (
        lambda d: set_topk(d, (4, 0, slice(0, 2)), 0),
        "layer 4: a token goes to expert 0 twice",
    ),
    "fewer tokens than inputs": (
        lambda d: d["records"][1]["input_ids"].append(1),
        "3 input_ids and 2 tokens",
    ),
    "other layers than the map": (
        lambda d: d["records"][0].update(
            topk_ids_of_layer=d["records"][0]["topk_ids_of_layer"][1:]
        ),
        r"int32 \[4, 5, 8\]; integers \[5 hidden layers",
    ),
    "experts in a dense layer of a later pass": (
        lambda d: d["records"][1]["topk_ids_of_layer"].__setitem__((0, 0, 0), 3),
        "pass 8 has experts in layers before 2",
    ),
    "floats": (
        lambda d: d["records"][0].update(
            topk_ids_of_layer=d["records"][0]["topk_ids_of_layer"].float()
        ),
        "float32",
    ),
    "a pass twice": (lambda d: d["records"].append(d["records"][0]), "has pass 7 twice"),
    "nothing": (lambda d: d["records"].clear(), "there is no token in it"),
    "sums": (lambda d: (d.pop("records"), d.update(logical_count=1)), "there are no records"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_dumps_are_refused_with_what_is_wrong(tmp_path, name):
    change, message = DAMAGE[name]
    path = altered(tmp_path, change)
    with pytest.raises(FormatError, match=message) as caught:
        list(open_tokens(path).chunks())
    assert str(path) in str(caught.value)


def test_a_tensor_that_repeats_one_value_is_no_dump(tmp_path):
    import torch

    def expand(document):
        document["records"][0]["topk_ids_of_layer"] = torch.zeros(1, dtype=torch.int32).expand(
            5, 10**7, 8
        )
        document["records"][0].pop("input_ids")

    with pytest.raises(FormatError, match="claims"):
        list(open_tokens(altered(tmp_path, expand)).chunks())


def test_a_missing_rank_is_named(tmp_path):
    folder = samples.write_per_token(tmp_path / "dumps", parts())
    (folder / "expert_distribution_recorder_1756000000.25_1.pt").unlink()
    with pytest.raises(FormatError, match="there is rank 3, but none of rank 1"):
        list(open_tokens(folder).chunks())
    folder = samples.write_statistics(tmp_path / "statistics", parts())
    (folder / "rank1_raw.safetensors").unlink()
    with pytest.raises(FormatError, match="not those of all ranks"):
        open_tokens(folder)


def test_counts_alone_tell_of_no_token(tmp_path):
    folder = samples.write_statistics(tmp_path / "statistics", parts(), kind="counts")
    with pytest.raises(FormatError, match="counts alone tell of no single token"):
        open_tokens(folder)
    np.savez(tmp_path / "loads.npz", load=counts(parts()))
    with pytest.raises(FormatError, match="no array topk_ids"):
        open_tokens(tmp_path / "loads.npz")


def test_pairs_that_cannot_be_are_refused(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = samples.write_statistics(tmp_path / "statistics", parts(), kind="cooccurrence")
    file = folder / "cooccurrence_rank2.safetensors"
    pairs = load_file(file)
    pairs["100_4"][1, 2] += 50
    save_file(pairs, file)
    with pytest.raises(FormatError, match=r"cooccurrence_rank2.*100_4 is no table of pairs"):
        read_pairs(folder)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"topk_ids": np.zeros((3, 2, 2))}, "float64"),
        ({"topk_ids": np.zeros((3, 2), dtype=int)}, "integers"),
        ({"topk_ids": np.arange(12).reshape(3, 2, 2), "source_rank": np.zeros(2)}, "source_rank"),
        ({"topk_ids": np.arange(12).reshape(3, 2, 2), "num_experts": 4}, "experts 0 to 11"),
        ({"topk_ids": np.full((3, 2, 2), -1)}, "no token"),
        (
            {"topk_ids": np.arange(12).reshape(3, 2, 2), "source_rank": np.array([0, -2, 1])},
            "ranks -2 to 1",
        ),
    ],
)
def test_arrays_that_are_no_tokens_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "tokens.npz", **arrays)
    with pytest.raises(FormatError, match=message):
        list(open_tokens(tmp_path / "tokens.npz").chunks())


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    recording = TokenRecording.of(samples.routed(4000), np.arange(4000) % 4)
    path = tmp_path / "tokens.npz"
    write_tokens(path, recording)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError):
        list(open_tokens(path).chunks())


def test_tokens_in_some_layers_alone_have_no_row_to_be_written(tmp_path):
    folder = samples.write_statistics(tmp_path / "statistics", parts())
    from safetensors.numpy import load_file, save_file

    file = folder / "rank0_raw.safetensors"
    ids = load_file(file)
    ids["100_4"] = np.ascontiguousarray(ids["100_4"][:2])
    save_file(ids, file)
    recording = open_tokens(folder)
    assert sum(layer == 4 for _, layer, _ in walked(recording)) == 28 - 3
    with pytest.raises(FormatError, match="in some layers alone"):
        write_tokens(tmp_path / "tokens.npz", recording)


def test_meta_of_another_kind_is_refused(tmp_path):
    folder = samples.write_statistics(tmp_path / "statistics", parts())
    (folder / "meta_info.json").write_text(json.dumps({"num_experts": 4}))
    with pytest.raises(FormatError, match="ids are 0 to 3"):
        list(open_tokens(folder).chunks())


@pytest.mark.parametrize("kind", ["sglang", "trtllm", "npz"])
def test_damaged_bytes_are_refused_or_read_and_raise_nothing_else(tmp_path, kind):
    if kind == "npz":
        path = file = tmp_path / "tokens.npz"
        write_tokens(path, TokenRecording.of(samples.routed(40), np.arange(40) % 4))
    elif kind == "sglang":
        path = samples.write_per_token(tmp_path / "dumps", parts()[:1])
        (file,) = path.iterdir()
    else:
        path = samples.write_statistics(tmp_path / "statistics", parts()[:1])
        file = path / "rank0_raw.safetensors"
    content = file.read_bytes()
    rng = np.random.default_rng(5)
    num_refused = 0
    for attempt in range(150):
        damaged = bytearray(content)
        for at in rng.integers(len(content), size=4):
            damaged[at] = int(rng.integers(256))
        if attempt % 3 == 0:
            damaged = damaged[: rng.integers(1, len(content))]
        file.write_bytes(bytes(damaged))
        try:
            list(open_tokens(path).chunks())
        except FormatError:
            num_refused += 1
    assert num_refused >= 50
