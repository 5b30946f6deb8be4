"""`check` against the rules of a topology, and the line by which `plan` has its proofs checked."""

import json
import shlex

import numpy as np
import pytest

from eplb_opt import Plan, Problem, Topology, plan
from eplb_opt.cli import main
from eplb_opt.io import read_loads, write_plan

SHAPE = ["--gpus", "4", "--slots", "16", "--nodes", "2", "--groups", "4"]
LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [50, 9] * 6]
PRICED = ["--topology-price", "0.3"]
MARK = "anew by: "


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loads.json").write_text(json.dumps(LOADS))
    np.savez(tmp_path / "homes.npz", homes=np.tile(np.arange(12) % 2, (2, 1)))
    np.save(tmp_path / "sources.npy", np.random.default_rng(0).integers(1, 9, (2, 2, 12)))
    (tmp_path / "costs.json").write_text(json.dumps([[0.1, 1], [1, 0.1]]))
    return tmp_path


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def written(problem_terms, path="p.npz"):
    """A plan for other terms, in a file."""
    loads = read_loads("loads.json").load[0]
    found = plan(Problem(loads, 16, 4, 2, 4, **problem_terms), effort=3)
    write_plan(path, found.plan, engine="npz")
    return found


RULES = {
    "price": [],
    "rules": ["--anchored", "--max-off-home", "0.6"],
    "homes": ["--homes", "homes.npz"],
    "links": ["--rank-costs", "costs.json", "--sources", "sources.npy"],
    "nearest": ["--dispatch", "nearest", "--max-off-home", "0.7"],
}


@pytest.mark.parametrize("case", RULES)
def test_check_says_what_plan_says_by_the_line_that_plan_prints(folder, capsys, case):
    files = ["--output", "p.npz", "--certificate", "c.json"]
    command = ["plan", "loads.json", *SHAPE, *PRICED, *RULES[case], *files, "--effort", "3"]
    code, out, err = run(capsys, *command, "--json")
    assert code == 0, err
    made = json.loads(out)
    (line,) = [each.partition(MARK)[2] for each in err.splitlines() if MARK in each]
    program, *arguments = shlex.split(line)
    code, out, err = run(capsys, *arguments, "--json")
    assert (program, code) == ("eplb-opt", 0), err
    told = json.loads(out)
    assert (told["objective"], told["homes"]) == (made["objective"], made["homes"])
    for name in ("off_home", "balancedness"):
        assert told[name] == pytest.approx(made[name])
    assert told["load"] == pytest.approx([1 / each for each in made["balancedness"]])
    assert all(np.array(told["lower_bound"]) >= np.array(made["lower_bound"]) - 1e-9)
    if case != "links":
        return
    table = " ".join(run(capsys, *arguments)[1].split())
    assert "0.3 x link cost" in table
    assert f"{np.mean(made['off_home']):.4f}" in table


def test_a_broken_rule_of_a_topology_is_named(folder, capsys):
    made = written({"topology": Topology(0.0)}).plan
    check = ["check", "p.npz", "loads.json", *SHAPE, *PRICED]
    code, _, err = run(capsys, *check, "--max-off-home", "0.01")
    told = f"layer 0: {_share(made):.6f} of the assignments are served off home, above"
    assert (code, told in " ".join(err.split())) == (3, True)
    written({})  # groups of three on a node: the homes of the file alternate
    code, _, err = run(capsys, *check, "--anchored", "--homes", "homes.npz")
    assert (code, "is at home on node" in " ".join(err.split())) == (3, True)


def _share(made: Plan) -> float:
    from eplb_opt.placement.homes import off_home

    loads = read_loads("loads.json").load[0]
    asked = Problem(loads, 16, 4, 2, 4, topology=Topology(0.3))
    return float(off_home(asked, made.physical_to_logical)[0])


@pytest.mark.parametrize("option", ["--anchored", "--max-off-home 0.1", "--homes homes.npz"])
@pytest.mark.parametrize("command", [["check", "p.npz"], ["plan"]], ids=["check", "plan"])
def test_rules_without_a_price_are_refused(folder, capsys, command, option):
    code, _, err = run(capsys, *command, "loads.json", *SHAPE, *option.split())
    assert code == 2
    assert f"{option.split()[0]} needs --topology-price" in " ".join(err.split())


def test_a_table_has_load_and_locality_of_the_worst_layers_and_their_means(folder, capsys):
    found = written({"topology": Topology(0.3)})
    code, out, _ = run(capsys, "check", "p.npz", "loads.json", *SHAPE, *PRICED)
    assert code == 0
    last = next(line for line in out.splitlines() if "all 2" in line)
    load = float(np.mean(1 / found.balancedness))
    assert f"{load:.4f}" in last
    assert f"{100 * found.off_home.mean():.2f} %" in last
    assert f"{found.objective.mean():.4f}" in last
