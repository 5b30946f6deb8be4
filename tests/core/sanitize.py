"""The core under the compilers' sanitizers, and built in another way: `make sanitize`.

    python -m tests.core.sanitize [address] [thread] [builds]

"address" (AddressSanitizer, UndefinedBehaviorSanitizer and the standard library's own assertions)
runs the kernels' tests and bad input to every binding; "thread" (ThreadSanitizer) asks all bindings
from eight threads at once and from forks; "builds" compares the bytes of an unoptimised build of
every compiler here. What was compiled stays in build/sanitize.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.core import builds

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = {
    "address": "-fsanitize=address,undefined -fno-sanitize-recover=undefined -D_GLIBCXX_ASSERTIONS",
    "thread": "-fsanitize=thread",
}
#: Loaded before Python, which was not compiled with them. AddressSanitizer needs to see who throws.
LIBRARIES = {"address": ("libasan.so", "libstdc++.so"), "thread": ("libtsan.so",)}
#: Python itself leaves what it holds to the end of the process, so that leaks say nothing.
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:detect_odr_violation=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "die_after_fork=0:second_deadlock_stack=1",
    "PYTHONMALLOC": "malloc",
    "EPLB_OPT_SANITIZED": "1",
    "EPLB_OPT_FUZZ": os.environ.get("EPLB_OPT_FUZZ", "150"),
}
#: Rooms whose tests ask the core for little else than itself.
TESTS = [
    "tests/core", "tests/engines/serving", "tests/search", "tests/engines/dispatch",
    "tests/heuristics", "tests/placement/test_senders.py", "tests/bounds/test_cost_bounds.py",
    "tests/exact/test_config_lp.py", "tests/exact/test_pairs.py",
]  # fmt: skip
#: Those compare builds, and need no sanitizer.
SKIPPED = "not two_builds and not stubs and not threads_and_forks"


def library(name: str) -> str:
    """Where the compiler keeps it."""
    compiler = os.environ.get("CXX", "g++").split()
    command = [*compiler, f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(folder: Path, kind: str, *command: str) -> int:
    """Python with that build; its exit status."""
    preloaded = ":".join(map(library, LIBRARIES[kind]))
    # ThreadSanitizer's shadow memory lies where some kernels put shared libraries.
    fixed = ["setarch", "-R"] if kind == "thread" and shutil.which("setarch") else []
    return subprocess.run(
        [*fixed, sys.executable, *command],
        cwd=folder,
        env=builds.environment(folder, LD_PRELOAD=preloaded, **OPTIONS),
        check=False,
    ).returncode


def check(kind: str) -> int:
    """Build the core in that way and run what is to show a fault; 0 if nothing did."""
    if kind == "builds":
        test = [sys.executable, "-m", "pytest", "-n0", "tests/core/test_two_builds.py"]
        more = os.environ | {"EPLB_OPT_BUILDS": "1"}
        return subprocess.run(test, cwd=builds.ROOT, env=more, check=False).returncode
    folder = builds.ROOT / "build" / "sanitize" / kind
    debug = f"-O1 -g -fno-omit-frame-pointer {FLAGS[kind]}"
    builds.build(folder, "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_CXX_FLAGS_DEBUG={debug}")
    if kind == "thread":
        return run(folder, kind, "-m", "tests.core.threads", "2")
    tests = [t for t in TESTS if (folder / t).exists()]
    pytest = ["-m", "pytest", "-n0", "-p", "no:cacheprovider", "-k", SKIPPED, *tests]
    return run(folder, kind, *pytest)


def main() -> None:
    kinds = sys.argv[1:] or [*FLAGS, "builds"]
    found = {kind: check(kind) for kind in kinds}
    for kind, status in found.items():
        print(f"{kind}: {'nothing found' if status == 0 else f'exit status {status}'}")
    sys.exit(max(found.values()))


if __name__ == "__main__":
    main()
