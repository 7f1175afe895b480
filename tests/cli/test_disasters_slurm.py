"""What can happen to an array on a real cluster, and the search gets through all of it.

Each trial is trained in epochs and saves each of them; after every disaster exactly the budget is
completed, no trial ran twice at once, at most one epoch was repeated for each interruption, and no
process stays behind.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    LOST_WORKER,
    OUT_OF_MEMORY,
    RESERVED,
    TrialRecord,
)
from tests.rigs.command import orion_hpc, project, status_of
from tests.rigs.processes import below, kill, step_daemons
from tests.rigs.slurm import SlurmCluster, missing_for_slurm
from tests.rigs.waiting import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

BUDGET, EPOCHS, TASKS = 8, 8, 4

CONFIG = f"""\
name: epochs
function: train:main
trial_arg: trial
space: {{x: "uniform(0, 1)"}}
algorithm: {{random: {{seed: 1}}}}
max_trials: {BUDGET}
max_broken: 2
worker: {{heartbeat: 1, idle_timeout: 5, grace: 5, trial_time: off}}
slurm: {{array: {TASKS}, cpus-per-task: 5, time: 10, mem: 500M}}
"""

TRAIN = f"""\
import fcntl, os, time
from pathlib import Path
from orion_hpc import TrialInterrupted

HERE = Path(__file__).parent

def note(text):
    fd = os.open(HERE / "epochs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{{text}}\\n".encode())
    os.close(fd)

def main(x, trial):
    saved = Path(trial.working_dir, "epoch")
    with open(Path(trial.working_dir, "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            note(f"{{trial.number}} twice")
        done = int(saved.read_text()) if saved.exists() else 0
        for epoch in range(done, {EPOCHS}):
            if trial.stop_requested:
                raise TrialInterrupted("saved")
            time.sleep(0.2)
            note(f"{{trial.number}} {{epoch}}")
            new = saved.with_suffix(".new")
            new.write_text(str(epoch + 1))
            os.replace(new, saved)
    return x
"""


def own_hosts(folder: Path) -> Path:
    """Write a template in which each node has a host name of its own, as real ones have."""
    template = orion_hpc("template").stdout
    named = "unshare --uts sh -c 'hostname $SLURMD_NODENAME; exec \"$@\"' -- {{ command }}"
    path = folder / "hosts.sbatch.j2"
    path.write_text(template.replace(" {{ command }}", f" {named}"))
    return path


class Search:
    """An experiment whose four workers run on the four nodes."""

    def __init__(self, folder: Path, slurm: SlurmCluster, program: str = TRAIN) -> None:
        self.slurm = slurm
        self.config = project(folder / "p", CONFIG, train=program)
        self.words = ("--template", str(own_hosts(self.config.parent)))
        done = orion_hpc("submit", self.config, *self.words, cwd=self.config.parent)
        assert done.returncode == 0, done.stderr
        (self.job,) = status_of(self.config)["jobs"][0]["ids"]
        wait_until(lambda: len(self.begun) >= TASKS, 180, "every worker runs a trial")

    @property
    def epochs(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.config.parent / "epochs").read_text().splitlines()
        return []

    @property
    def begun(self) -> set[str]:
        return {line.split()[0] for line in self.epochs}

    @property
    def trials(self) -> list[TrialRecord]:
        return PickledDB(str(self.config.parent / "db.pkl")).refresh().experiments[1].trials

    def logs(self) -> str:
        found = self.config.parent.glob("db.pkl.files/*/jobs/*/*.out")
        return "\n".join(path.read_text() for path in sorted(found))

    def processes(self) -> list[psutil.Process]:
        """Return what runs of it: workers, and what they have started."""
        found, folder = [], str(self.config.parent)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                of_worker = "ORION_HPC_WORKER_ID" in process.environ() and process.cwd() == folder
                if of_worker or folder in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the workers, in the order of their start."""
        return [
            process
            for process in self.processes()
            if "python" in process.name() and "worker" in process.cmdline()
        ]

    def resume(self) -> str:
        done = orion_hpc("resume", self.config, *self.words, cwd=self.config.parent)
        assert done.returncode == 0, done.stderr
        told: str = done.stderr
        return told

    def is_done(self) -> bool:
        state: str = status_of(self.config)["state"]
        return state == "done"

    def check(self, interruptions: int | None = None, broken: int = 0) -> None:
        """See whether all is as it should be at the end."""
        self.slurm.wait_for_jobs(180)
        trials = self.trials
        found = Counter(trial.status for trial in trials)
        assert found == Counter({COMPLETED: BUDGET, **({BROKEN: broken} if broken else {})}), (
            [(trial.number, trial.status, trial.cause, trial.message) for trial in trials],
            self.logs(),
        )
        attempts = sum(trial.attempt for trial in trials) - len(trials)
        assert interruptions is None or attempts == interruptions, self.logs()
        epochs = Counter(self.epochs)
        assert not [line for line in epochs if "twice" in line]
        complete = {str(trial.number) for trial in trials if trial.status == COMPLETED}
        assert {line for line in epochs if line.split()[0] in complete} == {
            f"{number} {epoch}" for number in complete for epoch in range(EPOCHS)
        }
        repeated = sum(epochs.values()) - len(epochs)
        assert repeated <= attempts, (repeated, attempts)
        wait_until(lambda: not self.processes(), 20, "no process stays behind")


@pytest.fixture
def search(slurm: SlurmCluster, tmp_path: Path) -> Search:
    return Search(tmp_path, slurm)


@contextlib.contextmanager
def preempting(slurm: SlurmCluster, mode: str) -> Iterator[None]:
    """Let jobs in ``main`` be preempted in this way."""
    slurm.run("scontrol", "update", "PartitionName=main", f"PreemptMode={mode}")
    try:
        yield
    finally:
        slurm.run("scontrol", "update", "PartitionName=main", "PreemptMode=REQUEUE")


def preempt(slurm: SlurmCluster) -> None:
    """Take all nodes for a moment."""
    words = ("-p", "high", "-N4", "--exclusive", "--wait", "--wrap", "true", "-o/dev/null")
    slurm.run("sbatch", *words)


def test_preemption_that_requeues(search: Search) -> None:
    """The tasks come back by themselves, and everyone goes on where it was."""
    preempt(search.slurm)
    search.check()
    assert any(trial.attempt > 1 for trial in search.trials)
    assert len(status_of(search.config)["jobs"]) == 1


def test_preemption_that_cancels(slurm: SlurmCluster, tmp_path: Path) -> None:
    """The tasks are gone; what they held is free, and ``resume`` replaces them."""
    with preempting(slurm, "CANCEL"):
        search = Search(tmp_path, slurm)
        preempt(slurm)
        slurm.wait_for_jobs()
        assert not search.is_done()
        search.resume()
        search.check()


@pytest.mark.parametrize(
    ("task", "name"),
    [("_0", ""), ("_0", "KILL"), ("", ""), ("", "TERM"), ("", "INT"), ("", "USR1"), ("", "KILL")],
)
def test_scancel(search: Search, name: str, task: str) -> None:
    """Of one task or all, with any signal; who is left, or ``resume``, does the rest."""
    words = [f"--signal={name}"] if name else []
    search.slurm.run("scancel", *words, f"{search.job}{task}")
    search.slurm.wait_for_jobs(180)
    if not search.is_done():
        search.resume()
    search.check()


def test_a_kill_of_the_worker(search: Search) -> None:
    """Its trial is another's soon, though nobody could say a word."""
    kill(search.workers()[:1])
    search.check()
    assert sum(trial.attempt for trial in search.trials) == BUDGET + 1


def test_a_kill_of_the_job_step(search: Search) -> None:
    """With the daemon that looks after it. Slurm believes for long that the job runs."""
    assert search.slurm.directory is not None
    worker = search.workers()[0]
    for daemon in step_daemons(search.slurm.directory):
        if worker in below(daemon):
            kill([daemon, *below(daemon)])
    wait_until(search.is_done, 180, "the others do all of it")
    search.slurm.run("scancel", search.job)
    search.check()


def test_a_kill_of_a_trials_process(search: Search) -> None:
    """That breaks the trial, which may be to blame; the worker lives and takes another one."""
    worker = search.workers()[0]
    processes: list[psutil.Process] = []

    def stopped_in_a_trial() -> bool:
        """Stop its processes, so that the trial doesn't end before they are killed."""
        for one in processes:
            one.resume()
        processes[:] = [
            one for one in worker.children() if "resource_tracker" not in " ".join(one.cmdline())
        ]
        for one in processes:
            one.suspend()
        return any(Path(file.path).name == "lock" for one in processes for file in one.open_files())

    wait_until(stopped_in_a_trial, 30, "a trial of this worker runs")
    kill(processes)
    search.check(broken=1)
    (trial,) = [trial for trial in search.trials if trial.status == BROKEN]
    assert (trial.cause, trial.attempt) == ("killed", 1)


def test_a_node_dies_and_comes_back(search: Search) -> None:
    """Slurm requeues its task; nobody else is disturbed."""
    search.slurm.kill_node("n1", noticed=True)
    search.slurm.start_node("n1")
    search.check()
    assert sum(trial.attempt for trial in search.trials) - BUDGET <= 1


def test_the_controller_is_restarted(search: Search) -> None:
    """Workers don't need it."""
    search.slurm.stop_controller()
    before = len(search.epochs)
    wait_until(lambda: len(search.epochs) > before + TASKS, 30, "the search goes on")
    search.slurm.start_controller()
    search.check(interruptions=0)


def test_the_cluster_is_switched_off_and_on(search: Search) -> None:
    """All at once, in the middle; ``resume`` goes on, with what Slurm has put back counted in."""
    search.slurm.power_off()
    assert not search.is_done()
    search.slurm.power_on()
    search.resume()
    search.check()


@pytest.fixture
def accounting(
    outside_slurm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[SlurmCluster]:
    """A cluster with ``sacct`` that soon forgets jobs and kills those that need too much memory."""
    if reason := missing_for_slurm(accounting=True):
        pytest.skip(reason)
    extra = {"MinJobAge": "2", "JobAcctGatherParams": "OverMemoryKill"}
    with SlurmCluster(accounting=True, extra=extra) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        yield cluster


def test_what_squeue_has_forgotten_sacct_knows(accounting: SlurmCluster, tmp_path: Path) -> None:
    """Killed without a word on hosts that nobody sees into: their trials are free at once."""
    search = Search(tmp_path, accounting)
    kill(search.workers())
    accounting.wait_for_jobs()
    queue = ("squeue", "--noheader", "--states=all", "--jobs", search.job)
    wait_until(lambda: not accounting.run(*queue, check=False).stdout.strip(), 60, "forgotten")
    held = sum(trial.status == RESERVED for trial in search.trials)
    assert held >= TASKS - 1
    assert f"{held} trials are free again: their workers are gone." in search.resume()
    search.check()


def test_a_trial_that_needs_too_much_memory(accounting: SlurmCluster, tmp_path: Path) -> None:
    """Slurm ends its job each time: after the third one it is broken, and the rest is done."""
    meal = "if trial.number == 1:\n        x = bytearray(10**9)\n        time.sleep(60)"
    hungry = TRAIN.replace("    return x", f"    {meal}\n    return x")
    search = Search(tmp_path, accounting, program=hungry)
    for _ in range(4):  # each time the last worker may have been taken along
        accounting.wait_for_jobs(120)
        if search.is_done():
            break
        search.resume()
    search.check(broken=1)
    (trial,) = [trial for trial in search.trials if trial.status == BROKEN]
    assert (trial.number, trial.attempt) == (1, 3)
    # Without cgroups Slurm itself doesn't tell: the job has failed.
    assert trial.cause in (LOST_WORKER, OUT_OF_MEMORY)
