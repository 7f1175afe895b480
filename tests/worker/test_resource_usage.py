"""What an attempt used, measured on processes that use it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from orion_hpc.worker.resource_usage import Gauge

BURN = """
import time
data = bytearray({megabytes} * 1_000_000)
while time.process_time() < {seconds}:
    pass
"""


def burn(seconds: float) -> float:
    """Use the processor for so long; return how much it was."""
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        pass
    return time.thread_time() - begin


@pytest.mark.parametrize("seconds", [0.05, 0.7])
def test_processor_time_and_memory_of_this_process(seconds):
    """Of a short attempt, too short to be looked at, and of a longer one."""
    gauge = Gauge()
    gauge.begin()
    data = bytearray(150_000_000)
    used = burn(seconds)
    found = gauge.end()
    assert found is not None
    cpu, peak = found
    assert used - 0.02 <= cpu <= used + 5
    assert peak >= len(data)


def test_a_child_that_has_ended_counts(tmp_path):
    gauge = Gauge()
    gauge.begin()
    program = BURN.format(megabytes=250, seconds=0.6)
    subprocess.run([sys.executable, "-c", program], check=True)
    found = gauge.end()
    assert found is not None
    assert found[0] >= 0.55
    assert found[1] >= 240_000_000


def test_a_child_that_lives_on_counts_once():
    """An inner pool is kept for the next attempt, which isn't charged for what was before it."""
    gauge = Gauge()
    program = BURN.format(megabytes=10, seconds=1.0) + "print(flush=True); input()"
    gauge.begin()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as child:
        child.stdout.readline()
        first = gauge.end()
        gauge.begin()
        burn(0.6)
        second = gauge.end()
        child.communicate(b"\n")
    assert first is not None
    assert second is not None
    assert first[0] >= 0.95
    assert 0.55 <= second[0] < 0.95


def test_memory_of_several_children_is_added_up():
    """None of them alone had so much."""
    gauge = Gauge()
    gauge.begin()
    program = BURN.format(megabytes=120, seconds=0.1) + "print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    children = [subprocess.Popen([sys.executable, "-c", program], **pipes) for _ in range(3)]
    try:
        for child in children:
            child.stdout.readline()
        deadline = time.monotonic() + 20
        while gauge._peak < 360_000_000 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        for child in children:
            child.communicate(b"\n")
    found = gauge.end()
    assert found is not None
    assert found[1] >= 360_000_000


def test_attempts_that_run_at_once_are_not_told_apart():
    """Of threads nobody knows which used what; afterwards it measures again."""
    gauge = Gauge()
    gauge.begin()
    gauge.begin()
    assert gauge.end() is None
    assert gauge.end() is None
    gauge.begin()
    assert gauge.end() is not None


def test_the_thread_isnt_started_twice():
    before = threading.active_count()
    gauge = Gauge()
    for _ in range(3):
        gauge.begin()
        gauge.end()
    assert threading.active_count() == before + 1
