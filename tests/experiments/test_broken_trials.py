"""Broken trials are grouped by their reasons."""

from __future__ import annotations

import pytest

from orion_hpc.experiments.broken_trials import BrokenGroup, broken_groups
from orion_hpc.model.trial_record import BROKEN, TrialRecord

NAN = "the objective 'o' is nan\nOnly finite numbers can be compared."
TRACE = "ValueError: no\nTraceback (most recent call last):\n  File 'a', line {}\nValueError: no"


def broken(number: int, message: str | None, cause: str = "user error") -> TrialRecord:
    return TrialRecord(number, {}, 0.0, BROKEN, 1, cause=cause, message=message)


def test_the_most_frequent_comes_first() -> None:
    """By cause and first line; where a traceback differs, they are one reason."""
    trials = [broken(0, TRACE.format(1)), broken(1, NAN), broken(2, NAN), broken(3, NAN, "killed")]
    trials.append(broken(4, TRACE.format(2)))
    trials.append(broken(5, NAN))
    found = broken_groups(trials)
    assert [(one.cause, one.reason, one.numbers) for one in found] == [
        ("user error", "the objective 'o' is nan", (1, 2, 5)),
        ("user error", "ValueError: no", (0, 4)),
        ("killed", "the objective 'o' is nan", (3,)),
    ]
    assert [one.advice for one in found] == [
        "Only finite numbers can be compared.",
        "",
        found[0].advice,
    ]
    assert found[1].message == TRACE.format(2)
    whole = broken_groups(trials, whole=True)
    assert [one.numbers for one in whole] == [(0,), (1, 2, 5), (3,), (4,)]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "trial 3"),
        ([3, 4], "trials 3 and 4"),
        ([1, 2, 3, 4, 5, 6], "trials 1, 2, 3, 4, 5 and 6"),
        (range(40), "trials 0, 1, 2, 3, 4 and 35 others"),
    ],
)
def test_trials_as_text(numbers, text: str) -> None:
    """Of many the first ones are named."""
    assert BrokenGroup("killed", "", tuple(numbers)).trials == text


def test_no_reason() -> None:
    """Is said, too; a long one is cut."""
    (one,) = broken_groups([broken(0, None)])
    assert (one.reason, one.advice) == ("no reason recorded", "")
    (one,) = broken_groups([broken(0, "a" * 9999)])
    assert len(one.reason) == 501
