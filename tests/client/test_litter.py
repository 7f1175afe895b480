"""What of an experiment's files is litter, by names and facts alone."""

from __future__ import annotations

import pytest

from orion_hpc.client import litter
from orion_hpc.client.litter import DAY, JOBS, LOGS, Use

GONE, ALIVE = "h:1:abcdef.9:12_3.0", "h:2:abcdef.9:15_1.0"
LOCAL = "h:3:abcdef.9:local-77"
USE = Use({ALIVE, LOCAL}, {"15"})
SLURM, HERE = "slurm-20260101-101010-5-0123abcd", "local-20260101-101010-5-0123abcd"


@pytest.mark.parametrize(
    ("name", "age", "expected"),
    [
        (GONE, 0, True),
        (f"{GONE}.new", 0, True),
        (ALIVE, 9 * DAY, False),
        (".turn", 2 * DAY, True),
        (".turn", 60, False),
        (".now-7-0a0b0c0d", 2 * DAY, True),
        (".now-7-0a0b0c0d", 60, False),
        ("notes.txt", 9 * DAY, False),
        (".mine", 9 * DAY, False),
    ],
)
def test_signs_of_life(name, age, expected):
    assert litter.is_sign_litter(name, age, USE) == expected


def names(*given: str, age: float = 0.0) -> dict[str, float]:
    return dict.fromkeys(given, age)


def test_the_files_of_an_array_that_is_over():
    found = names("12_0_submitted.pkl", "12_0_0_result.pkl", "12_submission.sh", "12_0_0_log.out",
                  "12_3.out", "plot.png")  # fmt: skip
    assert litter.job_litter(SLURM, found, USE) == {
        "12_0_submitted.pkl": JOBS, "12_0_0_result.pkl": JOBS, "12_submission.sh": JOBS,
        "12_0_0_log.out": LOGS, "12_3.out": LOGS,
    }  # fmt: skip
    assert litter.job_litter("mine", found, USE) == {}


@pytest.mark.parametrize(
    ("launch", "files", "use"),
    [
        (SLURM, names("15_0_submitted.pkl"), USE),  # it waits
        (SLURM, names("12_0_submitted.pkl", "15_0_log.out"), USE),
        (SLURM, names("12_0_submitted.pkl"), Use((), None)),  # Slurm doesn't say
        (SLURM, names("12_0_submitted.pkl"), Use({GONE}, ())),  # its worker may live
        (SLURM, names("0a" * 16 + ".pkl"), USE),  # it is being submitted
        (HERE, names("77_submitted.pkl"), USE),
    ],
)
def test_what_may_be_used_stays(launch, files, use):
    assert litter.job_litter(launch, files, use) == {}


def test_a_submission_that_came_to_nothing():
    assert litter.job_litter(SLURM, names("0a" * 16 + ".pkl", age=2 * DAY), USE)
    assert litter.job_litter(HERE, names("78_submitted.pkl"), USE)


def test_marks_functions_copies_and_trials():
    assert litter.is_mark_litter(".over-12", USE)
    assert not litter.is_mark_litter(".over-15", USE)
    packed = "function-0123456789abcdef.pkl"
    assert litter.is_packed_litter(packed, True, Use((), ()))
    for is_done, use in ((False, Use((), ())), (True, USE), (True, Use((), None))):
        assert not litter.is_packed_litter(packed, is_done, use)
    assert litter.is_code_litter(".new-7-00ff00ff", 2 * DAY)
    assert not litter.is_code_litter(".new-7-00ff00ff", 60)
    assert not litter.is_code_litter("0123456789abcdef", 9 * DAY)
    statuses = {0: "completed", 1: "broken", 2: "interrupted", 3: "reserved", 4: "new"}
    found = [name for name in ("0", "1", "2", "3", "4", "5", "x")
             if litter.is_trial_litter(name, statuses)]  # fmt: skip
    assert found == ["0", "1"]
