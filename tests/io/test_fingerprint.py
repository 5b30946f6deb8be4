"""Fingerprints differ where content does, and only there."""

import hashlib

import pytest

from eplb_opt.errors import FormatError
from eplb_opt.io.fingerprint import fingerprint


def test_of_a_file_it_is_what_sha256sum_prints(tmp_path):
    (tmp_path / "a").write_bytes(b"loads")
    assert fingerprint(tmp_path / "a") == hashlib.sha256(b"loads").hexdigest()


def test_of_a_folder_it_changes_with_names_and_with_contents(tmp_path):
    seen = set()
    for change in (
        lambda: (tmp_path / "a").write_bytes(b"1"),
        lambda: (tmp_path / "b").write_bytes(b"2"),
        lambda: (tmp_path / "b").write_bytes(b"3"),
        lambda: (tmp_path / "b").rename(tmp_path / "c"),
    ):
        change()
        seen.add(fingerprint(tmp_path))
    assert len(seen) == 4
    assert fingerprint(tmp_path) in seen


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        fingerprint(tmp_path / "absent")
