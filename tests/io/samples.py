"""A valid file of each format, small enough to damage thousands of times."""

import io
import json

import numpy as np

LOAD = np.arange(2 * 3 * 4).reshape(2, 3, 4) * 7 + 1
PLAN = np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 3], [1, 1, 2, 3, 0, 2]])


def npy_bytes(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npz_file(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def pt_bytes(document: object, **options: object) -> bytes:
    import torch

    content = io.BytesIO()
    torch.save(document, content, **options)
    return content.getvalue()


def csv_bytes() -> bytes:
    lines = ["step,layer,e0,e1,e2,e3"]
    for t, snapshot in enumerate(LOAD.tolist()):
        lines += [f"{t},{i},{','.join(map(str, row))}" for i, row in enumerate(snapshot)]
    return "\n".join(lines).encode()


def sglang_dump(dtype: str = "int32") -> dict[str, object]:
    import torch

    dense = np.zeros((2, 1, 4), dtype=np.int64)
    count = torch.tensor(np.concatenate([dense, LOAD], axis=1)).to(getattr(torch, dtype))
    return {"rank": 0, "logical_count": count, "average_utilization_rate_over_window": None}


#: file name, bytes: each reads as LOAD.
def load_files() -> dict[str, bytes]:
    import torch

    return {
        "a.npy": npy_bytes(LOAD),
        "fortran.npy": npy_bytes(np.asfortranarray(LOAD)),
        "a.npz": npz_file(load=LOAD, layer_ids=np.arange(3), model="a model"),
        "weight.npz": npz_file(weight=LOAD.astype(np.uint16)),
        "only.npz": npz_file(anything=LOAD, other=np.arange(3)),
        "a.csv": csv_bytes(),
        "a.json": json.dumps(LOAD.tolist()).encode(),
        "object.json": json.dumps({"load": LOAD.tolist(), "layer_ids": [0, 1, 2]}).encode(),
        "sglang.json": json.dumps({"logical_count": LOAD.tolist()}).encode(),
        "tensor.pt": pt_bytes(torch.tensor(LOAD)),
        "legacy.pt": pt_bytes(torch.tensor(LOAD), _use_new_zipfile_serialization=False),
        "sglang.pt": pt_bytes(sglang_dump()),
        "passes.pt": pt_bytes(passes(0)),
        "vllm.jsonl": jsonl_bytes(),
        "a.parquet": load_table(),
        "adrs.json": json.dumps(load_history(LOAD)).encode(),
    }


#: file name, bytes: each reads as the sum of LOAD over its steps.
def total_files() -> dict[str, bytes]:
    total = LOAD.sum(axis=0)
    return {
        "vllm.safetensors": safetensors_bytes({"org/model": total.astype(np.float32)}, "1"),
        "lmdeploy.pt": pt_bytes(expert_counts(total)),
    }


#: file name, bytes: each reads as PLAN.
def plan_files() -> dict[str, bytes]:
    import torch

    tensor = torch.tensor(PLAN)
    return {
        "p.npy": npy_bytes(PLAN),
        "p.npz": npz_file(physical_to_logical=PLAN, logical_count=np.ones((3, 4))),
        "deepseek.npz": npz_file(phy2log=PLAN, logcnt=np.ones((3, 4), dtype=int)),
        "p.json": json.dumps(PLAN.tolist()).encode(),
        "sglang.json": json.dumps({"physical_to_logical_map": PLAN.tolist()}).encode(),
        "sglang.pt": pt_bytes({"physical_to_logical_map": tensor}),
        "deepseek.pt": pt_bytes({"phy2log": tensor, "logcnt": tensor}),
        "triple.pt": pt_bytes((tensor, tensor[:, :, None], tensor)),
        "tensor.pt": pt_bytes(tensor),
        "p.csv": f"layer,{','.join(f'slot{i}' for i in range(6))}\n".encode()
        + "".join(f"{i},{','.join(map(str, row))}\n" for i, row in enumerate(PLAN)).encode(),
        "p.parquet": plan_table(),
        "trtllm.yaml": yaml_text(PLAN).encode(),
        "vllm-ascend.json": json.dumps(expert_map(PLAN, 2)).encode(),
        "trtllm-config.yaml": config_text(PLAN).encode(),
        "vllm-hcu.json": json.dumps(model_maps({"Target": PLAN})).encode(),
        "vllm.npz": npz_file(physical_to_logical_map=PLAN, logical_replica_count=PLAN),
    }


#: Rank 1 saw a part of the tokens, rank 0 the rest; the first hidden layer is dense.
DENSE_MAP = np.concatenate([[[0, 1, 2, 3, 0, 1]], PLAN])


def slot_loads(load: np.ndarray, seed: int = 0) -> np.ndarray:
    """Loads of the slots of PLAN that add up to loads [..., 3, 4] of experts."""
    rng = np.random.default_rng(seed)
    slots = np.zeros((*load.shape[:-1], PLAN.shape[1]), dtype=np.int64)
    for layer, expert in np.ndindex(PLAN.shape[0], load.shape[-1]):
        at = np.flatnonzero(PLAN[layer] == expert)
        for index in np.ndindex(load.shape[:-2]):
            parts = rng.multinomial(load[(*index, layer, expert)], np.full(len(at), 1 / len(at)))
            slots[(*index, layer)][at] = parts
    return slots


def passes(rank: int, num_ranks: int = 1, first: int = 100) -> dict[str, object]:
    """SGLang's dump of single passes: what one rank saw of LOAD."""
    import torch

    share = [LOAD // num_ranks] * (num_ranks - 1)
    share.append(LOAD - sum(share))
    counts = np.pad(slot_loads(share[rank], rank), ((0, 0), (1, 0), (0, 0)))
    records = [
        {
            "forward_pass_id": first + i,
            "rank": rank,
            "gatherer_key": "primary",
            "global_physical_count": torch.tensor(count, dtype=torch.int32),
        }
        for i, count in enumerate(counts)
    ]
    return {"records": records, "last_physical_to_logical_map": torch.tensor(DENSE_MAP)}


def jsonl_bytes() -> bytes:
    meta = {"record_type": "eplb_load_meta", "version": 1, "model": "m", "num_ranks": 2}
    meta |= {"num_groups": 1, "num_nodes": 1, "num_layers": 3, "num_redundant_experts": 2}
    lines = [meta, {"record_type": "a_mark", "label": "run 1"}]
    for step, slots in enumerate(slot_loads(LOAD).tolist()):
        record = {"record_type": "eplb_load_stats", "version": 1, "step": step}
        lines.append(record | {"expert_load": slots, "p2l_map": PLAN.tolist()})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def parquet_bytes(**columns: object) -> bytes:
    import pyarrow
    import pyarrow.parquet

    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


def load_table() -> bytes:
    order = np.random.default_rng(0).permutation(LOAD.size)
    at = [index.ravel()[order] for index in np.indices(LOAD.shape)]
    names = ("snapshot", "layer", "expert")
    return parquet_bytes(**dict(zip(names, at, strict=True)), load=LOAD.ravel()[order])


def plan_table() -> bytes:
    layer, slot = np.indices(PLAN.shape)
    return parquet_bytes(layer=layer.ravel() + 3, slot=slot.ravel(), expert=PLAN.ravel())


def safetensors_bytes(arrays: dict[str, np.ndarray], version: str | None = None) -> bytes:
    from safetensors.numpy import save

    return save(arrays, None if version is None else {"version": version})


def expert_counts(counts: np.ndarray, step: int = 9, rank: int = 0) -> dict[str, object]:
    """A dump of lmdeploy's recorder: all tokens since the start."""
    import torch

    values = torch.tensor(counts)
    means = torch.ones(len(counts))
    beside = {"balancedness": means, "total_tokens": values.sum(1)}
    return {"counts": values, **beside, "step": step, "rank": rank}


def load_history(load: np.ndarray) -> dict[str, object]:
    steps = [{"logical_expert_load": step.tolist(), "iteration": i} for i, step in enumerate(load)]
    return {"load_history": steps, "num_gpus": 8}


def model_maps(maps: dict[str, np.ndarray]) -> dict[str, object]:
    """Maps of several models in one file, as HYGON's plug-in for vLLM has them."""
    entries = {
        name: {
            "record_kind": "proposal",
            "model_name": f"org/{name}",
            "model_class": name.partition("#")[0],
            "num_moe_layers": len(placed),
            "num_logical_experts": 4,
            "num_physical_experts": placed.shape[1],
            "num_redundant_experts": placed.shape[1] - 4,
            "physical_to_logical_map": placed.tolist(),
        }
        for name, placed in maps.items()
    }
    text = "vllm_offline_eplb_physical_to_logical_by_model"
    return {"version": 2, "format": text, "model_maps": entries}


def pattern(placed: np.ndarray, num_gpus: int, num_experts: int = 4) -> np.ndarray:
    """OmniPlacement's 0 and 1, [devices, layers, experts]."""
    found = np.zeros((num_gpus, len(placed), num_experts), dtype=np.int32)
    for layer, row in enumerate(placed):
        for gpu, slots in enumerate(np.split(row, num_gpus)):
            found[gpu, layer, slots[slots >= 0]] = 1
    return found


def statistics(num_ranks: int = 2) -> dict[str, bytes]:
    """TensorRT-LLM's folder: LOAD over some ranks, layers 3 to 5, iterations 10 and 11."""
    files = {"meta_info.json": b'{"num_experts": 4, "num_experts_per_token": 2}'}
    share = [LOAD // num_ranks] * (num_ranks - 1)
    share.append(LOAD - sum(share))
    for rank, load in enumerate(share):
        rows = {f"{10 + t}_{3 + i}": load[t, i] for t, i in np.ndindex(LOAD.shape[:2])}
        files[f"rank{rank}.safetensors"] = safetensors_bytes(rows)
        files[f"rank{rank}_raw.safetensors"] = b"not to be read"
    return files


#: Folder name, its files: each reads as LOAD.
def load_folders() -> dict[str, dict[str, bytes]]:
    half = sglang_dump()
    dumps = [half | {"logical_count": half["logical_count"][i : i + 1]} for i in range(2)]  # type: ignore[index]
    return {
        "statistics": statistics(),
        "passes": {
            f"expert_distribution_recorder_17000.{5 - rank}_{rank}.pt": pt_bytes(passes(rank, 3))
            for rank in range(3)
        },
        "counts": {
            f"rank{rank}_step{10 * (i + 1)}_expert_counts.pt": pt_bytes(
                expert_counts(share[: i + 1].sum(axis=0), 10 * (i + 1), rank)
            )
            for rank, share in enumerate([LOAD // 3, LOAD - LOAD // 3])
            for i in range(2)
        },
        "dumps": {
            f"expert_distribution_recorder_{9999 + i}.5.pt": pt_bytes(dump)
            for i, dump in enumerate(dumps)
        },
    }


def expert_map(placed: np.ndarray, num_gpus: int) -> dict[str, object]:
    layers = [
        {
            "layer_id": i,
            "device_count": num_gpus,
            "device_list": [
                {"device_id": g, "device_expert": slots.tolist()}
                for g, slots in enumerate(np.split(row, num_gpus))
            ],
        }
        for i, row in enumerate(placed)
    ]
    return {"moe_layer_count": len(placed), "layer_list": layers}


def yaml_text(placed: np.ndarray, first: int = 3) -> str:
    rows = [f"  {first + i}: {row.tolist()}" for i, row in enumerate(placed)]
    head = [f"num_slots: {placed.shape[1]}", "initial_global_assignments:"]
    return "\n".join([*head, *rows, "layer_updates_per_iter: 0", ""])


def config_text(placed: np.ndarray) -> str:
    """Settings of a server, those of the balancer among them."""
    inner = yaml_text(placed).replace("\n", "\n    ").rstrip()
    head = ["enable_attention_dp: true", "kv_cache_config: {free_gpu_memory_fraction: 0.8}"]
    head += ["moe_config:", "  backend: WIDEEP", "  load_balancer:"]
    return "\n".join([*head, f"    {inner}", ""])
