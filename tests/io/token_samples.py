"""Recordings of single tokens, written as the engines write them."""

import json

import numpy as np

#: Two dense layers before three MoE layers; twelve experts in sixteen slots, on four ranks.
NUM_DENSE, NUM_LAYERS, NUM_EXPERTS, NUM_RANKS = 2, 3, 12, 4
PLACED = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2, 3],
        [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 5, 5, 5, 5],
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    ]
)
#: SGLang's table has room for so many, whatever the model.
WIDTH = 8


def routed(num_tokens, seed=0, experts_per_token=3, num_layers=NUM_LAYERS):
    """Logical experts [num_tokens, num_layers, experts_per_token], none twice in a token."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((num_tokens, num_layers, NUM_EXPERTS)), axis=2)
    return order[:, :, :experts_per_token]


def slots_of(experts, placed=PLACED, seed=0):
    """A random slot of each expert, as SGLang's dynamic dispatch takes it."""
    rng = np.random.default_rng(seed)
    slots = np.empty_like(experts)
    for at in np.ndindex(experts.shape):
        slots[at] = rng.choice(np.flatnonzero(placed[at[1]] == experts[at]))
    return slots


def per_token(rank, passes, placed=PLACED):
    """SGLang 0.5.23's dump of a rank in mode per_token: `passes` are experts of its tokens."""
    import torch

    num_hidden = NUM_DENSE + NUM_LAYERS
    whole = np.concatenate(
        [np.tile(np.arange(placed.shape[1]) % NUM_EXPERTS, (NUM_DENSE, 1)), placed]
    )
    records = []
    misc = []
    for forward_pass_id, experts in enumerate(passes, start=7):
        topk = np.full((num_hidden, len(experts), WIDTH), -1, dtype=np.int32)
        topk[NUM_DENSE:, :, : experts.shape[2]] = slots_of(experts, placed).transpose(1, 0, 2)
        count = np.stack([np.bincount(row[row >= 0], minlength=placed.shape[1]) for row in topk])
        records.append(
            {
                "forward_pass_id": forward_pass_id,
                "rank": rank,
                "gatherer_key": "primary",
                "input_ids": list(range(len(experts))),
                "positions": list(range(len(experts))),
                "extend_seq_lens": [len(experts)] if len(experts) > 1 else None,
                "forward_mode": 1,
                "topk_ids_of_layer": torch.tensor(topk),
                "misc_objects": misc,
                "global_physical_count": torch.tensor(count.astype(np.int32)),
            }
        )
    return {"records": records, "last_physical_to_logical_map": torch.tensor(whole)}


def write_per_token(folder, tokens_of_rank):
    """The files of all ranks; `tokens_of_rank[rank]` lists the experts of each pass."""
    import torch

    folder.mkdir(exist_ok=True)
    for rank, passes in enumerate(tokens_of_rank):
        name = f"expert_distribution_recorder_1756000000.25_{rank}.pt"
        torch.save(per_token(rank, passes), folder / name)
    return folder


def write_statistics(folder, tokens_of_rank, first_layer=3, kind="raw", num_experts=NUM_EXPERTS):
    """TensorRT-LLM's folder; `tokens_of_rank[rank]` lists the experts of each iteration."""
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    k = tokens_of_rank[0][0].shape[2]
    meta = {"num_experts": num_experts, "num_experts_per_token": k}
    (folder / "meta_info.json").write_text(json.dumps(meta))
    for rank, iterations in enumerate(tokens_of_rank):
        ids, counts, pairs = {}, {}, {}
        for iteration, experts in enumerate(iterations, start=100):
            for layer in range(experts.shape[1]):
                key, row = f"{iteration}_{first_layer + layer}", experts[:, layer].astype(np.int32)
                ids[key] = np.ascontiguousarray(row)
                counts[key] = np.bincount(row.ravel(), minlength=num_experts)
                one_hot = np.zeros((len(row), num_experts), dtype=np.int32)
                np.put_along_axis(one_hot, row.astype(np.int64), 1, axis=1)
                pairs[key] = one_hot.T @ one_hot
        save_file(counts, folder / f"rank{rank}.safetensors")
        if kind == "raw":
            save_file(ids, folder / f"rank{rank}_raw.safetensors")
        elif kind == "cooccurrence":
            save_file(pairs, folder / f"cooccurrence_rank{rank}.safetensors")
            save_file(ids, folder / f"token_selected_experts_rank{rank}.safetensors")
    return folder
