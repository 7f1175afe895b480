"""Signs of life: their ages, and when a worker counts as lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from orion_hpc.journal.heartbeat import (
    Heartbeat,
    Liveness,
    Watch,
    read_suspended,
    signs,
    write_suspended,
)
from orion_hpc.sharedfs import process_identity
from orion_hpc.sharedfs.awake_clock import AwakeClock

ELSEWHERE = "elsewhere:1:abcdef.1"


def wait_for(true, seconds: float = 60.0) -> None:
    """Wait until ``true()`` says so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def sign(folder, name: str = ELSEWHERE, interval: float = 60.0, age: float = 0.0) -> str:
    """Leave a worker's file that was touched ``age`` seconds ago; return its path."""
    heartbeat = Heartbeat(str(folder), name, interval, {"host": "h"})
    heartbeat._write()
    then = time.time() - age
    os.utime(heartbeat.path, (then, then))
    return heartbeat.path


def test_a_living_worker_touches_its_file_and_takes_it_away_at_the_end(tmp_path):
    """The file appears before the first reservation, grows no older than the interval, and goes."""
    heartbeat = Heartbeat(str(tmp_path / "workers"), ELSEWHERE, 0.02, {"job": "7_1.0"})
    heartbeat.start()
    found = signs(str(tmp_path / "workers"))[ELSEWHERE]
    assert (found.about, found.interval) == ({"job": "7_1.0"}, 0.02)
    first = os.stat(heartbeat.path).st_mtime_ns
    wait_for(lambda: os.stat(heartbeat.path).st_mtime_ns > first)
    heartbeat.stop()
    assert signs(str(tmp_path / "workers")) == {}
    assert os.listdir(tmp_path / "workers") == []


def test_a_removed_file_comes_back(tmp_path):
    """Somebody who tidies up doesn't make a living worker look dead for long."""
    heartbeat = Heartbeat(str(tmp_path), ELSEWHERE, 0.02, {})
    heartbeat.start()
    os.unlink(heartbeat.path)
    wait_for(lambda: os.path.exists(heartbeat.path))
    heartbeat.stop()


def test_a_worker_that_could_not_release_leaves_its_file(tmp_path):
    """Its silence is what the others find it by."""
    heartbeat = Heartbeat(str(tmp_path), ELSEWHERE, 60, {})
    heartbeat.start()
    heartbeat.stop(remove=False)
    assert list(signs(str(tmp_path))) == [ELSEWHERE]


@pytest.mark.parametrize(("age", "silent"), [(0, False), (119, False), (122, True)])
def test_two_missed_intervals_are_silence(tmp_path, age, silent):
    """The worker's own interval counts, whatever the reader's is."""
    sign(tmp_path, age=age)
    assert signs(str(tmp_path))[ELSEWHERE].silent == silent


def test_silence_is_a_proof_only_when_it_lasts(tmp_path):
    """After a clock was set every worker looks silent until its next touch: nobody is robbed."""
    sign(tmp_path, age=3600)
    now = 7.0
    watch = Watch(str(tmp_path), interval=60, awake=lambda: now)
    assert watch.lost([ELSEWHERE]) == set()
    now += 80
    sign(tmp_path, age=3000)
    assert watch.lost([ELSEWHERE]) == set(), "it was touched, whatever the time it bears"
    now += 80
    assert watch.lost([ELSEWHERE]) == set()
    now += 20
    assert watch.lost([ELSEWHERE]) == {ELSEWHERE}


def test_a_process_that_runs_here_is_never_lost(tmp_path):
    """One that is stopped, or holds Python's lock for minutes, gives no sign and lives."""
    name = str(process_identity.own({}))
    sign(tmp_path, name, age=1e6)
    assert not signs(str(tmp_path))[name].silent
    watch = Watch(str(tmp_path), interval=0.0)
    assert [watch.lost([name]) for _ in range(3)] == [set()] * 3


def test_ages_do_not_come_from_this_hosts_clock(tmp_path, monkeypatch):
    """A host whose clock is a day off judges nobody by it: the file server's times are compared."""
    sign(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 86_400.0 * 365 * 80)
    assert abs(signs(str(tmp_path))[ELSEWHERE].age) < 60


def test_a_missing_file_is_a_proof_only_when_it_stays_away(tmp_path):
    """A stale directory cache at first sight must not cost a living worker its trial."""
    now = 7.0
    watch = Watch(str(tmp_path), interval=10, awake=lambda: now)
    assert watch.lost([ELSEWHERE]) == set()
    now += 19
    assert watch.lost([ELSEWHERE]) == set()
    path = sign(tmp_path)
    now += 2
    assert watch.lost([ELSEWHERE]) == set(), "it came to light"
    os.unlink(path)
    assert watch.lost([ELSEWHERE]) == set(), "the waiting starts anew"
    now += 21
    assert watch.lost([ELSEWHERE]) == {ELSEWHERE}


def test_a_process_of_this_host_that_ended_is_lost_at_once(tmp_path):
    """On a laptop nobody waits two minutes for a worker that was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = process_identity.start_of(child.pid)
        name = str(replace(process_identity.own({}), pid=child.pid, start=start))
        sign(tmp_path, name)
        watch = Watch(str(tmp_path), interval=60)
        assert watch.lost([name]) == set()
        child.kill()
        child.wait()
        assert watch.lost([name]) == {name}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"interval": "x"}', b"\xff\xfe", b"nul"])
def test_a_file_with_garbage_in_it_is_passed_over(tmp_path, content):
    """A half-written or foreign file is no sign and no error."""
    (tmp_path / ELSEWHERE).write_bytes(content)
    (tmp_path / "notes.txt").write_text("mine")
    assert signs(str(tmp_path)) == {}


def test_a_folder_that_is_not_there_has_no_signs(tmp_path):
    """``status`` of an experiment that nobody has run makes no folder."""
    assert signs(str(tmp_path / "none")) == {}
    assert not (tmp_path / "none").exists()


def test_who_is_spared_has_as_long_again_to_give_a_sign(tmp_path):
    """Suspended jobs are resumed before their signs of life can be seen here."""
    sign(tmp_path, age=3600)
    now, verdict = 7.0, Liveness(spared={ELSEWHERE})
    asked = []

    def judge(signs, silent):
        asked.append((set(signs), set(silent)))
        return verdict

    watch = Watch(str(tmp_path), 60, judge, awake=lambda: now)
    assert watch.lost([ELSEWHERE]) == set()
    now += 100
    assert watch.lost([ELSEWHERE]) == set()
    assert asked == [({ELSEWHERE}, set()), ({ELSEWHERE}, {ELSEWHERE})]
    verdict = Liveness()
    now += 80
    assert watch.lost([ELSEWHERE]) == set()
    now += 20
    assert watch.lost([ELSEWHERE]) == {ELSEWHERE}


def test_a_worker_that_is_stopped_here_is_asked_of_and_not_lost(tmp_path):
    """Its silence proves nothing, since it is seen to live; Slurm's word alone has it handed on."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = process_identity.start_of(child.pid)
        name = str(replace(process_identity.own({}), pid=child.pid, start=start, job="7.0"))
        sign(tmp_path, name, age=3600)
        now, verdict = 7.0, Liveness()
        watch = Watch(str(tmp_path), 60, lambda signs, silent: verdict, awake=lambda: now)
        os.kill(child.pid, signal.SIGSTOP)
        wait_for(lambda: process_identity.Identity.parse(name).stopped)
        for _ in range(3):
            assert watch.lost([name]) == set()
            now += 1000
        verdict = Liveness(gone={name})
        assert watch.lost([name]) == {name}
        os.kill(child.pid, signal.SIGCONT)


def test_who_was_stopped_itself_hasnt_watched_anybody(tmp_path):
    """Jobs are suspended together and come back together: nobody robs the others."""
    sign(tmp_path, age=3600)
    now = 7.0
    watch = Watch(str(tmp_path), 60, awake=AwakeClock(lambda: now))
    assert watch.lost([ELSEWHERE]) == set()
    now += 3600
    assert watch.lost([ELSEWHERE]) == set()


def test_a_sign_is_given_as_soon_as_the_process_goes_on(tmp_path):
    """It was due while the process was stopped; nobody has to wait for the next interval.

    Its clock says that it was stopped for two hours, which a test can't wait for.
    """
    program = (
        "import os, sys, threading, time\n"
        "from orion_hpc.journal.heartbeat import Heartbeat\n"
        "real, (late, ready) = time.monotonic, sys.argv[3:]\n"
        "def monotonic():\n"
        "    now = real() + (7200.0 if os.path.exists(late) else 0.0)\n"
        "    if threading.current_thread() is not threading.main_thread():\n"
        "        open(ready, 'w').close()\n"  # it knows when the next sign is due
        "    return now\n"
        "time.monotonic = monotonic\n"
        "beat = Heartbeat(sys.argv[1], sys.argv[2], 3600.0, {})\n"
        "beat.start()\n"
        "input()\n"
    )
    late, ready = tmp_path / "late", tmp_path / "ready"
    words = [str(tmp_path), ELSEWHERE, str(late), str(ready)]
    with subprocess.Popen([sys.executable, "-c", program, *words], stdin=subprocess.PIPE) as child:
        path = tmp_path / ELSEWHERE
        wait_for(ready.exists)
        os.kill(child.pid, signal.SIGSTOP)
        before = path.stat().st_mtime_ns
        late.touch()
        os.kill(child.pid, signal.SIGCONT)
        wait_for(lambda: path.stat().st_mtime_ns > before)


def test_who_is_suspended_is_told_to_the_others_for_a_while(tmp_path):
    """Whole, or not at all; garbage tells nothing."""
    folder = str(tmp_path)
    assert read_suspended(folder, 60) == set()
    write_suspended(folder, {ELSEWHERE, "b"})
    assert read_suspended(folder, 60) == {ELSEWHERE, "b"}
    assert signs(folder) == {}
    (path,) = tmp_path.iterdir()
    os.utime(path, (time.time() - 61, time.time() - 61))
    assert read_suspended(folder, 60) == set()
    for content in (b"", b"{}", b"[1", b'[1, ["x"]]', b"\xff"):
        path.write_bytes(content)
        assert read_suspended(folder, 60) == set()
