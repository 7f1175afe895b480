"""What Slurm's names of tasks and of states mean."""

from __future__ import annotations

import pytest

from orion_hpc.slurm.tasks import Tasks, parse_indices, parse_job_id, phase


@pytest.mark.parametrize(
    ("text", "job", "tasks"),
    [
        ("12", "12", []),
        ("12_3", "12", [3]),
        ("12_0", "12", [0]),
        ("12_[3-7%2]", "12", [3, 4, 5, 6, 7]),
        ("12_[1,3,5-6]", "12", [1, 3, 5, 6]),
        ("12_[0-20:5%4]", "12", [0, 5, 10, 15, 20]),
        ("12_[9]", "12", [9]),
        ("12+1", "12", []),
        (" 12_3 ", "12", [3]),
    ],
)
def test_every_form_of_a_job_id_is_read(text, job, tasks) -> None:
    parsed = parse_job_id(text)
    assert parsed is not None
    assert (parsed[0], [index for indices in parsed[1] for index in indices]) == (job, tasks)


@pytest.mark.parametrize(
    "text",
    ["", "x", "12_", "12_[", "12_[]", "12_[1,3,...]", "12_[3-1]", "12_[1-", "12.batch", "12_x",
     "12_[0-99999999999]", "-1", "12_[1-2-3]"],
)  # fmt: skip
def test_what_is_cut_short_or_isnt_one_is_refused(text) -> None:
    """Rather no answer than one that lacks tasks."""
    assert parse_job_id(text) is None


def test_a_million_tasks_cost_nothing() -> None:
    """A list of tasks stays a list of ranges."""
    parsed = parse_indices("0-3999999%1000")
    assert parsed == (range(4_000_000),)


@pytest.mark.parametrize(
    ("means", "states"),
    [
        ("waits", "PENDING REQUEUED REQUEUE_HOLD REQUEUE_FED SPECIAL_EXIT CONFIGURING"),
        ("runs", "RUNNING SUSPENDED STOPPED SIGNALING RESIZING"),
        ("ends", "COMPLETING STAGE_OUT"),
        ("over", "COMPLETED CANCELLED FAILED TIMEOUT PREEMPTED DEADLINE OUT_OF_MEMORY BOOT_FAIL"),
        ("lost", "NODE_FAIL"),
        ("unclear", "REVOKED NEW_IN_SLURM_30"),
    ],
)  # fmt: skip
def test_every_state_has_a_meaning(means, states) -> None:
    """squeue(1), JOB STATE CODES."""
    assert {phase(state) for state in states.split()} == {means}


def test_sacct_adds_words_to_a_state() -> None:
    assert phase("CANCELLED by 1000") == "over"
    assert phase("CANCELLED+") == "over"
    assert phase("") == "unclear"


def test_tasks_know_their_own() -> None:
    """Task 3 of array 12 is neither job 12 nor task 3 of array 13."""
    tasks = Tasks("12", (range(3, 8),), "PENDING")
    assert tasks.count == 5
    assert tasks.has("12", 3)
    assert not tasks.has("12", 8)
    assert not tasks.has("13", 3)
    assert not tasks.has("12", None)
    assert Tasks("12", (), "RUNNING").has("12", None)
    assert not Tasks("12", (), "RUNNING").has("12", 3)


@pytest.mark.parametrize(
    ("state", "counts"),
    [("PENDING", True), ("RUNNING", True), ("REVOKED", True), ("COMPLETING", False),
     ("NODE_FAIL", False), ("TIMEOUT", False)],
)  # fmt: skip
def test_what_may_still_work_is_in_the_queue(state, counts) -> None:
    """An unknown state counts: a task too many finds nothing to do, one too few is missed."""
    assert Tasks("12", (), state).in_queue is counts
