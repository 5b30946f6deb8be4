"""The unit files and the CronJob of the guide: they parse, and their command lines work."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eplb_opt.cli import main
from eplb_opt.guide import read_topic
from eplb_opt.io import read_plan
from tests.guide.documents import blocks
from tests.guide.workplace import fill

PAGE = read_topic("deploying")
UNITS = {
    re.match(r"# (\S+)", block.text)[1]: block.text.replace("\\\n", " ")
    for block in blocks(PAGE, "ini")
}
pytest.importorskip("typer")


def unit(name):
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str
    parsed.read_string(UNITS[name])
    return parsed


def cron_job():
    (block,) = blocks(PAGE, "yaml")
    return pytest.importorskip("yaml").safe_load(block.text)


def container():
    (found,) = cron_job()["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return found


def line_for(where):
    if where == "systemd":
        return shlex.split(unit("eplb-opt.service")["Service"]["ExecStart"])
    return [*container()["command"], *container()["args"]]


@pytest.mark.parametrize("where", ["systemd", "kubernetes"])
def test_the_command_line_works_on_local_files(tmp_path, capsys, where):
    for package in ("torch", "prometheus_client", "safetensors"):
        pytest.importorskip(package)
    (tmp_path / "given").mkdir()
    fill(tmp_path / "given")
    program, *arguments = line_for(where)
    assert Path(program).name == "eplb-opt"
    # Absolute paths lead into the test's folder; what a package or a volume brings is there.
    local = [f"{tmp_path}{word}" if word.startswith("/") else word for word in arguments]
    for path in (Path(word) for word in local if word.startswith(str(tmp_path))):
        path.parent.mkdir(parents=True, exist_ok=True)
    dumps = Path(local[1]).parent
    shutil.copy(tmp_path / "given" / "recording.pt", dumps / "recording.pt")
    for outcome in ("written", "unchanged"):
        assert main([*local, "--time-limit", "0.2"]) == 0
        assert f": {outcome}" in capsys.readouterr().err
    assert read_plan(local[local.index("--output") + 1]).shape == (2, 288)
    if where == "systemd":
        written = Path(local[local.index("--metrics") + 1])
        assert "eplb_opt_plan_timestamp_seconds" in written.read_text()


def test_the_timer_starts_the_service_again_and_again():
    timer = unit("eplb-opt.timer")
    assert timer["Timer"]["OnUnitInactiveSec"] == "5min"
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert unit("eplb-opt.service")["Service"]["Type"] == "oneshot"


def test_systemd_finds_no_fault_with_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for name, text in UNITS.items():
        # It looks for the program, which is not where the text has it.
        (tmp_path / name).write_text(text.replace("/opt/eplb-opt/bin/eplb-opt", sys.executable))
    run = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in run.stderr.splitlines() if "eplb-opt" in line]
    assert complaints == []
    assert run.returncode == 0, run.stderr


def test_the_cron_job_mounts_what_its_command_names():
    job = cron_job()
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert len(job["spec"]["schedule"].split()) == 5
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    words = [*container()["command"], *container()["args"]]
    assert all(isinstance(word, str) for word in words)
    assert {str(Path(word).parent) for word in words if word.startswith("/")} == set(mounts)
