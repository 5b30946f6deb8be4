"""Our drop-ins inside the engines' released files, where EPLB_OPT_ENGINE_FILES names them.

The folder holds what `unzip` makes of the wheels: `vllm/distributed/eplb`, `vllm/plugins`,
`sglang/srt/eplb` and `sglang/srt/plugins` are enough. What those import from the rest of their
packages is stood in for here.
"""

import importlib
import os
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

from eplb_opt import Plan, Problem, evaluate
from eplb_opt.bench.rivals import FOLDER_VARIABLE, compare, rival_programs
from eplb_opt.engines import sglang, vllm
from eplb_opt.engines.survivors import keep_slots

torch = pytest.importorskip("torch")
FILES = Path(os.environ.get(FOLDER_VARIABLE, ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get(FOLDER_VARIABLE), reason=f"{FOLDER_VARIABLE} names no engines' files"
)

LOAD = np.random.default_rng(11).zipf(1.5, (6, 64)).clip(max=10**5) * 100 + 7
FLAT, NODES = Problem(LOAD, 80, 16), Problem(LOAD, 80, 16, 2, 8)


@pytest.fixture
def vllm_policies(engines):
    engines("vllm.config")
    engines("vllm.config.parallel", EPLBPolicyOption=Literal["default"])
    return importlib.import_module(vllm.MODULE)


@pytest.fixture
def sglang_algorithms(engines):
    yield importlib.import_module(sglang.MODULE)
    sglang.uninstall()


def named_entry_points(monkeypatch, module):
    """The installed packages' entry points, as if only ours was there."""
    ours = EntryPoint("eplb_opt", f"eplb_opt.engines.{module}:register", "any")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: (ours,))


def test_vllms_plugin_loader_puts_our_policy_into_its_registry(engines, vllm_policies, monkeypatch):
    own = vllm_policies.EPLB_POLICIES["default"]
    named_entry_points(monkeypatch, "vllm")
    engines("vllm.envs", VLLM_PLUGINS=None)
    for switch, policy in (("0", own), ("1", vllm.EplbOptPolicy)):
        monkeypatch.setenv(vllm.SWITCH_VARIABLE, switch)
        sys.modules.pop("vllm.plugins", None)
        importlib.import_module("vllm.plugins").load_general_plugins()
        assert vllm_policies.EPLB_POLICIES["default"] is policy


def test_vllms_migrations_can_be_planned_from_our_map(vllm_policies, monkeypatch):
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "1")
    vllm.register()
    policy = vllm_policies.EPLB_POLICIES["default"]
    old = torch.arange(80).repeat(6, 1) % 64
    new = policy.rebalance_experts(torch.from_numpy(LOAD).float(), 80, 8, 2, 16, old)
    assert new.device == torch.device("cpu")
    assert new.dtype == torch.int64
    scheduler = importlib.import_module("vllm.distributed.eplb.migration_scheduler")
    batches = scheduler.schedule_migration_batches_for_layers(5, old.numpy(), new.numpy())
    assert len(batches) == 6


def test_vllm_keeps_the_same_slots(vllm_policies):
    own = vllm_policies.DefaultEplbPolicy.preserve_intragpu_slots
    rng = np.random.default_rng(2)
    for _ in range(50):
        gpus, room, experts = rng.integers(1, 6, 3)
        new = rng.integers(0, experts, (3, gpus * room))
        old = rng.integers(-1, experts, (3, gpus * room))
        assert (keep_slots(new, old, int(gpus)) == own(new, int(gpus), old)).all()


def test_sglangs_plugin_loader_installs_ours(engines, sglang_algorithms, monkeypatch):
    own = sglang_algorithms.rebalance_experts
    unset = SimpleNamespace(get=lambda: None)
    engines("sglang.srt.environ", envs=SimpleNamespace(SGLANG_PLUGINS=unset, SGLANG_PLATFORM=unset))
    named_entry_points(monkeypatch, "sglang")
    monkeypatch.setenv(sglang.SWITCH_VARIABLE, "1")
    importlib.import_module("sglang.srt.plugins").load_plugins()
    assert sglang_algorithms.rebalance_experts is not own
    sglang.uninstall()
    assert sglang_algorithms.rebalance_experts is own


def test_every_algorithm_of_sglang_is_ours(sglang_algorithms):
    assert set(sglang_algorithms.EplbAlgorithm.__members__) == set(sglang.HIERARCHICAL)


@pytest.fixture
def sglang_location(engines, sglang_algorithms, monkeypatch):
    """SGLang's tables, and where it keeps those in force: 80 slots, 16 ranks, 2 nodes."""
    resources = SimpleNamespace(expert_location_metadata=None)
    moe = SimpleNamespace(
        eplb_algorithm="auto",
        ep_dispatch_algorithm=None,
        ep_join_mode=None,
        moe_a2a_backend="none",
    )
    engines(
        "sglang.srt.runtime_context",
        get_device=lambda: SimpleNamespace(device="cpu"),
        get_exec=lambda: SimpleNamespace(moe=moe),
        get_parallel=lambda: SimpleNamespace(nnodes=2, ep_size=16),
        get_resources=lambda: resources,
    )
    location = importlib.import_module("sglang.srt.eplb.expert_location")
    common = {
        "num_physical_experts": 80,
        "base_num_physical_experts": 80,
        "ep_size": 16,
        "model_config_for_expert_location": SimpleNamespace(num_groups=8, num_logical_experts=64),
    }
    metadata = location.ExpertLocationMetadata
    monkeypatch.setattr(metadata, "_init_common", staticmethod(lambda config: common))
    return SimpleNamespace(tables=metadata, module=location, resources=resources, moe=moe)


def test_sglang_builds_its_tables_from_our_maps(sglang_location):
    sglang.install()
    tables = sglang_location.tables.init_by_eplb(None, torch.from_numpy(LOAD))
    ours = sglang.rebalance_experts(
        torch.from_numpy(LOAD)[None], 80, 5, 8, 2, "deepseek_hierarchical"
    )
    assert torch.equal(tables.physical_to_logical_map, ours[0])
    assert torch.equal(tables.logical_to_all_physical_map_num_valid, ours[2])
    Plan(tables.physical_to_logical_map, 16).check(NODES)


@pytest.fixture
def ranks(engines):
    """Which of 16 ranks are there, in SGLang's own flags, with room for 4 that never joined."""
    active = torch.tensor([1] * 16 + [0] * 4, dtype=torch.int32)
    manager = SimpleNamespace(instance=lambda: SimpleNamespace(active_ranks=active))
    engines("sglang.srt.elastic_ep")
    engines(
        "sglang.srt.elastic_ep.elastic_ep",
        ElasticEPStateManager=manager,
        elastic_expanded_world_enabled=lambda: False,
    )
    return active


@pytest.mark.parametrize("name", ["elasticity_aware", "elasticity_aware_hierarchical"])
@pytest.mark.parametrize("dead", [(15,), (0,), (3, 9)], ids=str)
def test_maps_for_lost_ranks_are_formed_as_sglangs_own(sglang_algorithms, ranks, name, dead):
    ranks.resize_(16)  # SGLang's own function adds slots for ranks that never joined
    ranks[list(dead)] = 0
    algorithm = sglang_algorithms.EplbAlgorithm[name]
    arguments = (torch.from_numpy(LOAD)[None], 80, 5, 8, 2, algorithm)
    own = sglang_algorithms.rebalance_experts(*arguments)
    sglang.install()
    ours = sglang_algorithms.rebalance_experts(*arguments)
    is_dead = np.isin(np.arange(80) // 5, dead)
    problem = Problem(LOAD, int((~is_dead).sum()), 16 - len(dead))
    for placed, logical, count in (own, ours):
        assert (placed[:, is_dead] == 0).all()
        assert not np.isin(logical[logical >= 0] // 5, dead).any()
        assert (count.sum(1) == problem.num_slots).all()
        assert (count >= 1).all()
        assert torch.equal((logical >= 0).sum(2), count)
        for expert in range(64):
            slots = logical[2, expert]
            assert (placed[2, slots[slots >= 0]] == expert).all()
    assert [m.dtype for m in ours] == [m.dtype for m in own]
    left = [evaluate(problem, np.asarray(m[0])[:, ~is_dead]) for m in (ours, own)]
    assert left[0].objective.sum() <= left[1].objective.sum()


@pytest.mark.parametrize("name", ["elasticity_aware", "elasticity_aware_hierarchical"])
def test_a_rank_is_lost_and_returns_through_sglangs_tables(
    sglang_location, ranks, monkeypatch, name
):
    sglang_location.moe.eplb_algorithm = name
    sglang_location.moe.ep_dispatch_algorithm = "static"

    def rebalance():
        tables = sglang_location.tables.init_by_eplb(None, torch.from_numpy(LOAD))
        sglang_location.resources.expert_location_metadata = tables
        return tables

    def dispatched(tables, rank):
        return sglang_location.module.compute_logical_to_rank_dispatch_physical_map(
            tables.logical_to_all_physical_map, 16, 80, rank
        )

    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    sglang.install()
    first = rebalance()
    ranks[5] = 0
    lost = rebalance()
    for rank in (0, 7, 15):
        assert not (dispatched(lost, rank) // 5 == 5).any()
    # SGLang's recovery makes all tables from the slots' experts anew, then EPLB has its turn.
    sglang_location.resources.expert_location_metadata = sglang_location.tables.init_by_mapping(
        None, lost.physical_to_logical_map, 0
    )
    ranks[5] = 1
    back = rebalance()
    survivors = torch.arange(80) // 5 != 5
    kept = (lost.physical_to_logical_map == first.physical_to_logical_map)[:, survivors]
    assert kept.float().mean() > 0.3
    Plan(back.physical_to_logical_map, 16).check(NODES if "hierarchical" in name else FLAT)
    kept = (back.physical_to_logical_map == lost.physical_to_logical_map)[:, survivors]
    assert kept.float().mean() > 0.3


@pytest.mark.parametrize(("before", "after"), [(16, 14), (14, 16)], ids=["down", "up"])
def test_vllm_schedules_what_changes_where_ranks_leave_or_join(
    vllm_policies, monkeypatch, before, after
):
    """Its scheduler takes maps of the larger number of ranks, with -1 where one holds nothing."""
    monkeypatch.setenv(vllm.SWITCH_VARIABLE, "1")
    vllm.register()
    policy = vllm_policies.EPLB_POLICIES["default"]
    load = torch.from_numpy(LOAD).float()
    first = policy.rebalance_experts(load, 5 * before, 8, 1, before)
    old = np.full((6, 80), -1)
    old[:, : 5 * before] = first
    seen = torch.from_numpy(old[:, : max(5 * before, 5 * after)])
    answer = policy.rebalance_experts(load, 5 * after, 8, 1, after, seen)
    new = np.full((6, 80), -1)
    new[:, : 5 * after] = answer
    scheduler = importlib.import_module("vllm.distributed.eplb.migration_scheduler")
    batches = scheduler.schedule_migration_batches_for_layers(5, old, new)
    flows = [sum(len(batch) for batch in layer) for layer in batches]
    assert all(flow <= ((new != old) & (new >= 0)).sum(1)[i] for i, flow in enumerate(flows))


@pytest.mark.parametrize("problem", [FLAT, NODES], ids=["flat", "nodes"])
def test_no_engine_beats_our_bound_and_none_our_work(problem):
    weight = torch.from_numpy(LOAD)
    current = torch.arange(80).repeat(6, 1) % 64
    rows = {row.name: row for row in compare(problem, folder=FILES, rounds=1, effort=2)}
    for name, program in rival_programs(FILES).items():
        theirs = evaluate(problem, np.asarray(program(weight, current, problem)))
        assert (theirs.objective >= theirs.lower_bound).all()
        assert rows[rows[name].beside].gap <= rows[name].gap + 1e-9


@pytest.mark.parametrize("problem", [FLAT, NODES], ids=["flat", "nodes"])
def test_our_deepseek_stands_in_for_what_the_engines_ship(problem):
    from heuristics import HEURISTICS

    sizes = problem.num_slots, problem.num_groups, problem.num_nodes, problem.num_gpus
    ours = evaluate(problem, HEURISTICS["deepseek"](LOAD, *sizes)[0]).objective
    current = torch.arange(80).repeat(6, 1) % 64
    programs = rival_programs(FILES)
    for name in {"vllm", "sglang"} & set(programs):
        theirs = np.asarray(programs[name](torch.from_numpy(LOAD), current, problem))
        assert evaluate(problem, theirs).objective.tolist() == ours.tolist()
