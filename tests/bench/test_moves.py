"""What re-planning costs and brings, as a table."""

import json

import numpy as np
import pytest

from eplb_opt.bench import moves
from eplb_opt.bench.families import family_loads
from eplb_opt.bench.moves_table import moves_table
from eplb_opt.bench.plans import Machine
from eplb_opt.cli import main

LOAD = family_loads("lognormal-0.5", 2, 32, 0)
MACHINE = Machine.parse("40x8")


@pytest.fixture(scope="module")
def rows():
    changes = moves.drifts("steady", LOAD, (0.1,))
    return list(moves.moves_rows(changes, MACHINE, (0.02, 0.1), rounds=1, offline=0.3))


def test_every_policy_is_measured_after_the_same_change(rows):
    names = [row.policy for row in rows]
    assert names == [
        "deepseek",
        "ours, anew",
        "near, 2.0%",
        "near, 10.0%",
        "planner 0.3 s, 2.0%",
        "planner 0.3 s, 10.0%",
    ]
    assert {(row.change, row.machine) for row in rows} == {("steady, drift 10%", "40x8")}
    assert len({row.stay for row in rows}) == 1
    assert all(row.seconds > 0 for row in rows)


def test_near_plans_reach_their_tolerance_for_fewer_moves_than_new_ones(rows):
    by_name = {row.policy: row for row in rows}
    for tolerance in (0.02, 0.1):
        near = by_name[f"near, {tolerance:.1%}"]
        assert near.missed == 0
        assert near.reached <= near.worst <= 1 + tolerance + 1e-6
        assert near.moves < by_name["deepseek"].moves
    assert by_name["near, 10.0%"].moves <= by_name["near, 2.0%"].moves


def test_recorded_loads_change_from_the_first_to_each_that_has_the_same_layers():
    loads = {"a": LOAD, "b": LOAD[:, ::-1], "other": LOAD[:1]}
    changes = moves.recorded(loads)
    assert [c.name for c in changes] == ["a -> b"]
    assert (changes[0].later == LOAD[:, ::-1]).all()


def test_drifts_are_the_same_in_every_run():
    first, again = (moves.drifts("x", LOAD, (0.2,))[0].later for _ in range(2))
    assert (first == again).all()
    assert not np.array_equal(first, LOAD)


def test_the_table_has_a_row_a_policy(rows):
    assert moves_table(rows).row_count == len(rows)


def test_the_command_prints_rows(capsys, tmp_path):
    np.savez(tmp_path / "early.npz", load=LOAD[None])
    arguments = ["bench", "moves", str(tmp_path / "early.npz"), "--machine", "40x8"]
    options = ["--drift", "0.1", "--tolerance", "0.05", "--rounds", "1", "--offline", "0", "--json"]
    assert main([*arguments, *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in printed] == ["deepseek", "ours, anew", "near, 5.0%"]
    assert printed[0]["change"] == "early, drift 10%"
