"""What is read from squeue and sacct, and from their refusals."""

from __future__ import annotations

import pytest

from orion_hpc.slurm import commands
from orion_hpc.slurm.queue import Ended, cancel, ended, in_queue, queued, recorded
from orion_hpc.slurm.tasks import Tasks
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.slurm import SlurmCluster
from tests.rigs.waiting import wait_until


def counts(jobs: list[str]) -> int | None:
    found = in_queue(jobs)
    return None if found is None else sum(tasks.count for tasks in found)


def test_tasks_that_wait_or_run_are_counted(fake_slurm: FakeSlurm) -> None:
    """Also those that squeue tells together, and none that ends."""
    fake_slurm.answer(
        "squeue",
        "12|3-7%2|PENDING|0|Priority|my | job|\n12|1|RUNNING|2|None|my | job|\n"
        "12|2|COMPLETING|0|None|my | job|\n14|N/A|COMPLETED|0|None|other|\n",
    )
    assert in_queue(["12", "14"]) == [
        Tasks("12", (range(3, 8),), "PENDING", 0, "Priority", "my | job"),
        Tasks("12", (range(1, 2),), "RUNNING", 2, "None", "my | job"),
    ]
    (call,) = fake_slurm.calls("squeue")
    assert "--jobs=12,14" in call.argv


def test_without_jobs_nobody_is_asked(fake_slurm: FakeSlurm) -> None:
    assert in_queue([]) == []
    assert recorded([]) == []
    assert fake_slurm.calls("squeue") == fake_slurm.calls("sacct") == []


def test_jobs_that_slurm_has_forgotten_are_over(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    assert in_queue(["12"]) == []


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Access/permission denied",
        "",
    ],
)
def test_no_answer_is_no_news(fake_slurm: FakeSlurm, monkeypatch, said) -> None:
    """Neither that they run nor that they are gone."""
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
    fake_slurm.fail("squeue", said)
    assert in_queue(["12"]) is None


@pytest.mark.parametrize(
    "said",
    [
        "12|3-7%2|PENDING|0|Priority|quick|\n12|1|RUNN",
        "12|3-7%2|PENDING|0|Priority|qui",
        "12|1,3,...|PENDING|0|Priority|quick|",
        "12|",
        "slurm_load_jobs: this is a banner of the site",
    ],
)
def test_an_answer_that_was_cut_short_is_none(fake_slurm: FakeSlurm, said) -> None:
    """Half a list would make the other half look gone."""
    fake_slurm.answer("squeue", said)
    assert queued(["12"]) is None


def test_sacct_steps_in_where_it_knows_every_job(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "slurm_load_jobs error: Access/permission denied")
    fake_slurm.answer(
        "sacct",
        "12_1|RUNNING|quick|orion\n12_[4-9%2]|PENDING|quick|orion\n"
        "12_0|CANCELLED by 7|quick|orion\n",
    )
    assert counts(["12"]) == 7
    assert counts(["12", "13"]) is None


@pytest.mark.parametrize(
    "said", ["12_1|RUNNING|quick", "12_1|RUNNING|quick|", "12_[1,3,...]|PENDING|q|o"]
)
def test_half_a_record_is_none(fake_slurm: FakeSlurm, said) -> None:
    fake_slurm.answer("sacct", said)
    assert recorded(["12"]) is None


def test_a_users_own_filters_hide_no_job(fake_slurm: FakeSlurm, monkeypatch) -> None:
    """A job in another partition than SQUEUE_PARTITION's would count as gone."""
    program = fake_slurm.bin / "squeue"
    program.write_text("#!/bin/sh\nenv | grep -c '^SQUEUE_\\|^SACCT_' >&2; exit 1\n")
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    monkeypatch.setenv("SACCT_FORMAT", "JobID")
    assert commands.ask("squeue").error == "0"


def test_all_are_cancelled_by_one_call(fake_slurm: FakeSlurm) -> None:
    assert cancel(["9", "12"]).ok
    assert [call.argv for call in fake_slurm.calls("scancel")] == [["9", "12"]]


def test_the_real_squeue_tells_what_is_expected(slurm: SlurmCluster) -> None:
    """Waiting tasks together however many pieces they are in, a job that is no array, a requeue."""
    many = ",".join(str(index) for index in range(0, 200, 3))
    array = slurm.run("sbatch", "--parsable", "--hold", f"--array={many}", "--job-name=a | b",
                      "--output=/dev/null", "--wrap=true").stdout.strip()  # fmt: skip
    single = slurm.run("sbatch", "--parsable", "--output=/dev/null", "--requeue",
                       "--wrap=sleep 300").stdout.strip()  # fmt: skip

    def seen() -> dict[tuple[str, str], Tasks]:
        return {(tasks.job, tasks.state): tasks for tasks in queued([array, single]) or ()}

    wait_until(lambda: (single, "RUNNING") in seen(), 30, "the job runs")
    assert seen()[array, "PENDING"].count == 67
    assert seen()[array, "PENDING"].name == "a | b"
    assert seen()[array, "PENDING"].reason == "JobHeldUser"
    assert seen()[single, "RUNNING"].indices == ()
    slurm.run("scontrol", "requeue", single)
    wait_until(
        lambda: any(tasks.requeues == 1 and tasks.in_queue for tasks in seen().values()),
        30,
        "it is requeued",
    )
    slurm.run("scancel", array, single)
    wait_until(lambda: in_queue([array, single]) == [], 30, "both are gone")


def test_which_jobs_are_over_with_all_their_tasks(fake_slurm: FakeSlurm) -> None:
    """One whose processes are being ended may be requeued, and so may one of a lost node."""
    fake_slurm.answer(
        "squeue",
        "12|0|COMPLETED|0|None|a|\n12|1|RUNNING|0|None|a|\n14|N/A|COMPLETED|0|None|a|\n"
        "15|N/A|COMPLETING|0|None|a|\n16|N/A|NODE_FAIL|0|None|a|\n17|N/A|ODD|0|None|a|\n",
    )
    fake_slurm.answer("sacct", "18_0|NODE_FAIL|a|c\n18_1|TIMEOUT|a|c\n19|PENDING|a|c\n")
    assert ended(["12", "14", "15", "16", "17", "18", "19", "20"]) == Ended(
        frozenset({"14", "18"}), frozenset({"20"})
    )


def test_without_the_controller_no_job_is_over(fake_slurm: FakeSlurm) -> None:
    """What is requeued stands as over in the accounting for a while."""
    fake_slurm.fail("squeue", "Access denied")
    fake_slurm.answer("sacct", "12|COMPLETED|a|c\n")
    assert ended(["12"]) is None


def test_what_neither_knows_is_unknown(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    fake_slurm.fail("sacct", "accounting is disabled")
    assert ended(["12"]) == Ended(frozenset(), frozenset({"12"}))
    assert ended([]) == Ended(frozenset(), frozenset())
