"""The engines' released files, where EPLB_OPT_ENGINE_FILES names a folder of them."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from eplb_opt.bench.rivals import FOLDER_VARIABLE

FILES = Path(os.environ.get(FOLDER_VARIABLE, ""))


@pytest.fixture
def engines(monkeypatch):
    """The files on the path and clean modules; a function that puts a stand-in in place."""
    if not FILES.is_dir():
        pytest.fail(f"{FOLDER_VARIABLE}={FILES} is no folder")
    monkeypatch.syspath_prepend(str(FILES))
    for name in [m for m in sys.modules if m.split(".")[0] in ("vllm", "sglang")]:
        monkeypatch.delitem(sys.modules, name)

    def stand_in(name, **contents):
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)

    yield stand_in
    for name in [m for m in sys.modules if m.split(".")[0] in ("vllm", "sglang")]:
        del sys.modules[name]
