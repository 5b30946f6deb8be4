"""Which recordings count: files as named, the last changed ones of folders and patterns."""

import os

import numpy as np
import pytest

from eplb_opt.errors import FormatError
from eplb_opt.workloads.watch import Sources


def touch(folder, name, at):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.ones((1, 2), int))
    os.utime(path, (at, at))
    return path


def test_of_a_folder_the_last_changed_count_the_oldest_first(tmp_path):
    late, early, middle = (
        touch(tmp_path, f"{n}.npy", at) for n, at in (("a", 9), ("b", 1), ("c", 5))
    )
    assert Sources((tmp_path,)).recordings() == [late]
    assert Sources((tmp_path,), 2).recordings() == [middle, late]
    assert Sources((tmp_path,), 9).recordings() == [early, middle, late]


def test_at_the_same_moment_the_later_name_counts(tmp_path):
    touch(tmp_path, "dump_1.npy", 5)
    second = touch(tmp_path, "dump_2.npy", 5)
    assert Sources((tmp_path,)).recordings() == [second]


def test_hidden_files_and_those_of_other_kinds_are_no_recordings(tmp_path):
    wanted = touch(tmp_path, "a.npy", 1)
    touch(tmp_path, ".b.npy", 2)
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "c.npy.tmp").write_bytes(b"half")
    assert Sources((tmp_path,), 9).recordings() == [wanted]


def test_files_that_are_named_all_count_in_their_order(tmp_path):
    names = tuple(touch(tmp_path, f"{n}.npy", at) for n, at in (("b", 9), ("a", 1)))
    assert Sources(names).recordings() == list(names)


def test_a_pattern_is_looked_up_anew_and_its_file_may_be_called_like_it(tmp_path):
    sources = Sources((tmp_path / "day_[0-9].npy",))
    first = touch(tmp_path, "day_1.npy", 1)
    assert sources.recordings() == [first]
    second = touch(tmp_path, "day_2.npy", 2)
    assert sources.recordings() == [second]
    odd = touch(tmp_path, "day_[0-9].npy", 0)
    assert sources.recordings() == [odd]


def test_a_folder_that_is_one_recording_is_taken_whole(tmp_path):
    folder = tmp_path / "ranks"
    folder.mkdir()
    (folder / "dump_0.pt").write_bytes(b"x")
    (folder / "dump_1.pt").write_bytes(b"x")
    assert Sources((folder,)).recordings() == [folder]
    assert Sources((tmp_path / "r*",)).recordings() == [folder]
    assert Sources((folder / "*.pt",)).recordings() == [folder / "dump_1.pt"]


@pytest.mark.parametrize("name", [".", "*.npy"])
def test_where_there_is_nothing_yet_it_is_said(tmp_path, name):
    with pytest.raises(FormatError, match="no recordings yet"):
        Sources((tmp_path / name,)).recordings()


def test_nothing_named_and_none_wanted_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no recordings"):
        Sources(())
    with pytest.raises(FormatError, match="newest=0"):
        Sources((tmp_path,), 0)
