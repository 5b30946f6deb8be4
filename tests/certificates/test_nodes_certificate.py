"""Certificates of hierarchical layers, put together from those of their sets of groups."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from eplb_opt.bounds import partitions
from eplb_opt.certificates import Certificate, CertificateError, nodes, verify
from eplb_opt.clock import Deadline
from eplb_opt.exact.nodes.group_set import NodesParams
from eplb_opt.exact.nodes.model import NodeDecomposition
from eplb_opt.exact.nodes.proof import nodes_certificate
from eplb_opt.planner.evaluate import verified_bounds
from eplb_opt.problem.problem import Problem
from tests.exact.starts import round_robin
from tests.oracle import optimum

EMPTY = {"mask": [], "kind": [], "entry": []}


def random_layer(seed, slots_per_gpu):
    rng = np.random.default_rng(seed)
    load = rng.integers(0, int(rng.choice([30, 1000])), size=(1, 8)) ** int(rng.integers(1, 4))
    return Problem(load, 4 * slots_per_gpu, 4, num_nodes=2, num_groups=4)


def solved(problem):
    work = NodeDecomposition(problem, round_robin(problem), NodesParams(heavy_regime=0.0), 0)
    return work.run(Fraction(0), Deadline(), 400, with_cpsat=problem.slots_per_gpu < 3)


def changed(certificate, rng):
    """One integer of it another, or one more or less."""
    data = {name: list(entries) for name, entries in certificate.data.items()}
    entries = data[str(rng.choice([name for name in data if data[name]]))]
    at, what = rng.integers(len(entries)), rng.integers(3)
    if what == 0:
        entries[at] += int(rng.integers(-3, 4))
    elif what == 1:
        entries.pop(at)
    else:
        entries.insert(at, int(rng.integers(-2, 9)))
    return data


@pytest.mark.parametrize("slots_per_gpu", [2, 3])
def test_tiny_layers_are_proven_and_nothing_above_their_optimum(slots_per_gpu):
    rng, kinds, num_found = np.random.default_rng(1), set(), 0
    for seed in range(80):
        problem = random_layer(seed, slots_per_gpu)
        answer = solved(problem)
        best = optimum(problem)[0]
        certificate = answer.certificate
        if certificate is None:
            continue
        num_found += 1
        assert verify(problem, certificate) == certificate.bound <= answer.lower_bound <= best
        kinds |= {list(nodes.SCHEMA)[kind] for kind in certificate.data["kind"]}
        for _ in range(5):
            lie = Certificate("nodes", best + Fraction(1, 999), changed(certificate, rng))
            with pytest.raises(CertificateError):
                verify(problem, lie)
    assert num_found > 20
    wanted = {2: {"config_lp", "enumeration"}, 3: {"config_lp", "config_lp_tree"}}
    assert kinds >= wanted[slots_per_gpu]


def test_what_was_saved_and_read_again_holds_and_gives_the_layer_its_bound():
    problem = next(p for p in (random_layer(s, 2) for s in range(80)) if solved(p).certificate)
    certificate = solved(problem).certificate
    again = Certificate.from_json(certificate.to_json())
    bound = verified_bounds(problem, [again])[0]
    assert bound.source == "nodes"
    assert certificate.bound <= bound.value <= optimum(problem)[0]


def test_means_and_water_levels_need_no_proof():
    problem = random_layer(3, 3)
    known = partitions.set_bounds(problem)
    least = max(known[mask] for mask in partitions.least_partition(problem, known))
    assert verify(problem, Certificate("nodes", least, EMPTY)) == least
    with pytest.raises(CertificateError, match="shared out"):
        verify(problem, Certificate("nodes", least + Fraction(1, 1000), EMPTY))
    assert nodes_certificate(problem, known, {}) is None


def test_a_proof_of_another_set_is_refused():
    found = 0
    for seed in range(80):
        problem = random_layer(seed, 2)
        certificate = solved(problem).certificate
        if certificate is None:
            continue
        masks = certificate.data["mask"]
        for other in (0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100):
            moved = certificate.data | {"mask": [other, *masks[1:]]}
            try:
                proven = verify(problem, Certificate("nodes", certificate.bound, moved))
            except CertificateError:
                found += 1
            else:
                assert proven <= optimum(problem)[0]
    assert found > 10


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "and no more"),
        (EMPTY | {"entry": 3}, "and no more"),
        (EMPTY | {"mask": [3]}, "a kind for each"),
        (EMPTY | {"mask": [3], "kind": [9]}, "below 4"),
        (EMPTY | {"mask": [3], "kind": [-1]}, "below 4"),
        (EMPTY | {"mask": [1], "kind": [0]}, "no set of 2"),
        (EMPTY | {"mask": [2**40 + 1], "kind": [0]}, "no set of 2"),
        (EMPTY | {"mask": [-3], "kind": [0]}, "no set of 2"),
        (EMPTY | {"mask": [3], "kind": [0]}, "too few"),
        (EMPTY | {"mask": [3], "kind": [0], "entry": [1, 0, 0]}, "denominator"),
        (EMPTY | {"mask": [3], "kind": [0], "entry": [1, 1, -5, 2]}, "too few"),
        (EMPTY | {"mask": [3], "kind": [0], "entry": [1, 1, 10**100]}, "too few"),
        (EMPTY | {"mask": [3], "kind": [3], "entry": [1, 1, 7]}, "after its last"),
        (EMPTY | {"mask": [12], "kind": [0], "entry": [10**15, 1, 2, 5, 5]}, "4 values"),
    ],
)
def test_false_certificates_are_rejected(data, reason):
    problem = random_layer(0, 3)
    with pytest.raises(CertificateError, match=reason):
        verify(problem, Certificate("nodes", optimum(problem)[0] + 1, data))


def test_flat_problems_and_too_many_partitions_are_refused(monkeypatch):
    with pytest.raises(CertificateError, match="with nodes"):
        verify(Problem([[3, 2, 1]], 6, 3), Certificate("nodes", Fraction(1), EMPTY))
    monkeypatch.setattr(nodes, "MAX_STEPS", 0)
    with pytest.raises(CertificateError, match="too many partitions"):
        verify(random_layer(0, 3), Certificate("nodes", Fraction(1), EMPTY))
