"""Costs of links and sources on the command line."""

import json

import numpy as np
import pytest

from eplb_opt.cli import main

QUICK = ["--effort", "2", "--workers", "1", "--gpus", "4", "--slots", "16"]
NODES = ["--nodes", "2"]


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    loads, costs, sources = (tmp_path / n for n in ("loads.json", "costs.json", "sources.npy"))
    loads.write_text(json.dumps(rng.integers(5, 99, (2, 12)).tolist()))
    table = np.array([[0, 0.2, 1, 1], [0.2, 0, 1, 1], [1, 1, 0, 0.2], [1, 1, 0.2, 0]])
    costs.write_text(json.dumps({"rank_cost_matrix": table.tolist()}))
    np.save(sources, rng.integers(0, 9, (2, 4, 12)))
    return str(loads), ["--rank-costs", str(costs), "--sources", str(sources)]


def run(capsys, *arguments):
    code = main([*arguments, *QUICK])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_topology_compares_plans_by_the_cost_of_their_links(capsys, files):
    loads, links = files
    code, out, err = run(capsys, "topology", loads, *NODES, "--groups", "1", *links)
    assert (code, "priced at 0.3" in out, "anchored" in out) == (0, True, False)
    assert "link cost" in out
    assert "one group or one node" in err
    told = run(capsys, "topology", loads, *NODES, *links, "--groups", "4", "--json")[1]
    rows = {row["kind"]: row for row in json.loads(told)["rows"] if row["price"] != 0.05}
    # The strict plan's links cost something too, and a price makes them cheaper than anywhere.
    assert rows["strict"]["off_home"] > 0
    assert rows["priced"]["off_home"] < rows["flat"]["off_home"]
    assert rows["priced"]["lower_bound"] <= rows["priced"]["objective"]


def test_plan_takes_a_price_and_what_links_cost(capsys, files):
    loads, links = files
    told = run(capsys, "plan", loads, *NODES, "--topology-price", "0.3", *links, "--json")
    assert told[0] == 0
    answer = json.loads(told[1])
    assert len(answer["off_home"]) == 2
    assert all(0 < cost < 1 for cost in answer["off_home"])


def test_links_without_a_price_are_refused(capsys, files):
    loads, links = files
    code, _, err = run(capsys, "plan", loads, *NODES, *links)
    assert code == 2
    assert "need --topology-price" in err


def test_a_matrix_of_another_size_is_refused_with_the_numbers(capsys, files, tmp_path):
    path = tmp_path / "small.json"
    path.write_text("[[0, 1, 1], [1, 0, 1], [1, 1, 0]]")
    code, _, err = run(capsys, "topology", files[0], *NODES, "--rank-costs", str(path))
    assert code == 2
    assert "[3, 3]; it must be [4, 4]" in " ".join(err.split())
