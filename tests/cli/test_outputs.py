"""Files that commands write: tried first, never over an input, and none at another's cost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import get_type_hints

import pytest

from eplb_opt.cli import main
from eplb_opt.cli.app import app
from eplb_opt.cli.outputs import OUTPUTS, Saving, check_outputs
from eplb_opt.errors import EngineRefusal, FormatError
from eplb_opt.io import files, read_plan

LOADS = [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]]
QUICK = ["--gpus", "8", "--slots", "16", "--effort", "0"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loads.json").write_text(json.dumps(LOADS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command says that ends with 2 before it has planned anything."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_every_path_that_a_command_writes_to_is_known_as_an_output() -> None:
    found = set()
    for command in app.registered_commands:
        assert command.callback is not None
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            (info, *_) = getattr(hint, "__metadata__", (None,))
            text = getattr(info, "help", None) or ""
            if "Where to" in text or "file to write" in text or name == "report_file":
                found.add(name)
    # Measurements, which are commands of a group, append to a ledger.
    assert found | {"ledger_file"} == set(OUTPUTS)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("plan", "--output"),
        ("plan", "--certificate"),
        ("plan", "--report"),
        ("bound", "--certificate"),
        ("gap", "--csv"),
        ("gap", "--report"),
        ("size", "--csv"),
        ("size", "--plot"),
    ],
)
def test_no_output_may_be_an_input(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    before = Path("loads.json").read_bytes()
    Path("sub").mkdir()
    Path("sub/link.json").symlink_to(folder / "loads.json")
    os.link("loads.json", "hard.json")
    for path in ("loads.json", "./sub/../loads.json", "sub/link.json", "hard.json"):
        machine = QUICK[:4] if command == "gap" else QUICK
        err = refused(capsys, command, "loads.json", *machine, option, path)
        assert f"{option} {Path(path)} is loads.json" in err
    assert Path("loads.json").read_bytes() == before


def test_other_inputs_are_safe_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = Path("held.json")
    held.write_text(json.dumps(LOADS))
    Path("eplb-opt.toml").write_text("gpus = 8\n")
    for option, path in (("--held-out", "held.json"), ("--current", "held.json")):
        err = refused(capsys, "plan", "loads.json", *QUICK, option, path, "--output", path)
        assert "would be overwritten" in err
    err = refused(capsys, "plan", "loads.json", *QUICK, "--output", "eplb-opt.toml")
    assert "would be overwritten" in err
    assert "would be overwritten" in refused(capsys, "convert", "held.json", "./held.json")


def test_two_outputs_in_one_file_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--output", "new.npz", "--certificate", "./new.npz"]
    assert "name two files" in refused(capsys, "plan", "loads.json", *QUICK, *files)


def test_a_part_of_a_recording_is_no_output(folder: Path) -> None:
    dumps = folder / "dumps"
    dumps.mkdir()
    with pytest.raises(FormatError, match="part of that"):
        check_outputs({"loads": [dumps], "output_file": dumps / "plan.pt"})
    check_outputs({"loads": [dumps], "output_file": dumps / "plan.json"})


@pytest.mark.parametrize("path", ["none/plan.npz", "n" * 300 + ".npz", "/proc/plan.npz", "."])
def test_what_cannot_be_written_is_found_before_the_work(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("eplb_opt.cli.plan.plan", pytest.fail)
    err = refused(capsys, "plan", "loads.json", *QUICK, "--output", path)
    assert "Traceback" not in err


def test_a_package_that_the_output_needs_is_missed_before_the_work(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    monkeypatch.setattr("eplb_opt.cli.plan.plan", pytest.fail)
    assert main(["plan", "loads.json", *QUICK, "--engine", "pt", "--output", "plan.pt"]) == 1
    assert "torch is not installed" in capsys.readouterr().err


def test_names_that_are_too_long_are_no_traceback_anywhere(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "n" * 300 + ".json"
    for arguments in (
        ["plan", long, *QUICK],
        ["plan", "loads.json", *QUICK, "--current", long],
        ["plan", "loads.json", *QUICK, "--config", long],
        ["check", long, "loads.json", *QUICK[:4]],
        ["convert", "loads.json", long],
        ["instances", "generate", long],
    ):
        assert "Traceback" not in refused(capsys, *arguments)


def test_a_file_that_fails_at_the_end_costs_neither_the_others_nor_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    kept = files._replace

    def full(target: Path, content: object) -> None:
        if target.name == "plan.json":
            raise OSError(28, "No space left on device")
        kept(target, content)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "_replace", full)
    wanted = ["--engine", "sglang", "--output", "plan.json", "--certificate", "proof.json"]
    assert main(["plan", "loads.json", *QUICK, *wanted]) == 2
    out, err = capsys.readouterr()
    assert "bound by" in out
    assert "plan.json: cannot be written: No space left on device." in err
    assert Path("proof.json").exists()
    (refuge,) = folder.glob("eplb-opt-plan-*.npz")
    assert str(refuge) in err
    assert read_plan(refuge).shape == (1, 16)


def test_a_full_disk_is_named_and_leaves_nothing_half_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False, timeout=20)
    except OSError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("no small file system can be had here: it takes root")
    try:
        (disk / "filler").write_bytes(bytes(60 * 1024))
        assert main(["plan", "loads.json", *QUICK, "--report", str(disk / "page.html")]) == 2
        out, err = capsys.readouterr()
        assert "bound by" in out
        assert "page.html: cannot be written: No space left on device." in err
        assert [path.name for path in disk.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(disk)], check=False, timeout=20)


def test_what_an_engine_refuses_is_saved_nowhere(tmp_path: Path) -> None:
    saving = Saving()

    def refuse(path: Path, kind: str) -> None:
        raise EngineRefusal("an expert twice on a device.")

    saving.save_plan(tmp_path / "plan.json", refuse, "vllm-ascend")
    with pytest.raises(EngineRefusal, match=r"device\.$"):
        saving.finish()


def test_several_failures_are_told_together(tmp_path: Path) -> None:
    saving = Saving()
    for name in ("one", "two"):
        saving.save(tmp_path / "none" / name, lambda path: files.write_atomically(path, b"x"))
    with pytest.raises(FormatError, match=r"(?s)none/one.*none/two"):
        saving.finish()
