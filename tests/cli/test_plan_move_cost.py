import json

import numpy as np
import pytest

from eplb_opt.cli import main

COST = "expert_bytes=1000000,bandwidth={},step_seconds=0.05,moe_share=0.5,steps_until_next=100"


@pytest.fixture
def call(tmp_path):
    np.savez(tmp_path / "loads.npz", load=np.random.default_rng(0).integers(1, 100, (2, 12)))
    np.save(tmp_path / "current.npy", np.tile(np.arange(16) % 12, (2, 1)))
    loads, current = str(tmp_path / "loads.npz"), str(tmp_path / "current.npy")
    machine = ["--gpus", "4", "--slots", "16", "--effort", "2"]
    return lambda *options: main(["plan", loads, *machine, "--current", current, *options])


def test_the_seconds_are_printed_below_the_table(call, capsys):
    assert call("--move-cost", COST.format(1e9)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("moving takes") and "saves" in last and last.endswith(" s.")
    assert call("--move-cost", COST.format(1.0)) == 0
    assert "no move is worth it" in capsys.readouterr().out


def test_json_holds_the_seconds_of_every_layer(call, capsys):
    assert call("--move-cost", COST.format(1e9), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    worth = answer["move_cost"]
    assert worth["is_worth_it"]
    assert len(worth["busiest"]) == len(worth["before"]) == 2
    assert worth["net_seconds"] == pytest.approx(
        sum(worth["before"]) - sum(worth["after"]) - sum(worth["moving"])
    )
    assert call("--json") == 0
    assert "move_cost" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--move-cost", "fast"], "--move-cost='fast'"),
        (["--move-cost", COST.format(1e9), "--max-moves", "3"], "exclude each other"),
    ],
)
def test_what_cannot_be_understood_exits_with_2(call, capsys, options, words):
    assert call(*options) == 2
    assert words in capsys.readouterr().err
