"""How often tasks that are gone are replaced."""

from __future__ import annotations

import itertools

from orion_hpc.jobs.replenishment import Patience


def test_jobs_that_fail_at_once_are_replaced_less_and_less_often() -> None:
    """Ten seconds, twenty, … ten minutes, as long as no trial is completed."""
    patience = Patience()
    times = [second for second in range(4000) if patience.may(float(second), 0)]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert times[0] == 0
    assert gaps == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]


def test_progress_makes_it_quick_again() -> None:
    patience = Patience()
    times = [second for second in range(100) if patience.may(float(second), 0)]
    assert not patience.may(100.0, 0)
    assert patience.may(100.0, 1)
    assert not patience.may(109.0, 1)
    assert patience.may(110.0, 1)
    assert times
