"""Which tasks count as ended before they were workers, and what is shown of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.experiments.failed_starts import FailedStarts, failed_starts
from orion_hpc.experiments.summary import experiment_summary, status_notes
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout


class Place:
    """An experiment with launches, and the files of their jobs."""

    def __init__(self, folder: Path) -> None:
        self.database = str(folder / "db.pkl")
        self.state = ExperimentState(1, "quick", 1, {}, 0.0, 8, 3)

    def launch(self, *jobs: str, launcher: str = "slurm", logs: str = "", **files: str) -> Path:
        """Record a launch, and write ``files`` of its folder; ``logs`` is the pattern of its
        logs."""
        jobs_folder = Path(layout.jobs_folder(self.database, "quick-v1"))
        folder = jobs_folder / f"{launcher}-{len(self.state.jobs)}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name.removeprefix("_").replace("__", ".")).write_text(text)
        launched = ev.LaunchJobs(
            launcher, jobs, logs or str(folder / "*_log.out"), len(self.state.jobs)
        )
        assert self.state.apply(launched)
        return folder

    def failed(
        self, *signs: str, queued: set[str] | None = frozenset(), since: float = 0.0
    ) -> FailedStarts | None:
        return failed_starts(self.state, self.database, signs, queued, since)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


DEAD = "module: command not found\n"


def test_the_tasks_since_the_last_worker_count(place: Place) -> None:
    """Each log is a task; a launch that has had a worker ends the row, one in the queue doesn't
    count."""
    place.launch("11", _11_0_log__out=DEAD)
    place.launch("12", _12_0_log__out="")
    place.launch("13", _13_0_log__out=DEAD, _13_1_log__out=DEAD)
    place.launch("14")
    place.launch("15", _15_log__out="old\n\n" + "line\n" * 12 + DEAD)
    failed = place.failed("h:1:abcdef.5:12_0.0", queued={"14"})
    assert failed is not None
    assert (failed.tasks, failed.job) == (3, "15")
    assert failed.lines == ("line",) * 9 + (DEAD.strip(),)
    assert failed.path is not None
    assert failed.path.endswith("slurm-4/15_log.out")
    late = place.failed("h:1:abcdef.5:12_0.0", queued={"14"}, since=4)
    assert late is not None
    assert late.tasks == 1
    assert place.failed("h:1:abcdef.5:15.0") is None
    assert place.failed(queued={"11", "12", "13", "14", "15"}) is None


@pytest.mark.parametrize("how", ["departure", "trial"])
def test_a_worker_that_is_gone_was_one(place: Place, how: str) -> None:
    """Its sign of life is removed; the journal has what it did."""
    place.launch("12", _12_0_log__out=DEAD)
    worker = "h:1:abcdef.5:12_0.2"
    if how == "departure":
        place.state.apply(ev.LeaveWorker(worker, 0.0, 1.0, 1, 1, None, None, 0))
    else:
        place.state.apply(ev.RegisterTrial(0, {"x": 1}, 0.0))
        place.state.apply(ev.ReserveTrial(0, 1, worker, 0.0))
        place.state.apply(ev.ReleaseTrial(0, 1, "interrupted", "lost worker", "", 1.0))
        place.state.apply(ev.ReserveTrial(0, 2, "h:1:abcdef.9", 0.0))
    assert place.failed() is None


def test_a_launch_without_files_is_one_task(place: Place) -> None:
    """Jobs that were cancelled before they began have no log: ``status`` says nothing of them."""
    place.launch("12")
    failed = place.failed()
    assert failed == FailedStarts(1, "12")
    assert (
        failed.text == "the last task ended before a worker started (job 12), and there is no log"
    )
    (note,) = status_notes([experiment_summary(place.state, {}, [], (), failed)])
    assert note.startswith("quick v1: no worker is running and no task is in the queue;")


def test_a_workers_own_report_is_shown_before_its_log(place: Place, tmp_path: Path) -> None:
    """Also if the logs are elsewhere, and if Slurm doesn't say whether the job is over."""
    place.launch(
        "12", logs=str(tmp_path / "none-%j.txt"), _12_0__err="no library", _12_3__err="no library"
    )
    place.launch("1", logs="/dev/null")
    failed = place.failed(queued=None)
    assert failed is not None
    assert (failed.tasks, failed.job, failed.lines) == (2, "12", ("no library",))
    assert status_notes([experiment_summary(place.state, {}, None, (), failed)]) == [
        f"quick v1: the last 2 tasks ended before a worker started (job 12); {failed.path} ends "
        "with:\n  no library",
        "quick v1: fix the cause; then 'orion-hpc resume CONFIG' continues.",
    ]


def test_of_processes_of_this_machine_only_reports_count(place: Place) -> None:
    """Others may still run; a job in Slurm of the same number is another."""
    folder = place.launch("12", launcher="local", _12_0_log__out="")
    assert place.failed("h:1:abcdef.5:12.0", queued=set()) is None
    (folder / "12.err").write_text("no library\n")
    failed = place.failed("h:1:abcdef.5:12.0", queued=set())
    assert failed is not None
    assert failed.lines == ("no library",)
    assert place.failed("h:1:abcdef.5:local-12") is None


def test_logs_of_other_launches_do_not_count(place: Place, tmp_path: Path) -> None:
    """A pattern of the user's matches those of all jobs, or is one file for all."""
    for name in ("quick-12.txt", "quick-13.txt", "all.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    place.launch("13", logs=str(tmp_path / "%x-%j.txt"))
    failed = place.failed()
    assert failed is not None
    assert (failed.tasks, failed.lines) == (1, ("quick-13.txt",))
    place.launch("14", logs=str(tmp_path / "all.txt"))
    failed = place.failed()
    assert failed is not None
    assert (failed.tasks, failed.lines) == (2, ("all.txt",))
