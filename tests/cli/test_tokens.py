import csv
import io
import json

import numpy as np
import pytest

from eplb_opt.bench.routing import Routing, routed_tokens
from eplb_opt.cli import main
from eplb_opt.io import open_tokens, read_loads, write_tokens

ROUTING = Routing(
    num_layers=2, num_experts=32, num_groups=8, groups_per_token=4, topic=0.5, num_ranks=8
)
MACHINE = ["--gpus", "8", "--slots", "48", "--nodes", "4", "--groups", "8"]
QUICK = ["--effort", "2", "--workers", "1"]


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.npz"
    write_tokens(path, routed_tokens(ROUTING, 1200))
    return str(path)


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_recording_is_told_and_taken_apart(capsys, tokens, tmp_path):
    names = ("loads", "sources", "homes", "again")
    loads, sources, homes, again = (str(tmp_path / f"{name}.npz") for name in names)
    code, out, err = run(
        capsys,
        *("tokens", tokens, "--nodes", "4", "--groups", "8", "--json"),
        *("--loads", loads, "--sources", sources, "--write-homes", homes, "--output", again),
    )
    assert (code, err) == (0, "")
    told = json.loads(out, parse_constant=pytest.fail)
    assert told["num_ranks"] == 8
    assert told["assignments_of_a_layer"] == 1200 * 8
    assert 3 < told["groups_of_a_token"] <= 4
    whole = told["nodes_of_a_token_with_groups_at_home"]
    assert 2 < whole <= 4
    assert 2 < told["nodes_of_a_token_with_these_homes"] < 4
    total = read_loads(loads).total
    with np.load(sources) as archive:
        assert archive["sources"].shape == (2, 8, 32)
        assert np.array_equal(archive["sources"].sum(axis=1), total)
    with np.load(homes) as archive:
        assert archive["homes"].shape == (2, 32)
        assert archive["layer_ids"].tolist() == [0, 1]
    assert np.array_equal(open_tokens(again).total().load[0], total)


def test_the_comparison_says_what_plans_really_send(capsys, tokens, tmp_path):
    to = tmp_path / "rows.csv"
    code, out, _ = run(
        capsys,
        *("topology", tokens, *MACHINE, "--price", "0.3", "--tokens", tokens, *QUICK),
        *("--exchange", "0.4", "--json", "--csv", str(to)),
    )
    assert code == 0
    told = json.loads(out, parse_constant=pytest.fail)
    rows = {row["kind"]: row for row in told["rows"]}
    assert 1 < rows["strict"]["nodes"] < rows["flat"]["nodes"] < 4
    assert rows["strict"]["remote_nodes"] < rows["flat"]["remote_nodes"] < rows["flat"]["nodes"]
    assert 0.6 < rows["flat"]["crossing"] < 0.9
    assert rows["flat"]["nodes"] < rows["flat"]["gpus"] <= 8
    saved = 1 - rows["strict"]["remote_nodes"] / rows["flat"]["remote_nodes"]
    price = rows["flat"]["price_of_exchange"]
    assert price == pytest.approx(saved / rows["flat"]["off_home"])
    assert rows["strict"]["price_of_exchange"] is None
    assert rows["flat"]["time"] == pytest.approx(rows["flat"]["load"] + 0.4)
    lines = list(csv.DictReader(io.StringIO(to.read_text())))
    assert [float(line["nodes"]) for line in lines] == [row["nodes"] for row in told["rows"]]


def test_the_table_shows_it_and_the_price(capsys, tokens, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = run(
        capsys, "topology", tokens, *MACHINE, "--price", "0.3", "--tokens", tokens, *QUICK
    )
    assert code == 0
    for heading in ("nodes", "other nodes", "crossing"):
        assert heading in out
    assert "By these tokens the price of the whole way is" in out
    assert "price x/t" in out


def test_homes_of_a_file_are_planned_for(capsys, tokens, tmp_path):
    homes = str(tmp_path / "homes.npz")
    assert run(capsys, "tokens", tokens, "--nodes", "4", "--write-homes", homes)[0] == 0
    code, out, _ = run(
        capsys, "topology", tokens, *MACHINE, "--homes", homes, "--price", "2", *QUICK, "--json"
    )
    assert code == 0
    rows = {row["kind"]: row for row in json.loads(out)["rows"]}
    # Whole groups are not at home where these homes are.
    assert rows["strict"]["off_home"] > rows["priced"]["off_home"]


def test_what_does_not_fit_is_refused(capsys, tokens, tmp_path):
    other = str(tmp_path / "other.npz")
    write_tokens(other, routed_tokens(Routing(num_layers=3, num_experts=32, num_ranks=2), 50))
    code, _, err = run(capsys, "topology", other, *MACHINE, "--tokens", tokens, *QUICK)
    assert code == 2
    assert "has no tokens in layer 2" in err
    code, _, err = run(capsys, "topology", tokens, *MACHINE, "--homes", tokens, *QUICK)
    assert code == 2
    assert "there is no array homes" in err
    code, _, err = run(capsys, "topology", tokens, *MACHINE, "--exchange", "0.4", *QUICK)
    assert code == 2
    assert "--exchange needs --tokens" in err
    code, _, err = run(capsys, "tokens", tokens, "--write-homes", str(tmp_path / "h.npz"))
    assert code == 2
    assert "--write-homes needs --nodes" in err
    code, _, err = run(capsys, "tokens", tokens, "--output", tokens)
    assert code == 2
    assert "would be overwritten" in err
