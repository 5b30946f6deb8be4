"""Two calls on one directory, and locks of processes that are gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from eplb_opt.errors import ProblemError
from eplb_opt.planner.job.lock import NAME, Lock, _began


def test_a_second_taker_is_told_who_is_at_work_and_the_next_one_gets_it(tmp_path):
    lock = Lock.take(tmp_path)
    with pytest.raises(ProblemError, match=f"locked by process {os.getpid()} on .*at work"):
        Lock.take(tmp_path)
    lock.release()
    assert list(tmp_path.iterdir()) == []
    Lock.take(tmp_path).release()


def test_another_process_is_refused_while_this_one_is_at_work(tmp_path):
    lock = Lock.take(tmp_path)
    code = (
        "import sys, pathlib; from eplb_opt.planner.job.lock import Lock; "
        "Lock.take(pathlib.Path(sys.argv[1]))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert f"locked by process {os.getpid()}" in other.stderr
    lock.release()


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def owned_by(folder, pid, host=None, began=7):
    lock = Lock.take(folder)
    owner = {**json.loads(lock.content), "pid": pid, "began": began}
    (folder / NAME).write_text(json.dumps(owner | ({"host": host} if host else {})))


def test_the_lock_of_a_dead_process_is_taken_over_and_told(tmp_path):
    pid = dead_process()
    owned_by(tmp_path, pid)
    lock = Lock.take(tmp_path)
    assert lock.stale.startswith(f"process {pid} on ")
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(_began(os.getpid()) is None, reason="the system does not tell when it began")
def test_a_process_that_has_only_got_the_number_of_the_dead_one_does_not_count(tmp_path):
    owned_by(tmp_path, os.getpid(), began=7)
    assert Lock.take(tmp_path).stale


def test_nobody_here_can_tell_of_a_process_on_another_machine(tmp_path):
    owned_by(tmp_path, 4, host="elsewhere")
    with pytest.raises(ProblemError, match=f"another machine.*remove {tmp_path / NAME}"):
        Lock.take(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "host": "h"}', '{"pid": 4}'])
def test_what_does_not_say_whose_it_is_stays(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(ProblemError, match="no lock that says whose it is"):
        Lock.take(tmp_path)
    assert (tmp_path / NAME).read_text() == content


def test_a_lock_that_somebody_else_has_by_now_is_not_released(tmp_path):
    lock = Lock.take(tmp_path)
    (tmp_path / NAME).write_text("another's")
    lock.release()
    assert (tmp_path / NAME).exists()


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    lock = Lock.take(tmp_path)
    with pytest.raises(ProblemError, match="at work"):
        Lock.take(tmp_path)
    lock.release()
