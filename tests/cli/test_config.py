import json

import pytest

from eplb_opt.cli import main

LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own to stand in, with loads in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPLB_OPT_CONFIG", raising=False)
    (tmp_path / "loads.json").write_text(json.dumps(LOADS))
    return tmp_path


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def planned(capsys, *arguments):
    code, out, err = run(capsys, "plan", "loads.json", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_file_in_the_current_folder_gives_defaults_for_all_and_for_one(capsys, here):
    (here / "eplb-opt.toml").write_text(
        "gpus = 8\nslots = 16\ncolocation = 'allow'\n[plan]\neffort = 3\n[bound]\ntime-limit = 0\n"
    )
    assert planned(capsys)["stop_reason"] in ("effort", "optimal", "exhausted")
    assert run(capsys, "bound", "loads.json")[0] == 0


def test_the_command_line_wins_over_the_file_and_the_table_over_the_top(capsys, here):
    (here / "eplb-opt.toml").write_text("gpus = 8\nslots = 16\neffort = 2\n[plan]\ngpus = 4\n")
    mean = sum(LOADS[0])
    assert planned(capsys)["objective"][0] >= mean / 4
    assert planned(capsys, "--gpus", "16")["objective"][0] == max(LOADS[0]) / 2


def test_the_option_wins_over_the_environment_and_that_over_the_folder(capsys, here, monkeypatch):
    for name, gpus in (("eplb-opt", 4), ("env", 8), ("option", 16)):
        (here / f"{name}.toml").write_text(f"gpus = {gpus}\nslots = 16\neffort = 1\n")
    four = planned(capsys)["objective"][0]
    monkeypatch.setenv("EPLB_OPT_CONFIG", "env.toml")
    eight = planned(capsys)["objective"][0]
    sixteen = planned(capsys, "--config", "option.toml")["objective"][0]
    assert four > eight > sixteen
    assert main(["--config=option.toml", "plan", "loads.json", "--json"]) == 0


def test_commands_in_groups_and_options_that_take_several(capsys, here):
    (here / "eplb-opt.toml").write_text(
        "gpus = 8\n[size]\ngpus = [4, 6]\nslots-per-gpu = '3:4'\neffort = 1\n"
        "[instances.improve]\ntime-limit = 1\n[bench.plans]\nmachine = ['288x32']\n"
    )
    code, out, err = run(capsys, "size", "loads.json", "--json")
    assert code == 0, err
    assert [row["num_slots"] for row in json.loads(out)["sizes"]] == [12, 16, 18, 24]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("gpu = 8", "'gpu'; did you mean 'gpus'"),
        ("[plan]\ntime_limit = 3", "did you mean 'time-limit'; known: anchored, ban"),
        ("[plam]\ngpus = 3", "no command 'plam'; did you mean 'plan'"),
        ("[plan]\ngpus = [1, 2]", "takes one value"),
        ("[plan]\njson = 'yes'", "write true or false"),
        ("[plan]\ngpus = true", "write a number or a text"),
        ("[plan]\ngpus = 'many'\nslots = 16", "eplb-opt.toml: Invalid value for '--gpus'"),
        ("gpus = ", "eplb-opt.toml: "),
    ],
)
def test_a_faulty_file_is_bad_input_that_names_the_mend(capsys, here, content, words):
    (here / "eplb-opt.toml").write_text(content)
    code, out, err = run(capsys, "plan", "loads.json")
    assert code == 2
    assert words in err
    assert out == ""
    assert run(capsys, "plan", "--help")[0] == 0


def test_a_file_that_is_named_must_be_there(capsys, here, monkeypatch):
    code, _, err = run(capsys, "plan", "loads.json", "--config", "absent.toml")
    assert code == 2
    assert "absent.toml: there is no such config file; --config names it" in err
    assert "needs a file" in run(capsys, "plan", "--config")[2]
    monkeypatch.setenv("EPLB_OPT_CONFIG", "gone.toml")
    assert "EPLB_OPT_CONFIG names it" in run(capsys, "plan", "loads.json")[2]
    empty = here / "empty.toml"
    empty.write_text("")
    assert planned(
        capsys, "--gpus", "8", "--slots", "16", "--effort", "0", "--config", "empty.toml"
    )
