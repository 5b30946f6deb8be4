"""`eplb-opt bench homes`: homes of tokens beside homes of groups."""

import json

from eplb_opt.cli import main

SMALL = ["bench", "homes", "--layers", "1", "--tokens", "1500", "--effort", "1"]


def test_topics_make_homes_of_tokens_worth_it_where_no_groups_bind(capsys):
    assert main([*SMALL, "--topic", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    by_kind = {(row["groups_per_token"], row["homes"]): row for row in rows}
    assert set(by_kind) == {(n, kind) for n in (4, 8) for kind in ("groups", "tokens")}
    groups, tokens = by_kind[8, "groups"], by_kind[8, "tokens"]
    assert tokens["at_home"] < 0.9 * groups["at_home"]
    assert tokens["nodes"] < groups["nodes"]
    assert tokens["largest_home"] < 1.03
    # The limit of groups is what makes whole groups worth a node.
    assert by_kind[4, "groups"]["at_home"] < groups["at_home"]
    for row in rows:
        assert 1 <= row["nodes"] <= 4
        assert row["load"] >= 1


def test_the_table_is_printed(capsys):
    assert main([*SMALL, "--topic", "0"]) == 0
    out = capsys.readouterr().out
    assert "groups" in out
    assert "largest at home" in " ".join(out.split())
