"""Suspended jobs on a real Slurm cluster: whose trial is kept, whose is handed on, and that it is
never the trial's fault.

Every node has a host name of its own, so that a worker is known to the others by its sign of life
and Slurm's word alone, as on real nodes. A trial runs until the test opens its gate.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import (
    COMPLETED,
    INTERRUPTED,
    RESERVED,
    WORKER_SUSPENDED,
    TrialRecord,
)
from orion_hpc.sharedfs.process_identity import Identity
from tests.cli.test_disasters_slurm import own_hosts
from tests.rigs.command import orion_hpc, project, status_of
from tests.rigs.slurm import SlurmCluster, missing_for_slurm
from tests.rigs.waiting import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

CONFIG = """\
name: gated
function: gated:main
trial_arg: trial
space: {{x: "uniform(0, 1)"}}
algorithm: {{random: {{seed: 1}}}}
max_trials: {trials}
max_broken: 1
worker: {{heartbeat: 1, idle_timeout: 120, grace: 1, trial_time: off, on_suspend: {on_suspend}}}
slurm: {{array: 2, cpus-per-task: 5, time: 10, mem: 500M}}
"""

GATED = """\
import os, time
from pathlib import Path

HERE = Path(__file__).parent

def main(x, trial):
    with open(HERE / "begun", "a") as file:
        file.write(f"{trial.number} {trial.attempt} {os.environ['SLURM_ARRAY_TASK_ID']}\\n")
    names = ["all", f"gate-{trial.number}", f"gate-{trial.number}-{trial.attempt}"]
    gates = [HERE / name for name in names]
    while not any(gate.exists() for gate in gates):
        time.sleep(0.02)
    return x
"""


class Search:
    """An experiment whose trials end when they are let go."""

    def __init__(self, slurm: SlurmCluster, folder: Path, trials: int, on_suspend: str) -> None:
        self.slurm = slurm
        text = CONFIG.format(trials=trials, on_suspend=on_suspend)
        self.config = project(folder / "p", text, gated=GATED)
        self.words = ("--template", str(own_hosts(self.config.parent)))
        self.job = self.submit()

    def submit(self, *words: str) -> str:
        """Submit; return the job's id."""
        done = orion_hpc("submit", self.config, *self.words, *words, cwd=self.config.parent)
        assert done.returncode == 0, done.stderr
        job: str = status_of(self.config)["jobs"][-1]["ids"][0]
        return job

    def let_go(self, gate: str) -> None:
        (self.config.parent / gate).touch()

    @property
    def begun(self) -> list[tuple[int, int, str]]:
        """TrialRecord, attempt and task of each beginning."""
        path = self.config.parent / "begun"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(n), int(a), task) for n, a, task in map(str.split, lines)]

    def await_begun(self, number: int, attempt: int) -> str:
        """Return which task runs this attempt, once one does."""

        def tasks() -> list[str]:
            return [task for n, a, task in self.begun if (n, a) == (number, attempt)]

        try:
            wait_until(lambda: bool(tasks()), 60, f"attempt {attempt} of trial {number}")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error
        return tasks()[0]

    @property
    def trials(self) -> list[TrialRecord]:
        return PickledDB(str(self.config.parent / "db.pkl")).refresh().experiments[1].trials

    def await_status(self, number: int, status: str, timeout: float = 60) -> None:
        wait_until(
            lambda: self.trials[number].status == status, timeout, f"trial {number} to be {status}"
        )

    def suspend(self, task: str) -> None:
        self.slurm.run("scontrol", "suspend", f"{self.job}_{task}")

    def resume(self, task: str) -> None:
        self.slurm.run("scontrol", "resume", f"{self.job}_{task}")

    def logs(self) -> str:
        found = self.config.parent.glob("db.pkl.files/*/jobs/*/*.out")
        return "\n".join(path.read_text() for path in sorted(found))

    def log_of(self, worker: str) -> str:
        """Return what the job of a worker wrote."""
        found = self.config.parent.glob("db.pkl.files/*/jobs/*/*.out")
        return next(text for path in found if f"worker {worker}:" in (text := path.read_text()))

    def silence(self, worker: str) -> float:
        """Return how many seconds ago a worker gave its last sign of life, by this host's clock."""
        (path,) = self.config.parent.glob(f"db.pkl.files/*/workers/{worker}")
        return max(0.0, time.time() - path.stat().st_mtime)


@pytest.fixture
def started(slurm: SlurmCluster, tmp_path: Path):
    """Start a search; whatever it holds back is let go at the end."""
    made: list[Search] = []

    def start(trials: int = 2, on_suspend: str = "auto") -> Search:
        made.append(Search(slurm, tmp_path, trials, on_suspend))
        return made[-1]

    yield start
    for search in made:
        search.let_go("all")


def of_worker(worker: str) -> list[str]:
    """Return the states of the processes that a worker is made of."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("ORION_HPC_WORKER_ID") == worker:
                found.append(process.status())
    who = Identity.parse(worker)
    assert who is not None
    return [*found, psutil.Process(who.pid).status()]


def test_a_suspended_worker_keeps_its_trial(started) -> None:
    """With ``keep`` nobody takes it, however long the silence lasts; all its processes stand still,
    ``status`` says so, and when it is resumed it completes the trial."""
    search = started(trials=2, on_suspend="keep")
    task, _ = search.await_begun(0, 1), search.await_begun(1, 1)
    worker = search.trials[0].worker
    assert worker is not None
    search.suspend(task)
    # The other one idles, and looks every second.
    search.let_go("gate-1")
    search.await_status(1, COMPLETED)
    wait_until(lambda: search.silence(worker) > 8, 30, "twice the silence of a lost worker")
    assert set(of_worker(worker)) == {psutil.STATUS_STOPPED}
    told = status_of(search.config)
    assert told["suspended"] == [worker]
    assert told["silent"] == []
    shown = orion_hpc("status", search.config).stdout
    assert "2 (1 suspended)" in " ".join(shown.split())
    assert f"worker {worker} is suspended" in " ".join(shown.split())
    trial = search.trials[0]
    assert (trial.status, trial.attempt, trial.worker) == (RESERVED, 1, worker)
    assert f"worker {worker} is suspended, Slurm says" in search.logs()
    search.resume(task)
    search.let_go("gate-0")
    search.slurm.wait_for_jobs()
    assert [(one.status, one.attempt) for one in search.trials] == [(COMPLETED, 1)] * 2
    assert "is gone" not in search.logs()


@pytest.mark.parametrize("on_suspend", ["release", "auto"])
def test_what_a_suspended_worker_held_is_handed_on(started, on_suspend) -> None:
    """Another completes it. The late one is told that its reservation is lost, and goes on with
    the next trial."""
    search = started(trials=2, on_suspend=on_suspend)
    task, other = search.await_begun(0, 1), search.await_begun(1, 1)
    late = search.trials[0].worker
    search.suspend(task)
    search.let_go("gate-1")
    assert search.await_begun(0, 2) == other
    assert status_of(search.config)["suspended"] == [late]
    assert search.submit("--max-trials", "3") == search.job, "the suspended task still counts"
    search.resume(task)
    search.let_go("gate-0-1")
    assert search.await_begun(2, 1) == task
    assert "trial 0: reservation lost: attempt 1 was taken" in search.log_of(late)
    search.let_go("all")
    search.slurm.wait_for_jobs()
    trials = search.trials
    assert [one.status for one in trials] == [COMPLETED] * 3
    assert [(one.attempt, one.losses) for one in trials] == [(2, 0), (1, 0), (1, 0)]
    assert f"worker {late} is suspended; its trials are handed on" in search.logs()
    assert "Traceback" not in search.logs()


def test_a_late_result_is_taken_if_nobody_else_began(started) -> None:
    """Handed on and not taken, since the other one is busy: the worker that comes back completes it
    as if nothing had been."""
    search = started(trials=2)
    task, other = search.await_begun(0, 1), search.await_begun(1, 1)
    late = search.trials[0].worker
    search.suspend(task)
    database = PickledDB(str(search.config.parent / "db.pkl"))
    wait_until(lambda: search.silence(late) > 1, 30, "a sign is missing")
    released = ev.ReleaseTrial(0, 1, INTERRUPTED, WORKER_SUSPENDED, "", time.time())
    state = database.transact(1, lambda state: [released]).experiments[1]
    assert (state.trials[0].cause, state.trials[0].losses) == (WORKER_SUSPENDED, 0)
    search.resume(task)
    search.let_go("gate-0-1")
    search.await_status(0, COMPLETED)
    assert (search.trials[0].attempt, search.trials[0].worker) == (1, late)
    assert {task, other} == {"0", "1"}


def test_four_suspensions_in_a_row_dont_break_the_trial(started) -> None:
    """It is taken from one worker after the other, more often than a trial may lose its worker, and
    completes in the end."""
    search = started(trials=2)
    holder, other = search.await_begun(0, 1), search.await_begun(1, 1)
    search.let_go("gate-1")
    for attempt in range(1, 5):
        search.suspend(holder)
        assert search.await_begun(0, attempt + 1) == other
        search.resume(holder)
        # The late one is told, and is free for the next time.
        search.let_go(f"gate-0-{attempt}")
        told = f"trial 0: reservation lost: attempt {attempt} "
        wait_until(lambda told=told: told in search.logs(), 30, told)
        holder, other = other, holder
    search.let_go("gate-0-5")
    search.slurm.wait_for_jobs()
    assert [(one.status, one.attempt, one.losses) for one in search.trials] == [
        (COMPLETED, 5, 0),
        (COMPLETED, 1, 0),
    ]


QUICK = """\
name: quick
function: quick:main
space: {x: "uniform(0, 1)"}
algorithm: {random: {seed: 1}}
worker: {executor: single, heartbeat: 1, on_suspend: keep}
slurm: {cpus-per-task: 5, time: 10, mem: 500M}
"""


def test_a_suspended_worker_leaves_the_lock_alone(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Stopped at any moment of its busy writing, it never holds the database's lock: others would
    wait for it as long as the suspension lasts."""
    config = project(tmp_path / "p", QUICK, quick="def main(x):\n    return x\n")
    assert orion_hpc("submit", config, cwd=config.parent).returncode == 0
    (job,) = status_of(config)["jobs"][0]["ids"]
    path = str(config.parent / "db.pkl")

    def completed() -> int:
        return PickledDB(path).refresh().experiments[1].count(COMPLETED)

    for _ in range(5):
        before = completed()
        wait_until(lambda before=before: completed() > before + 50, 60, "the worker writes")
        (worker,) = [one["id"] for one in status_of(config)["workers"]]
        slurm.run("scontrol", "suspend", job)
        wait_until(
            lambda worker=worker: set(of_worker(worker)) == {psutil.STATUS_STOPPED}, 30, "stopped"
        )
        stop = ev.ChangeLimits(None, 3, time.time())
        PickledDB(path, lock_timeout=2).transact(1, lambda state, stop=stop: [stop])
        slurm.run("scontrol", "resume", job)
    assert orion_hpc("cancel", config).returncode == 0
    slurm.wait_for_jobs()


@pytest.fixture
def ganging(outside_slurm: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A cluster that suspends the jobs of ``main`` for those of ``high``."""
    if reason := missing_for_slurm():
        pytest.skip(reason)
    with SlurmCluster(nodes=2, extra={"PreemptMode": "SUSPEND,GANG"}) as cluster:
        cluster.run("scontrol", "update", "PartitionName=main", "PreemptMode=SUSPEND")
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        yield cluster


def test_preemption_that_suspends(ganging: SlurmCluster, tmp_path: Path) -> None:
    """The trial of the task whose node is taken goes on elsewhere; when the node is free again,
    Slurm resumes the worker, which is told and leaves in good order."""
    search = Search(ganging, tmp_path, trials=2, on_suspend="auto")
    task, other = search.await_begun(0, 1), search.await_begun(1, 1)
    (node,) = [job["node"] for job in ganging.jobs() if job["array_task_id"] == task]
    hold = f"until [ -e {tmp_path}/end ]; do sleep 0.1; done"
    words = ("-phigh", f"--nodelist={node}", "--cpus-per-task=5", "--mem=500", "-o/dev/null")
    ganging.run("sbatch", *words, "--wrap", hold)
    wait_until(
        lambda: ("SUSPENDED", task) in [(j["state"], j["array_task_id"]) for j in ganging.jobs()],
        30,
        "Slurm suspends the task",
    )
    search.let_go("gate-1")
    assert search.await_begun(0, 2) == other
    search.let_go("gate-0-2")
    search.await_status(0, COMPLETED)
    (tmp_path / "end").touch()
    search.let_go("gate-0-1")
    ganging.wait_for_jobs()
    assert [(one.attempt, one.losses) for one in search.trials] == [(2, 0), (1, 0)]
    assert "trial 0: reservation lost: attempt 1 was taken" in search.logs()
    assert "Traceback" not in search.logs()
