"""How a large array is divided."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.jobs.slurm import ArrayPart, split_tasks


def test_what_fits_stays_one_array() -> None:
    assert split_tasks(1001, None, 1001) == [ArrayPart(1001, None)]
    assert split_tasks(50, 10, None) == [ArrayPart(50, 10)]


def test_the_throttle_is_shared() -> None:
    assert split_tasks(2500, 100, 1001) == [
        ArrayPart(834, 34),
        ArrayPart(833, 33),
        ArrayPart(833, 33),
    ]


def test_a_throttle_of_fewer_than_there_are_arrays_lets_them_follow_each_other() -> None:
    assert split_tasks(10, 2, 2) == [
        ArrayPart(2, 1),
        ArrayPart(2, 1),
        ArrayPart(2, 1, 0),
        ArrayPart(2, 1, 1),
        ArrayPart(2, 1, 2),
    ]


@given(
    tasks=st.integers(1, 5000),
    throttle=st.none() | st.integers(1, 300),
    most=st.none() | st.integers(1, 1001),
)
def test_nothing_is_lost_and_no_bound_is_passed(tasks, throttle, most) -> None:
    """All tasks are in some array, none is too large, and at no time too many can run."""
    parts = split_tasks(tasks, throttle, most)
    assert sum(part.tasks for part in parts) == tasks
    assert all(1 <= part.tasks <= (most or tasks) for part in parts)
    if throttle is not None:
        free = [part for part in parts if part.after is None]
        assert sum(part.throttle or part.tasks for part in free) <= throttle
        # Each of the others takes the place of one that is over, and of no other's.
        followed = [part.after for part in parts if part.after is not None]
        assert len(set(followed)) == len(followed)
        assert all((part.after or 0) <= number for number, part in enumerate(parts))
        assert all(part.throttle == 1 for part in parts if part.after is not None)
