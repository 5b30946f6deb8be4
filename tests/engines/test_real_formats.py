"""Our files in the engines' own readers, and their files in ours; see `test_real_files`."""

import importlib
import json
import os
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

from eplb_opt.bench.rivals import FOLDER_VARIABLE
from eplb_opt.errors import EngineRefusal
from eplb_opt.io import VALIDATORS, read_loads, write_plan
from eplb_opt.placement.plan import Plan

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    not os.environ.get(FOLDER_VARIABLE), reason=f"{FOLDER_VARIABLE} names no engines' files"
)

RNG = np.random.default_rng(4)
PLACED = np.stack([RNG.permutation(np.arange(24) % 16) for _ in range(5)])
PLAN = Plan(PLACED, 4, 16)
#: Two dense layers before them.
HIDDEN = np.concatenate([np.tile(np.arange(24) % 16, (2, 1)), PLACED])


def anything(name):
    return MagicMock(name=name)


@pytest.fixture
def sglang_location(engines, monkeypatch):
    """A reader of --init-expert-location, as SGLang starts with it."""
    moe = SimpleNamespace(ep_dispatch_algorithm=None, moe_a2a_backend="none")
    engines(
        "sglang.srt.runtime_context",
        get_device=lambda: SimpleNamespace(device="cpu"),
        get_exec=lambda: SimpleNamespace(moe=moe),
        get_parallel=lambda: SimpleNamespace(nnodes=1),
        get_resources=lambda: None,
    )
    module = importlib.import_module("sglang.srt.eplb.expert_location")
    common = {
        "num_physical_experts": 24,
        "base_num_physical_experts": 24,
        "ep_size": 4,
        "model_config_for_expert_location": SimpleNamespace(num_logical_experts=16, num_layers=7),
    }
    metadata = module.ExpertLocationMetadata
    monkeypatch.setattr(metadata, "_init_common", staticmethod(lambda config: common))

    def start(path):
        moe.init_expert_location = str(path)
        return module.compute_initial_expert_location_metadata(None, 0)

    return start


@pytest.fixture
def sglang_recorder(engines, tmp_path):
    folder = SimpleNamespace(get=lambda: str(tmp_path))
    for name in (
        "einops",
        "tqdm",
        "sglang.srt.model_executor",
        "sglang.srt.model_executor.forward_batch_info",
        "sglang.srt.observability",
        "sglang.srt.observability.metrics_collector",
        "sglang.srt.runtime_context",
        "sglang.srt.utils",
    ):
        engines(name, __getattr__=anything)
    engines("tqdm", tqdm=lambda files: files)
    engines(
        "sglang.srt.environ", envs=SimpleNamespace(SGLANG_EXPERT_DISTRIBUTION_RECORDER_DIR=folder)
    )
    return importlib.import_module("sglang.srt.eplb.expert_distribution")


@pytest.mark.parametrize("extension", [".json", ".pt"])
def test_sglang_starts_from_our_file(sglang_location, tmp_path, extension):
    path = tmp_path / f"plan{extension}"
    write_plan(path, PLAN, engine="sglang", layer_ids=range(2, 7))
    tables = sglang_location(path)
    assert (tables.physical_to_logical_map.numpy() == HIDDEN).all()
    assert (tables.logical_to_all_physical_map_num_valid.numpy()[2:] == PLAN.logical_count).all()


def test_what_sglang_fails_on_is_refused(sglang_location, tmp_path):
    path = tmp_path / "plan.json"
    for document in (
        {"physical_to_logical_map": HIDDEN.tolist(), "num_gpus": 4},
        {"physical_to_logical_map": (HIDDEN + 1).tolist()},
        {"physical_to_logical_maps": HIDDEN.tolist()},
    ):
        path.write_text(json.dumps(document))
        with pytest.raises((TypeError, IndexError, NotImplementedError)):
            sglang_location(path)
        with pytest.raises(ValueError, match=r"plan.json"):
            VALIDATORS["sglang"](path, num_experts=16, num_gpus=4)


def test_an_expert_that_sglang_would_leave_without_a_slot_is_refused(sglang_location, tmp_path):
    path, absent = tmp_path / "plan.json", np.where(HIDDEN == 3, 4, HIDDEN)
    path.write_text(json.dumps({"physical_to_logical_map": absent.tolist()}))
    assert (sglang_location(path).logical_to_all_physical_map_num_valid[:, 3] == 0).all()
    with pytest.raises(EngineRefusal, match="expert 3 is on no GPU"):
        VALIDATORS["sglang"](path, num_experts=16)


def test_sglangs_passes_are_read_as_sglang_reads_them(sglang_recorder, tmp_path):
    metadata = SimpleNamespace(physical_to_logical_map=torch.from_numpy(HIDDEN))
    for rank in range(4):
        recorder = object.__new__(sglang_recorder._DetailAccumulator)
        counts = torch.from_numpy(RNG.integers(0, 99, (6, 7, 24)).astype(np.int32))
        counts[:, :2] = 0
        recorder._records = [
            {
                "forward_pass_id": 50 + i,
                "rank": rank,
                "gatherer_key": "primary",
                "global_physical_count": count.clone(),
            }
            for i, count in enumerate(counts)
        ]
        recorder._rank, recorder._expert_location_metadata = rank, metadata
        recorder.dump("file")
    reader = importlib.import_module("sglang.srt.eplb.eplb_simulator.reader")
    theirs = reader.read_mode_per_pass(tmp_path)
    folded = reader.convert_global_physical_count_to_logical_count(
        theirs["global_physical_count_of_forward_pass"], 7, 16, metadata.physical_to_logical_map
    )
    ours = read_loads(tmp_path)
    assert ours.layer_ids == (2, 3, 4, 5, 6)
    assert (ours.load == folded.numpy()[:, 2:]).all()


def test_sglangs_statistics_are_read(sglang_recorder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *arguments, **options: None)
    counts = torch.from_numpy(RNG.integers(1, 99, (6, 7, 24)).astype(np.int32))
    recorder = object.__new__(sglang_recorder._StatAccumulator)
    recorder._global_physical_count_of_buffered_step = SimpleNamespace(get_all=lambda: counts)
    recorder._expert_location_metadata = SimpleNamespace(
        num_layers=7, num_logical_experts=16, physical_to_logical_map=torch.from_numpy(HIDDEN)
    )
    recorder._rank, recorder._first_dump, recorder._enable = 0, False, False
    recorder.dump("file")
    (path,) = tmp_path.glob("*.pt")
    loads = read_loads(path)
    assert loads.load.sum() == counts.sum()
    expert = int(HIDDEN[3, 0])
    assert loads.load[0, 3, expert] == counts[0, 3][HIDDEN[3] == expert].sum()


@pytest.fixture
def vllm_maps(engines):
    for name in (
        "vllm.config",
        "vllm.config.parallel",
        "vllm.config.utils",
        "vllm.distributed.parallel_state",
        "vllm.distributed.stateless_coordinator",
        "vllm.distributed.utils",
        "vllm.logger",
        "vllm.model_executor",
        "vllm.model_executor.models",
        "vllm.model_executor.models.interfaces",
        "vllm.platforms",
        "vllm.utils",
        "vllm.utils.gpu_sync_debug",
        "vllm.utils.torch_utils",
        "vllm.distributed.eplb.async_worker",
        "vllm.distributed.eplb.eplb_communicator",
        "vllm.distributed.eplb.eplb_utils",
        "vllm.distributed.eplb.policy",
        "vllm.distributed.eplb.rebalance_execute",
    ):
        engines(name, __getattr__=anything)
    return importlib.import_module("vllm.distributed.eplb.eplb_state").compute_logical_maps


def test_vllm_makes_of_our_tensor_the_maps_that_we_write_beside_it(vllm_maps, tmp_path):
    write_plan(tmp_path / "p.pt", PLAN, engine="vllm")
    write_plan(tmp_path / "p.npz", PLAN, engine="vllm")
    placed = torch.load(tmp_path / "p.pt", weights_only=True)
    slots, count = vllm_maps(placed, 16)
    with np.load(tmp_path / "p.npz") as stored:
        assert (stored["logical_to_physical_map"] == slots.numpy()).all()
        assert (stored["logical_replica_count"] == count.numpy()).all()


def test_what_vllm_fails_on_is_refused(vllm_maps):
    beyond = torch.from_numpy(PLACED + 1)
    with pytest.raises((RuntimeError, IndexError)):
        vllm_maps(beyond, 16)
    with pytest.raises(EngineRefusal, match="has none of 16 experts"):
        VALIDATORS["vllm"](beyond, num_experts=16)
