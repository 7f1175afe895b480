"""Names of processes, and what can be proved of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from orion_hpc.sharedfs import process_identity
from tests.rigs.waiting import wait_until


def test_a_name_is_read_as_it_was_written():
    """The worker's name in the journal gives back who it was."""
    who = process_identity.own(
        {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    )
    assert who.job == "7_3.0"
    assert process_identity.Identity.parse(str(who)) == who


@pytest.mark.parametrize(
    ("environ", "job"),
    [
        ({}, ""),
        ({"SLURM_JOB_ID": "12"}, "12.0"),
        ({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "2"}, "12.2"),
        ({"SUBMITIT_LOCAL_JOB_ID": "44"}, "local-44"),
    ],
)
def test_the_job_is_named_as_its_launcher_does(environ, job):
    """A requeued task is another worker than the one before, in the same task."""
    assert process_identity.job_name(environ) == job


@pytest.mark.parametrize("text", ["", "host", "host:1", "a:b:c", ".now-17-aa", "../x:1:abcdef.1"])
def test_other_words_are_no_names(text):
    """A file that isn't a worker's is passed over."""
    parsed = process_identity.Identity.parse(text)
    assert parsed is None or str(parsed) == text


def test_a_process_is_gone_only_when_that_is_certain():
    """Alive, ended, reused number, other host, other boot: only two of them are proofs."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = process_identity.start_of(child.pid)
        who = replace(process_identity.own({}), pid=child.pid, start=start)
        assert not who.provably_gone
        assert replace(who, start=start - 1).provably_gone, "the number was given out again"
        assert not replace(who, host="elsewhere", start=1).provably_gone
        assert not replace(who, realm="000000", start=1).provably_gone
        child.stdin.close()
        child.wait()
        assert who.provably_gone


def test_a_zombie_is_gone():
    """A worker that ended is gone though its parent hasn't asked for its exit status."""
    import psutil

    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        process = psutil.Process(child.pid)
        start = process_identity.start_of(child.pid)
        psutil.wait_procs([], timeout=0)
        while process.status() != psutil.STATUS_ZOMBIE:
            pass
        assert replace(process_identity.own({}), pid=child.pid, start=start).provably_gone


def test_a_stopped_process_is_seen_to_be_stopped():
    """By SIGSTOP, on this host; it isn't gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        who = replace(
            process_identity.own({}), pid=child.pid, start=process_identity.start_of(child.pid)
        )
        assert not who.stopped
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(lambda: who.stopped, 10, "the process is stopped")
        assert who.provably_alive
        assert not replace(who, host="elsewhere").stopped
        os.kill(child.pid, signal.SIGCONT)
        wait_until(lambda: not who.stopped, 10, "it goes on")
