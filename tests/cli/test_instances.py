"""`eplb-opt instances`."""

import json
import shutil

import numpy as np
import pytest

from eplb_opt.bench import best_known, library
from eplb_opt.cli import main

STORED = library.find_folder()


@pytest.fixture
def folder(tmp_path):
    """The worked examples, of which nothing is known."""
    place = tmp_path / "instances"
    place.mkdir()
    for name in (library.TABLE, "readme.npz", "hot-pair.npz"):
        shutil.copy(STORED / name, place / name)
    return place


def run(capsys, *arguments):
    code = main(list(map(str, arguments)))
    out, err = capsys.readouterr()
    return code, out, err


def test_what_is_generated_is_verified_though_nothing_is_known(capsys, tmp_path):
    folder = tmp_path / "new"
    code, out, _ = run(capsys, "instances", "generate", folder)
    assert code == 0
    assert len(out.splitlines()) > 30
    code, out, _ = run(capsys, "instances", "verify", folder)
    assert code == 0
    assert out.startswith("0 instances")
    assert "nothing is known of" in out
    (folder / "readme.npz").write_bytes(b"PK")
    code, _, err = run(capsys, "instances", "verify", folder)
    assert code == 2
    assert "things are wrong" in err


def test_an_instance_is_improved_and_shown(capsys, folder):
    pytest.importorskip("ortools")
    code, out, _ = run(capsys, "instances", "show", "hot-pair", "--folder", folder)
    assert code == 0
    assert "instances improve hot-pair" in out
    improve = ["instances", "improve", "hot-pair", "--folder", folder, "--time-limit", 20]
    code, out, _ = run(capsys, *improve)
    assert code == 0
    assert "hot-pair, 1 layers: 1 plans and 1 bounds are better, 1 optima are known" in out
    code, out, _ = run(capsys, *improve, "--json")
    assert json.loads(out)[0]["better_plans"] == 0
    code, out, _ = run(capsys, "instances", "show", "hot-pair", "--folder", folder)
    assert "196.667" in out
    assert "run 1: eplb-opt " in out
    code, out, _ = run(capsys, "instances", "show", "hot-pair", "--folder", folder, "--json")
    shown = json.loads(out)
    assert shown["num_slots"] == 16
    assert shown["known"][0]["objective"]["value"] == "590/3"


def test_the_list_has_every_instance(capsys):
    code, out, _ = run(capsys, "instances", "list", "--json")
    assert code == 0
    rows = json.loads(out)
    assert [row["name"] for row in rows] == library.names()
    by_name = {row["name"]: row for row in rows}
    assert by_name["hot-pair"]["gap"] == 0
    assert by_name["mixtral-8x7b-16-8-move-2"]["terms"] == "at most 2 moves a layer"
    assert by_name["deepseek-v3-288-32-price"]["terms"] == "topology: price 0.3"
    code, out, _ = run(capsys, "instances", "list")
    assert "deepseek-v3-day-288-32-max" in out


def test_loads_from_elsewhere_are_taken_in(capsys, folder, tmp_path):
    np.save(tmp_path / "day.npy", np.arange(1, 25).reshape(2, 12))
    told = ["--model", "M", "--source", "drawn here", "--licence", "CC0-1.0"]
    call = ["instances", "import", tmp_path / "day.npy", "--folder", folder, *told]
    code, out, _ = run(capsys, *call, "--name", "day", "--machine", "16x8", "--json")
    assert (code, json.loads(out)) == (0, ["day-16-8"])
    terms = ["--terms", '{"dispatch": "optimal"}']
    code, out, _ = run(capsys, *call, "--name", "night", "--machine", "16x4", *terms)
    assert code == 0
    assert library.get("night-16-4", folder).problem().is_split_freely
    assert best_known.load_best_known(folder)["day-16-8"] == ()
    for wrong in ("[]", '{"gravity": 1}', "{"):
        code, _, err = run(capsys, *call, "--name", "dusk", "--machine", "16x4", "--terms", wrong)
        assert code == 2, err
    assert not (folder / "dusk.npz").exists()
