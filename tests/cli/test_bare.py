"""With the extra `cli` alone: what works, works; what is missing is said before the work."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eplb_opt.cli import main, needs
from eplb_opt.errors import PACKAGES

#: The modules of all other extras.
ABSENT = sorted(set(PACKAGES) - {"typer", "rich"})
#: One process runs all commands, each in a folder of its own: to start one takes a second.
RUNNER = f"""
import contextlib, io, json, os, sys, traceback
sys.modules.update(dict.fromkeys({ABSENT!r}))
from eplb_opt.cli import main
found = []
for folder, command in json.load(sys.stdin):
    os.chdir(folder)
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            code = main(command.split())
        except BaseException:
            code = traceback.print_exc()
    found.append((code, text.getvalue()))
print(json.dumps(found))
"""
MACHINE = "--gpus 4 --slots 16 --time-limit 0.2"
#: Command to what is missing; None where nothing is.
COMMANDS = {
    f"plan loads.npy {MACHINE} --output plan.npz --certificate proof.json": None,
    f"plan loads.npy {MACHINE} --output plan.pt --engine pt": "torch",
    f"plan loads.npy {MACHINE} --output plan.yaml --engine trtllm": "PyYAML",
    f"plan loads.npy {MACHINE} --output plan.parquet --engine parquet": "pyarrow",
    f"plan loads.npy {MACHINE} --report page.html": "Jinja2",
    f"plan loads.npy {MACHINE} --model milp": "pulp",
    f"plan loads.npy {MACHINE} --model cpsat": "ortools",
    f"gap loads.npy {MACHINE}": None,
    f"gap loads.npy {MACHINE} --report page.html": "Jinja2",
    f"bound loads.npy {MACHINE}": None,
    "size loads.npy --gpus 4 --time-limit 0.1": None,
    "size loads.npy --gpus 4 --time-limit 0.1 --plot a.png": "matplotlib",
    f"replay loads.npy {MACHINE} --every 2": None,
    f"replay loads.npy {MACHINE} --every 2 --plot a.png": "matplotlib",
    "convert loads.npy loads.csv --kind loads": None,
    "convert loads.npy loads.pt --kind loads": "torch",
    "convert loads.npy loads.safetensors --kind loads --model m": "safetensors",
    "bench hot --quick": "torch",
    "bench plans --layers 1 --machine 288x72 --time-limit 0.1": None,
    "bench plans --layers 1 --machine 288x72 --heuristic swap_refine": "torch",
    "bench plans --layers 1 --machine 288x72 --model cpsat": "ortools",
    "bench dispatch --layers 1 --rounds 1 --batches 1 --machine 288x32": None,
    "bench soak --calls 10 --plans 1": None,
    "bench quality twelve-16-4 --time-limit 0.05": None,
    "bench quality twelve-16-4 --model milp": "pulp",
    "bench figure loads.npy --plot a.png": "matplotlib",
    "instances show readme": None,
    "example skewed": None,
    "warmup --all": None,
}


def save_loads(folder):
    np.save(folder / "loads.npy", np.random.default_rng(0).integers(1, 99, (4, 2, 12)))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Folder, exit code and all that was printed, by command."""
    folders = [tmp_path_factory.mktemp("bare") for _ in COMMANDS]
    for path in folders:
        save_loads(path)
    asked = [[str(path), command] for path, command in zip(folders, COMMANDS, strict=True)]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = zip(COMMANDS, folders, json.loads(done.stdout), strict=True)
    return {command: (path, *outcome) for command, path, outcome in found}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    save_loads(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback(outcomes, command):
    folder, code, printed = outcomes[command]
    assert "Traceback" not in printed
    missing = COMMANDS[command]
    assert code == (1 if missing else 0), printed
    if missing:
        assert f"{missing} is not installed; the extra eplb-opt[" in printed
        assert f"pip install {missing}" in printed
        assert [path.name for path in folder.iterdir()] == ["loads.npy"]


@pytest.mark.parametrize(
    "options",
    [
        ["--output", "plan.parquet", "--engine", "parquet"],
        ["--report", "page.html"],
        ["--model", "milp"],
    ],
    ids=lambda options: options[0],
)
def test_packages_are_asked_for_before_the_loads_are_read(folder, monkeypatch, capsys, options):
    for name in ("pyarrow", "jinja2", "pulp"):
        monkeypatch.setitem(sys.modules, name, None)
    Path("loads.npy").write_text("nobody reads it")
    assert main(["plan", "loads.npy", *MACHINE.split(), *options]) == 1
    assert "is not installed" in capsys.readouterr().err


def test_a_default_is_not_asked_for(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ortools", None)
    assert main(["plan", "loads.npy", *MACHINE.split()]) == 0
    assert needs.NEEDS["model"]("cpsat", {}) == ("ortools",)


def test_a_reason_with_brackets_is_shown_whole(folder, monkeypatch, capsys):
    """The table took [heuristics] for a style, and left it out."""
    monkeypatch.setitem(sys.modules, "torch", None)
    asked = ["--every", "2", "--heuristic", "swap_refine", "--policy", "last"]
    assert main(["replay", "loads.npy", *MACHINE.split(), *asked]) == 0
    assert "[heuristics]" in capsys.readouterr().out.replace("\n", "").replace(" ", "")
