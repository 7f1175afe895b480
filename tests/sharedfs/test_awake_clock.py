"""The clock that stands still while a process is stopped."""

from __future__ import annotations

from orion_hpc.sharedfs.awake_clock import AwakeClock


def test_a_gap_between_two_readings_doesnt_count() -> None:
    """But for what a busy machine may be late; small steps all count."""
    now = 100.0
    clock = AwakeClock(lambda: now)
    first = clock()
    for _ in range(10):
        now += 2.0
        clock()
    assert clock() - first == 20.0
    assert clock.missed == 0.0
    now += 3600.0
    assert clock() - first == 20.0 + AwakeClock.GAP
    assert clock.missed == 3600.0 - AwakeClock.GAP
    now += 1.0
    assert clock() - first == 21.0 + AwakeClock.GAP
