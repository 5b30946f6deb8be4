import shlex

import pytest
import typer.main

from eplb_opt import __version__
from eplb_opt.cli import main
from eplb_opt.cli.app import app
from eplb_opt.cli.help import folded


def every_command(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(every_command(typer.main.get_command(app)))


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", ["80", "120"])
def test_help_has_an_example_that_can_be_pasted_and_fits_the_terminal(
    capsys, monkeypatch, path, width
):
    monkeypatch.setenv("COLUMNS", width)
    code, out, _ = run(capsys, *path, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= int(width)
    example = out.partition("\nExample:\n")[2].partition("\n\n")[0]
    words = shlex.split(example)
    assert words[: len(path) + 1] == ["eplb-opt", *path]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_names_options_that_exist(path):
    command = COMMANDS[path]
    known = {name for param in command.params for name in param.opts}
    used = {word for word in shlex.split(command.example) if word.startswith("--")}
    assert used <= known


def test_the_list_of_commands_starts_with_plan_and_cuts_nothing_off(capsys):
    _, out, _ = run(capsys, "--help")
    listed = out.partition("Commands:\n")[2]
    assert listed.split()[0] == "plan"
    assert "..." not in listed
    assert "eplb-opt.toml" in out


def test_options_stand_under_what_they_are_for(capsys):
    _, out, _ = run(capsys, "plan", "--help")
    machine, _, rest = out.partition("Machine:\n")[2].partition("Planning:\n")
    assert "--gpus" in machine
    assert "--nodes" in machine
    assert "--time-limit" in rest
    assert "--json" in rest.partition("Output:\n")[2]


def test_long_examples_are_folded_as_a_shell_wants_it():
    command = "eplb-opt plan loads.npz --gpus 32 --slots 288 --engine sglang"
    for width in (30, 50, 200):
        lines = folded(command, width)
        assert all(len(line) <= width for line in lines)
        assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)


def test_the_version_is_told(capsys):
    assert run(capsys, "--version") == (0, f"eplb-opt {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], ["'LOADS': Recorded loads", "Example:", "eplb-opt plan --help"]),
        (["plan", "x.npz"], ["'--gpus': Number of GPUs", "eplb-opt plan loads.npz"]),
        (["plan", "x.npz", "--gpus", "many"], ["must be a whole number, such as 32."]),
        (["plan", "x.npz", "--gpus", "8", "--slots", "16", "--time-limit", "1s"], ["a number"]),
        (["plan", "x.npz", "--gpu", "8"], ["--gpus"]),
        (["plna"], ["Did you mean 'plan'"]),
        (["instances", "improve", "foo"], ["'foo' is unknown; known: readme"]),
        (["bench", "plans", "--machine", "3"], ["288x32/4/8"]),
        (["plan", "x.npz", "--gpus", "8", "--slots", "16", "--output", "no/x.npz"], ["mkdir -p"]),
    ],
)
def test_an_error_of_usage_says_what_to_type(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    for word in words:
        assert word in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["si"], ["size"]),
        (["plan", "--eng"], ["--engine"]),
        (["plan", "x.npz", "--colocation", "f"], ["forbid"]),
        (["instances", "improve", "qwen3-235b-16"], ["qwen3-235b-160-32", "qwen3-235b-160-40-h"]),
    ],
)
def test_the_shell_completes_commands_options_and_names(capsys, monkeypatch, words, found):
    monkeypatch.setenv("_EPLB_OPT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["eplb-opt", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    monkeypatch.setenv("EPLB_OPT_CONFIG", "absent.toml")  # the tabulator does not care
    code, out, err = run(capsys)
    assert (code, out.split(), err) == (0, found, "")
