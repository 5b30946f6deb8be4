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
    }
