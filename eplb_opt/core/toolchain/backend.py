"""The build backend: scikit-build-core, with a compiler brought along where the machine has none.

`pip install` needs a C++ compiler for the core. Where none is found, `ziglang` (Clang in a Python
package) is asked for as one more build requirement, and CMake is given small scripts that run it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scikit_build_core import build as scikit_build

if TYPE_CHECKING:
    from collections.abc import Iterator

ZIG = "ziglang>=0.13"
#: What CMake looks for, in its order.
COMPILERS = ("c++", "g++", "clang++", "cl")
#: The oldest C library that the result runs with; that of manylinux_2_28.
GLIBC = "2.28"

build_sdist = scikit_build.build_sdist
get_requires_for_build_sdist = scikit_build.get_requires_for_build_sdist


def has_compiler() -> bool:
    """Whether CMake will find a C++ compiler: the one in CXX, or one on the path."""
    named = os.environ.get("CXX", "").split()
    return any(shutil.which(command) for command in (*named[:1], *COMPILERS))


def _with_compiler(requirements: list[str]) -> list[str]:
    return requirements if has_compiler() else [*requirements, ZIG]


def get_requires_for_build_wheel(settings: dict[str, Any] | None = None) -> list[str]:
    """What a wheel's build needs besides `build-system.requires`."""
    return _with_compiler(scikit_build.get_requires_for_build_wheel(settings))


def get_requires_for_build_editable(settings: dict[str, Any] | None = None) -> list[str]:
    """What an editable installation's build needs besides `build-system.requires`."""
    return _with_compiler(scikit_build.get_requires_for_build_editable(settings))


def prepare_metadata_for_build_wheel(folder: str, settings: dict[str, Any] | None = None) -> str:
    """The metadata alone, which needs no compiler."""
    return str(scikit_build.prepare_metadata_for_build_wheel(folder, settings))


def prepare_metadata_for_build_editable(folder: str, settings: dict[str, Any] | None = None) -> str:
    """The metadata alone, which needs no compiler."""
    return str(scikit_build.prepare_metadata_for_build_editable(folder, settings))


def build_wheel(
    folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    """Build a wheel into `folder`."""
    with _compiler():
        return str(scikit_build.build_wheel(folder, settings, metadata))


def build_editable(
    folder: str, settings: dict[str, Any] | None = None, metadata: str | None = None
) -> str:
    """Build an editable wheel into `folder`."""
    with _compiler():
        return str(scikit_build.build_editable(folder, settings, metadata))


@contextmanager
def _compiler() -> Iterator[None]:
    """Set CXX and the archiver to Zig's for the time of a build, unless there is a compiler."""
    if has_compiler():
        yield
        return
    print(
        "eplb-opt: no C++ compiler is on this machine; Zig's compiles the core, which takes some"
        " minutes the first time.",
        file=sys.stderr,
        flush=True,
    )
    # CMake keeps the compiler's path with what it has built, so the scripts lie where they lay.
    folder = Path("build", "zig").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    tools = {name: _script(folder, name) for name in ("c++", "ar", "ranlib")}
    kept = {name: os.environ.get(name) for name in ("CXX", "CMAKE_ARGS")}
    archivers = (f"-DCMAKE_AR={tools['ar']}", f"-DCMAKE_RANLIB={tools['ranlib']}")
    os.environ["CXX"] = str(tools["c++"])
    os.environ["CMAKE_ARGS"] = " ".join((kept["CMAKE_ARGS"] or "", *archivers)).strip()
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _script(folder: Path, tool: str) -> Path:
    """A command that runs one of Zig's tools with this interpreter."""
    options = "".join(f" {option}" for option in _target()) if tool == "c++" else ""
    path = folder / tool
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang {tool}{options} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _target() -> list[str]:
    """What makes Zig compile for every machine of this platform, not for the one it runs on."""
    platform = sysconfig.get_platform()
    if platform == "linux-x86_64":
        return ["-target", f"x86_64-linux-{_libc()}", "-mcpu=x86_64_v2"]
    if platform == "linux-aarch64":
        return ["-target", f"aarch64-linux-{_libc()}"]
    return []


def _libc() -> str:
    """The C library that this interpreter runs with, as Zig names it."""
    host = sysconfig.get_config_var("HOST_GNU_TYPE") or ""
    return "musl" if "musl" in host else f"gnu.{GLIBC}"
