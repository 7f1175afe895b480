"""What launchers leave behind, and what they say when they can't start jobs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import submitit

from orion_hpc.errors import LaunchError, OrionHpcError
from orion_hpc.jobs.base import Launcher, LaunchRequest
from orion_hpc.jobs.debug import DebugLauncher
from orion_hpc.jobs.local import LocalLauncher
from orion_hpc.jobs.slurm import SlurmLauncher, submit_parts
from orion_hpc.jobs.template import TemplateLauncher, shipped_template
from orion_hpc.sharedfs import layout
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.waiting import wait_until

LAUNCHERS = [SlurmLauncher(), TemplateLauncher(shipped_template())]


def request_in(folder: Path, tasks: int = 2) -> LaunchRequest:
    """Return a request whose files go below ``folder``."""
    return LaunchRequest(
        function=print,
        argument="x",
        command=("python", "-m", "orion_hpc", "worker"),
        tasks=tasks,
        folder=str(folder),
        title="svm",
    )


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["submitit", "template"])
def test_a_refusal_leaves_other_submissions_files_alone(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch, launcher: Launcher
):
    """What appears in ``jobs`` while sbatch thinks is another submission's."""
    fake_slurm.fail("sbatch", "sbatch: error: no")
    jobs = tmp_path / "jobs"
    other = jobs / "slurm-other" / "1_submission.sh"
    real = layout.make_folder

    def make_folder(path, *words, **options):
        made = real(path, *words, **options)
        other.parent.mkdir(exist_ok=True)
        other.touch()
        return made

    monkeypatch.setattr(layout, "make_folder", make_folder)
    with pytest.raises(LaunchError, match="sbatch refused the jobs: sbatch: error: no"):
        launcher.launch(request_in(jobs))
    assert [path for path in jobs.rglob("*") if path.is_file()] == [other]
    assert os.listdir(jobs) == ["slurm-other"]


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["submitit", "template"])
def test_each_submission_has_its_folder(fake_slurm: FakeSlurm, tmp_path: Path, launcher: Launcher):
    """Two submissions of one second by one process don't share files."""
    logs = {os.path.dirname(launcher.launch(request_in(tmp_path)).logs) for _ in range(2)}
    assert logs == {str(folder) for folder in tmp_path.glob("slurm-*")}
    assert len(logs) == 2


@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["submitit", "template"])
@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect)",
        "sbatch: fatal: Could not establish a configuration source",
    ],
)
def test_no_controller_gets_its_own_hint(
    fake_slurm: FakeSlurm, tmp_path: Path, capfd, launcher: Launcher, said: str
):
    """Other options wouldn't help here; and what sbatch says is told once, by the error."""
    fake_slurm.fail("sbatch", said)
    with pytest.raises(LaunchError) as caught:
        launcher.launch(request_in(tmp_path / "jobs"))
    assert caught.value.hint == "Is this a login node? --executor local runs here."
    assert said in caught.value.message
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == ["fake-slurm"]


def test_a_full_disk_is_one_sentence(fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch):
    """submitit's files come before sbatch: nothing is submitted and nothing left."""

    def dump(*words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("submitit.core.utils.DelayedSubmission.dump", dump)
    for launcher in (SlurmLauncher(), LocalLauncher()):
        with pytest.raises(LaunchError, match="No space left on device"):
            launcher.launch(request_in(tmp_path / "jobs"))
    assert fake_slurm.calls("sbatch") == []
    assert os.listdir(tmp_path) == ["fake-slurm"]


def test_jobs_whose_files_cannot_be_put_in_place_are_cancelled(
    fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch
):
    """After the submission something may go wrong too; LaunchError promises that nothing runs."""
    from submitit.core.utils import JobPaths

    move = JobPaths.move_temporary_file

    def fail(self, path, name, *words, **options):
        if name == "submitted_pickle":
            raise OSError(122, "Disk quota exceeded")
        move(self, path, name, *words, **options)

    monkeypatch.setattr(JobPaths, "move_temporary_file", fail)
    with pytest.raises(LaunchError, match="Disk quota exceeded"):
        SlurmLauncher().launch(request_in(tmp_path / "jobs"))
    assert [call.argv for call in fake_slurm.calls("scancel")] == [["1234"]]


@pytest.mark.parametrize("launcher", [*LAUNCHERS, LocalLauncher()])
def test_a_file_where_the_folder_should_be(
    fake_slurm: FakeSlurm, tmp_path: Path, launcher: Launcher
):
    """Permission is no obstacle to root, who runs the tests; a file is."""
    (tmp_path / "jobs").touch()
    with pytest.raises(OrionHpcError, match="can't create") as caught:
        launcher.launch(request_in(tmp_path / "jobs"))
    assert caught.value.exit_code == 2


def test_an_sbatch_that_cannot_be_run(fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch):
    """A broken program is told as such."""
    monkeypatch.setenv("PATH", str(fake_slurm.bin))
    (fake_slurm.bin / "sbatch").write_text("#!/no/such/interpreter\n")
    for launcher in LAUNCHERS:
        with pytest.raises(LaunchError, match="couldn't be started: No such file"):
            launcher.launch(request_in(tmp_path / "jobs"))


def test_a_local_job_does_not_search_the_working_directory(tmp_path: Path, monkeypatch):
    """A user's ``queue.py`` isn't Python's; the programs that a trial starts see no difference."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for name in ("queue", "random", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not Python's own')")
    write = "__import__('pathlib').Path('seen').write_text(str(__import__('os').environ))"
    request = replace(request_in(tmp_path / "jobs", tasks=1), function=eval, argument=write)
    jobs = LocalLauncher().launch(request)
    wait_until(lambda: not jobs.alive(), 60, "the job ends")
    assert jobs.failures() == []
    assert "PYTHONSAFEPATH" not in (tmp_path / "seen").read_text()


def test_a_local_job_that_failed_says_why(tmp_path: Path):
    """In the words of the error; ours without the name of their class."""
    raising = "(_ for _ in ()).throw(__import__('orion_hpc.errors').errors.{}('it is {}', 'Mend.'))"
    for kind, told in (("AlgorithmError", "no good"), ("StorageError", "full")):
        request = request_in(tmp_path / kind, tasks=1)
        request = replace(request, function=eval, argument=raising.format(kind, told))
        jobs = LocalLauncher().launch(request)
        wait_until(lambda jobs=jobs: not jobs.alive(), 60, "the job ends")
        (failure,) = jobs.failures()
        assert f"worker process {jobs.ids[0]}: it is {told} (log: " in failure


def test_a_job_of_submitit_does_not_outlive_its_process(tmp_path: Path):
    """It says "Exception ignored in LocalJob.__del__" where the interpreter ends before it."""
    request = replace(request_in(tmp_path / "jobs", tasks=1), function=len, argument="abc")
    jobs = LocalLauncher().launch(request)
    (process,) = jobs._processes
    wait_until(jobs.ended, 60, "the job ends")
    assert process._job is None
    assert (jobs.failures(), process.log.endswith("_log.out")) == ([], True)


def test_local_jobs_start_all_or_none(tmp_path: Path, monkeypatch):
    """When the disk is full at the second process, the first doesn't go on alone."""
    from submitit import LocalExecutor

    submit = LocalExecutor.submit
    before = psutil.Process().children()
    count = iter(range(9))

    def fail(self, *words):
        if next(count) == 1:
            raise OSError(28, "No space left on device")
        return submit(self, *words)

    monkeypatch.setattr(LocalExecutor, "submit", fail)
    request = replace(request_in(tmp_path / "jobs", 2), function=time.sleep, argument=600)
    with pytest.raises(LaunchError, match="No space left"):
        LocalLauncher().launch(request)
    started = [child for child in psutil.Process().children() if child not in before]
    assert psutil.wait_procs(started, 10)[1] == []


def test_ctrl_c_while_local_jobs_start_is_heard_after_it(tmp_path: Path, monkeypatch):
    """It isn't lost, and leaves none of the processes that were started."""
    pids = []
    real = submitit.LocalExecutor.submit

    def submit(executor, *words):
        job = real(executor, *words)
        pids.append(job._process.pid)
        os.kill(os.getpid(), signal.SIGINT)
        return job

    monkeypatch.setattr(submitit.LocalExecutor, "submit", submit)
    # Another thread doesn't block the signal.
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(60,))
    thread.start()
    # A shell that starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        request = replace(request_in(tmp_path), function=time.sleep, argument=1000)
        with pytest.raises(KeyboardInterrupt):
            LocalLauncher().launch(request)
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
        thread.join()
    assert len(pids) == 2
    wait_until(lambda: not any(map(runs, pids)), 10, "both to be gone")


def runs(pid: int) -> bool:
    """Return whether a process is there, and not only its exit code."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_refusal_of_a_later_array_cancels_those_before(
    fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    """All tasks or none; and it says how many would have been taken."""
    fake_slurm.answer("scontrol", "MaxArraySize            = 3\n")
    accepted = iter(["41", "42"])

    def array(request: LaunchRequest) -> str:
        if (job := next(accepted, None)) is None:
            raise LaunchError("sbatch refused the jobs: Job violates accounting/QOS policy", "x")
        return job

    with pytest.raises(LaunchError, match=r"policy \(after 6 of 8 tasks, which were canc") as error:
        submit_parts(request_in(tmp_path / "jobs", 8), array)
    assert error.value.hint == "Ask for fewer: --array 6."
    assert [call.argv for call in fake_slurm.calls("scancel")] == [["41", "42"]]


def test_an_array_that_follows_another_keeps_the_users_dependency(
    fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    fake_slurm.answer("scontrol", "MaxArraySize            = 2\n")
    seen: list[LaunchRequest] = []

    def array(request: LaunchRequest) -> str:
        seen.append(request)
        return str(40 + len(seen))

    request = replace(
        request_in(tmp_path / "jobs", 4), throttle=1, options={"dependency": "singleton"}
    )
    assert submit_parts(request, array) == ("41", "42")
    assert [one.options["dependency"] for one in seen] == ["singleton", "singleton,afterany:41"]
    assert [(one.tasks, one.throttle) for one in seen] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("template", [False, True])
def test_a_preview_shows_the_first_of_several_arrays(
    fake_slurm: FakeSlurm, tmp_path: Path, template: bool
) -> None:
    """And how many there are, and how large."""
    launcher = TemplateLauncher(shipped_template()) if template else SlurmLauncher()
    fake_slurm.answer("scontrol", "MaxArraySize            = 3\n")
    shown = launcher.preview(replace(request_in(tmp_path / "jobs", 8), throttle=4))
    assert "#SBATCH --array=0-2%2\n" in shown
    assert shown.endswith(
        "\n# The first of 3 arrays, of 3, 3, 2 tasks: the site allows no larger ones.\n"
    )
    fake_slurm.restore("scontrol")
    assert "arrays" not in launcher.preview(request_in(tmp_path / "jobs", 8))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("launcher", LAUNCHERS, ids=["submitit", "template"])
def test_the_jobs_settings_lie_in_the_launchs_folder(
    fake_slurm: FakeSlurm, tmp_path: Path, launcher: Launcher, shared: bool
) -> None:
    """Before the jobs start, whole, and for the group where the folder is the group's."""
    if shared:
        tmp_path.chmod(0o2770)
    jobs = launcher.launch(replace(request_in(tmp_path / "jobs"), spec='{"name": "svm"}\n'))
    folder = Path(jobs.logs).parent
    file = folder / layout.JOB_SPEC
    assert file.read_text() == '{"name": "svm"}\n'
    assert file.stat().st_mode & 0o777 == (0o660 if shared else 0o600)
    assert list(folder.glob("*.new")) == []
    (call,) = fake_slurm.calls("sbatch")
    if isinstance(launcher, TemplateLauncher):
        assert f"orion_hpc worker {file}" in str(call.script)


def test_a_local_job_reads_its_settings_from_the_file(tmp_path: Path) -> None:
    """It is called with the path; the file goes with the last job."""
    request = replace(request_in(tmp_path / "jobs", 1), function=os.readlink, spec="{}")
    jobs = LocalLauncher().launch(request)
    (folder,) = (tmp_path / "jobs").iterdir()
    wait_until(jobs.ended, 60, "the job ends")
    (failure,) = jobs.failures()  # the file isn't a link
    assert str(folder / layout.JOB_SPEC) in failure
    assert not (folder / layout.JOB_SPEC).exists()


def test_a_refusal_leaves_no_settings(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    fake_slurm.fail("sbatch", "sbatch: error: no")
    for launcher in LAUNCHERS:
        with pytest.raises(LaunchError, match="sbatch refused"):
            launcher.launch(replace(request_in(tmp_path / "jobs"), spec="{}"))
    assert os.listdir(tmp_path) == ["fake-slurm"]


def test_a_job_in_this_process_leaves_it_as_it_was(tmp_path: Path, monkeypatch):
    """A notebook that ran a job has its own limits on threads, modules, modes and log again."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    logger = logging.getLogger("orion_hpc")

    def process() -> tuple[object, ...]:
        mask = os.umask(0)
        os.umask(mask)
        log = (list(logger.handlers), logger.level, logger.propagate)
        return dict(os.environ), list(sys.path), mask, log

    def job(argument: str) -> None:
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        sys.path.insert(0, argument)
        os.umask(0o007)
        logger.addHandler(logging.StreamHandler())
        logger.propagate = False
        raise KeyboardInterrupt

    before = process()
    with pytest.raises(KeyboardInterrupt):
        DebugLauncher().launch(replace(request_in(tmp_path), function=job))
    assert process() == before
