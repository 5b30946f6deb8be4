"""The comparison with engines' heuristics, on two small engines written here."""

import sys

import numpy as np
import pytest

from eplb_opt import FormatError, Problem, ProblemError
from eplb_opt.bench import rivals

torch = pytest.importorskip("torch")

VLLM = """
import torch
from .abstract import Abstract

class DefaultEplbPolicy(Abstract):
    @classmethod
    def rebalance_experts(cls, weight, num_replicas, num_groups, num_nodes, num_ranks, old):
        assert old.shape == (weight.shape[0], num_replicas)
        slots, experts = num_replicas // num_nodes, weight.shape[1] // num_nodes
        slot = torch.arange(num_replicas)
        return (slot // slots * experts + slot % slots % experts).repeat(len(weight), 1)
"""
SGLANG = """
import torch

def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, enable_hierarchical):
    assert weight.ndim == 2
    placed = torch.arange(num_replicas).flip(0).repeat(len(weight), 1) % weight.shape[1]
    return placed, None, None
"""


@pytest.fixture
def folder(tmp_path):
    """vLLM's files only; its package's __init__ must never be run."""
    policy = tmp_path / rivals.VLLM_POLICY
    policy.mkdir(parents=True)
    (policy / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    (policy / "abstract.py").write_text("class Abstract: pass")
    (policy / "default.py").write_text(VLLM)
    return tmp_path


def add_sglang(folder):
    algorithms = folder / rivals.SGLANG_ALGORITHMS
    algorithms.mkdir(parents=True)
    (algorithms / "deepseek.py").write_text(SGLANG)


def test_programs_are_found_without_importing_their_package(folder):
    assert list(rivals.rival_programs(folder)) == ["vllm"]
    assert "vllm" not in sys.modules
    add_sglang(folder)
    assert list(rivals.rival_programs(folder)) == ["vllm", "sglang"]


def test_a_program_is_compared_with_our_drop_in_for_its_engine(folder):
    add_sglang(folder)
    load = np.array([[50, 1, 1, 1, 1, 1, 1, 1]])
    rows = {row.name: row for row in rivals.compare(Problem(load, 12, 4), folder=folder, rounds=2)}
    assert list(rows) == ["eplb-opt for vllm", "eplb-opt for sglang", "vllm", "sglang"]
    assert rows["vllm"].beside == "eplb-opt for vllm"
    assert rows["sglang"].beside == "eplb-opt for sglang"
    assert rows["eplb-opt for vllm"].ratio == rows["eplb-opt for sglang"].ratio == 1
    assert rows["vllm"].gap == pytest.approx((25 + 1 + 1) / (57 / 4) - 1)
    assert 0 <= rows["eplb-opt for vllm"].gap < rows["vllm"].gap
    assert all(row.seconds > 0 and row.ratio > 0 for row in rows.values())


def test_hierarchical_problems_and_effort_are_passed_on(folder):
    load = np.random.default_rng(0).integers(1, 100, (2, 16))
    problem = Problem(load, 24, 8, 2, 4)  # the engine's own answer would break it, were it flat
    assert len(rivals.compare(problem, folder=folder, rounds=1)) == 3
    with pytest.raises(ProblemError, match="effort=-1"):
        rivals.compare(problem, folder=folder, rounds=1, effort=-1)


def test_given_bounds_are_what_gaps_are_measured_against(folder):
    load = np.array([[4, 4, 4, 4]])
    rows = rivals.compare(Problem(load, 4, 2), folder=folder, rounds=1, bound=np.array([4.0]))
    assert [row.gap for row in rows] == [1.0] * 3


def test_the_folder_comes_from_the_variable_where_none_is_given(folder, monkeypatch):
    monkeypatch.setenv(rivals.FOLDER_VARIABLE, str(folder))
    assert rivals.find_engine_files() == folder
    monkeypatch.delenv(rivals.FOLDER_VARIABLE)
    with pytest.raises(ProblemError, match="EPLB_OPT_ENGINE_FILES"):
        rivals.find_engine_files()


def test_a_folder_without_engines_is_refused(tmp_path):
    with pytest.raises(FormatError, match="neither vLLM's nor SGLang's"):
        rivals.rival_programs(tmp_path)
