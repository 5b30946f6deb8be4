"""With the extra `cli` alone: what works, works; what is missing is said before the work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eplb_opt.cli import main, needs
from eplb_opt.errors import PACKAGES

#: The modules of all other extras.
ABSENT = sorted(set(PACKAGES) - {"typer", "rich"})
RUNNER = (
    "import sys\n"
    f"sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
    "from eplb_opt.cli import main\n"
    "sys.exit(main(sys.argv[1:]))"
)
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.save(tmp_path / "loads.npy", np.random.default_rng(0).integers(1, 99, (4, 2, 12)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback(folder, command):
    before = set(folder.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr + done.stdout
    missing = COMMANDS[command]
    assert done.returncode == (1 if missing else 0), done.stderr
    if missing:
        assert f"{missing} is not installed; the extra eplb-opt[" in done.stderr
        assert f"pip install {missing}" in done.stderr
        assert set(folder.iterdir()) == before


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
