"""Every stored value is proven again from plans and certificates alone."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from eplb_opt.bench import best_known, library, proofs
from eplb_opt.bench.instance_rows import KINDS, ROWS
from eplb_opt.bench.verify import verify, wrong_values
from eplb_opt.io.containers.npz import npz_bytes

STORED = library.find_folder()


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(STORED, tmp_path / "instances")


def test_the_stored_files_and_every_stored_value_are_proven_again():
    found = verify()
    assert found.offences == ()
    assert found.instances == len(ROWS)
    assert found.objectives == found.bounds > 1000


def test_no_planner_and_no_solver_is_called():
    names = [row.name for row in (*KINDS["worked"], *KINDS["priced"][-2:])]
    code = (
        "import sys\n"
        "from eplb_opt.bench.verify import verify\n"
        f"found = verify(names={names!r})\n"
        "print(found.offences, [m for m in sys.modules if m.startswith('eplb_opt.exact')"
        " or m in ('eplb_opt.planner.planner', 'eplb_opt.planner.portfolio', 'ortools')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "() []"


def changed(folder, name, change):
    """Change what is written of an instance."""
    path = folder / best_known.FILE_NAME
    document = json.loads(path.read_text())
    change(document[name]["layers"])
    path.write_text(json.dumps(document))
    return list(wrong_values(folder, name, best_known.load_best_known(folder)[name]))


def test_values_that_the_proofs_do_not_prove_are_found(folder):
    def claim(layers):
        layers[0]["objective"][0] = "137"
        layers[1]["lower_bound"][0:2] = ["171", "recomputed mean"]

    found = changed(folder, "readme", claim)
    assert found == ["readme, layer 0: the stored plan has the objective 136, not 137."]

    def raised(layers):
        layers[0]["objective"][0], layers[0]["lower_bound"][0] = "300", "290"

    found = changed(folder, "hot-pair", raised)
    assert "hot-pair, layer 0: 290 is not proven" in found[1]


def test_a_wrong_word_on_the_proof_is_found(folder):
    def mend(layers):
        layers[0]["lower_bound"][1] = "recomputed mean"

    found = changed(folder, "readme", mend)
    assert len(found) == 1
    assert "is said to be by recomputed mean; it is by certificate" in found[0]


def test_a_missing_layer_is_found(folder):
    assert "values of 1 layers; the instance has 2" in changed(folder, "readme", list.pop)[0]


def test_a_changed_plan_and_changed_certificates_are_found(folder):
    instance = library.get("readme", folder)
    known = best_known.load_best_known(folder)["readme"]
    path = proofs.proofs_path(instance)
    with np.load(path) as stored:
        arrays = dict(stored)
    broken = {**arrays, "physical_to_logical": np.zeros((2, 16), dtype=np.int16)}
    path.write_bytes(npz_bytes(broken))
    assert "layer 0: expert 1 is on no GPU" in next(wrong_values(folder, "readme", known))
    text = arrays["certificates"].tobytes().replace(b'"bound":"136"', b'"bound":"139"')
    path.write_bytes(npz_bytes({**arrays, "certificates": np.frombuffer(text, dtype=np.uint8)}))
    assert "readme: layer 0" in next(wrong_values(folder, "readme", known))
    path.unlink()
    assert "there is no such file" in next(wrong_values(folder, "readme", known))


def test_changed_files_are_found(folder):
    (folder / "kimi-k2.npz").unlink()
    (folder / "mixtral-8x7b.npz").write_bytes((folder / "phi-3.5-moe.npz").read_bytes())
    damaged = bytearray((folder / "in_force" / "mixtral-8x7b-16-8.npz").read_bytes())
    damaged[10] ^= 1  # the date of a member: the plan stays
    (folder / "in_force" / "mixtral-8x7b-16-8.npz").write_bytes(damaged)
    (folder / proofs.FOLDER / "nobody.npz").write_bytes(b"")
    table = (folder / library.TABLE).read_text()
    (folder / library.TABLE).write_text(
        table.replace('"readme", "num_slots": 16', '"readme", "num_slots": 24', 1)
    )
    found = "\n".join(verify(folder, names=["hot-pair"]).offences)
    for part in (
        "kimi-k2.npz: there is no such file",
        "mixtral-8x7b.npz: its SHA-256",
        "in_force/mixtral-8x7b-16-8.npz: made anew it has other bytes",
        "instances.json: made anew",
        "nobody.npz: there is no such instance",
    ):
        assert part in found


def test_what_nobody_knows_is_said(folder):
    path = folder / best_known.FILE_NAME
    document = json.loads(path.read_text())
    del document["readme"]
    path.write_text(json.dumps(document))
    found = verify(folder, names=["readme", "hot-pair"])
    assert found.unknown == ("readme",)
    assert (found.instances, found.objectives) == (1, 1)


def test_a_damaged_table_of_values_is_reported(folder):
    (folder / best_known.FILE_NAME).write_text("{")
    (offence,) = verify(folder, names=[]).offences
    assert best_known.FILE_NAME in offence
