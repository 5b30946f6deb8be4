"""Other builds of the core: a copy of the packages with a core that other flags compiled.

    python -m tests.core.builds FOLDER [CMAKE-OPTION ...]

makes one; `python_in(folder)` says how to run Python with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = "eplb_opt", "heuristics", "tests"
#: What tests read beside them.
BESIDE = "instances", "README.md", "pyproject.toml", "Makefile", ".ci"
#: An editable installation's finder would go before PYTHONPATH.
HOOK = """import sys
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
"""


def missing() -> str | None:
    """What the machine lacks for a build, or None."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "no C++ compiler"
    if shutil.which("cmake") is None:
        return "no cmake"
    code = "import nanobind"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return None if run.returncode == 0 else "no nanobind"


def build(folder: Path, *options: str) -> None:
    """Compile the core with these options for CMake, and install it in a copy of the packages."""
    for name in PACKAGES:
        skipped = shutil.ignore_patterns("*.so", "__pycache__", "*.pyc")
        shutil.copytree(ROOT / name, folder / name, ignore=skipped, dirs_exist_ok=True)
    for name in BESIDE:
        if (ROOT / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "sitecustomize.py").write_text(HOOK)
    objects = folder / "objects"
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1))
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    python = f"-DPython_EXECUTABLE={sys.executable}"
    configure = ["cmake", "-S", folder / "eplb_opt" / "core", "-B", objects, *generator, python]
    if shutil.which("ccache"):
        configure.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    for command in (
        [*configure, *options],
        ["cmake", "--build", objects, "--parallel", jobs],
        ["cmake", "--install", objects, "--prefix", folder],
    ):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(run.stdout[-4000:] + run.stderr[-4000:])


def environment(folder: Path, **more: str) -> dict[str, str]:
    """For a Python process that finds the packages in that folder, whatever is installed."""
    return os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"} | more


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve(), *sys.argv[2:])
