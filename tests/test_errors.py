"""Optional packages that are absent, or seem to be there."""

import sys

import pytest

from eplb_opt import errors


@pytest.fixture
def a_folder_named_ray(tmp_path, monkeypatch):
    """A folder on Python's path that has the name of a package that is not installed."""
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "ray", raising=False)


def test_a_mere_folder_of_that_name_is_no_package(a_folder_named_ray):
    with pytest.raises(errors.MissingDependency, match=r"ray is not installed.*eplb-opt\[ray\]"):
        errors.import_optional("ray", "ray")
    sys.modules.pop("ray", None)
    with pytest.raises(errors.MissingDependency, match="ray is not installed"):
        errors.require("ray")
