"""From a planned bound to a saved certificate and back; false ones are refused."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import eplb_opt
from eplb_opt import FormatError, Problem, ProblemError
from eplb_opt.certificates import CertificateError
from eplb_opt.cli import main
from eplb_opt.io import read_certificates, write_certificates, write_plan
from eplb_opt.planner.evaluate import verified_bounds

LOAD = np.random.default_rng(7).lognormal(8, 1.2, (3, 64)).astype(np.int64)
PAIRS = Problem(LOAD, 96, 48)


@pytest.fixture(scope="module")
def planned():
    result = eplb_opt.plan(PAIRS, time_limit=60)
    assert result.status == ["optimal"] * 3
    assert any(result.certificates)
    return result


def test_saved_certificates_prove_the_bounds_again(planned, tmp_path):
    path = tmp_path / "proof.json"
    write_certificates(path, planned.certificates)
    bounds = verified_bounds(PAIRS, read_certificates(path))
    for bound, pair, certificate in zip(bounds, planned.bounds, planned.certificates, strict=True):
        assert bound.value <= pair.objective
        if certificate is not None:
            assert bound.value >= certificate.bound


def test_check_verifies_certificates_and_refuses_false_ones(planned, tmp_path, capsys):
    loads, plan, proof = tmp_path / "loads.npy", tmp_path / "plan.npz", tmp_path / "proof.json"
    np.save(loads, LOAD)
    write_plan(plan, planned.plan)
    write_certificates(proof, planned.certificates)
    command = ["check", str(plan), str(loads), "--gpus", "48", "--slots", "96", "--json"]
    assert main([*command, "--certificate", str(proof)]) == 0
    with_proof = json.loads(capsys.readouterr().out)
    assert main(command) == 0
    without = json.loads(capsys.readouterr().out)
    assert sum(with_proof["lower_bound"]) > sum(without["lower_bound"])
    claimed = [
        one and replace(one, bound=one.bound + Fraction(1, 10)) for one in planned.certificates
    ]
    write_certificates(proof, claimed)
    assert main([*command, "--certificate", str(proof)]) == 3
    assert "layer" in capsys.readouterr().err


def test_a_certificate_of_other_loads_is_refused(planned):
    lighter = Problem(LOAD // 2, 96, 48)
    with pytest.raises(CertificateError, match="layer"):
        verified_bounds(lighter, planned.certificates)


def test_every_layer_needs_an_entry(planned):
    with pytest.raises(ProblemError, match="2 certificates"):
        verified_bounds(PAIRS, planned.certificates[:2])


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"eplb_opt_certificates": 3}',
        '{"eplb_opt_certificates": [{"kind": "pairs"}]}',
        '{"eplb_opt_certificates": [{"kind": "pairs", "bound": "1/0", "data": {}}]}',
        '{"eplb_opt_certificates": [[]]',
        "[" * 100_000,
    ],
)
def test_damaged_certificate_files_are_refused(tmp_path, text):
    path = tmp_path / "proof.json"
    path.write_text(text)
    with pytest.raises(FormatError, match="proof"):
        read_certificates(path)


def test_the_bound_of_a_certificate_keeps_the_source_that_a_result_names(planned):
    sources = {
        bound.source
        for bound, certificate in zip(
            verified_bounds(PAIRS, planned.certificates), planned.certificates, strict=True
        )
        if certificate is not None and certificate.kind == "pairs"
    }
    assert sources <= {"k2", *planned.bound_source}
    assert "pairs" not in sources
