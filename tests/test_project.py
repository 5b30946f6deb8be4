"""What lies around the code: workflows, forms, hooks and pages name only what there is."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
LOCK = (ROOT / ".ci" / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXTS = [
    ROOT / "README.md",
    ROOT / ".github" / "CONTRIBUTING.md",
    *ROOT.glob(".github/workflows/*"),
]
YAML = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]
#: Oldest and newest Python that the tests are run with.
FIRST, LAST = 11, 14


def load(path):
    return pytest.importorskip("yaml").safe_load(path.read_text())


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_every_make_target_that_is_named_exists(path):
    named = set(re.findall(r"(?:`|run: |^)make ([a-z]+)", path.read_text(), re.MULTILINE))
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_every_target_without_a_file_is_declared_phony():
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert set(phony) == set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def test_the_tests_with_numpy_alone_exist():
    named = re.search(r"^BARE_TESTS := (.*)$", MAKEFILE, re.MULTILINE)[1].split()
    assert all((ROOT / name).exists() for name in named)


@pytest.mark.parametrize("path", YAML, ids=lambda p: p.name)
def test_yaml_can_be_read(path):
    assert isinstance(load(path), dict)


@pytest.mark.parametrize("job", ["extras", "bare"])
def test_both_matrices_have_every_python_that_is_supported(job):
    versions = load(ROOT / ".github/workflows/test.yml")["jobs"][job]["strategy"]["matrix"][
        "python"
    ]
    assert versions == [f"3.{minor}" for minor in range(FIRST, LAST + 1)]
    assert PROJECT["project"]["requires-python"] == f">=3.{FIRST}"


def test_every_workflow_that_builds_has_the_history_that_the_version_is_counted_from():
    for path in ROOT.glob(".github/workflows/*.yml"):
        for name, job in load(path)["jobs"].items():
            commands = " ".join(step.get("run", step.get("uses", "")) for step in job["steps"])
            if re.search(r"make |cibuildwheel|run build", commands):
                checkout = next(s for s in job["steps"] if "checkout" in s.get("uses", ""))
                assert checkout.get("with") == {"fetch-depth": 0}, f"{path.name}, {name}"


def test_hooks_call_the_locked_tools_or_packages_and_clone_nothing():
    for repository in load(ROOT / ".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            program, *rest = shlex.split(hook["entry"])
            if hook["language"] == "system":
                assert (program, rest[0]) == (".venv/bin/python", "-m")
                assert re.search(rf"^{rest[1]}==", LOCK, re.MULTILINE)
            else:
                assert hook["language"] == "python" and hook["additional_dependencies"]


def test_every_package_of_every_extra_is_locked_but_triton():
    # Packages are called alike with "_" and "-".
    found = re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE)
    locked = {name.lower().replace("_", "-") for name in found}
    wanted = [
        word for extra in PROJECT["project"]["optional-dependencies"].values() for word in extra
    ]
    names = {re.split(r"[>=\[]", word)[0].lower() for word in wanted} - {"eplb-opt", "triton"}
    assert names <= locked
