"""``orion-hpc submit`` on a real Slurm cluster, and against Slurm's answers that it won't give."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import COMPLETED
from tests.rigs.command import CONFIG, orion_hpc, project, status_of
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.slurm import SlurmCluster
from tests.rigs.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "svm_digits"


def trials_of(database: Path):
    """Return the trials of the database's first experiment."""
    return PickledDB(str(database)).refresh().experiments[1].trials


def logs(folder: Path) -> str:
    """Return what all jobs wrote, for a failure's message."""
    return "\n".join(
        path.read_text() for path in sorted(folder.glob("db.pkl.files/*/jobs/*/*.out"))
    )


def without_stamp(text: str) -> str:
    """Return ``text`` without what makes a submission's folder its own."""
    return re.sub(r"/slurm-[0-9]{8}-[0-9]{6}-[0-9]+-[0-9a-f]{8}", "/slurm-STAMP", text)


@pytest.mark.slurm
@pytest.mark.timeout(600)
def test_ten_workers_run_the_svm_example(slurm: SlurmCluster, tmp_path: Path) -> None:
    """The main job: one array of ten, an algorithm that learns, exactly twenty completed trials,
    tasks that end."""
    folder = tmp_path / "svm"
    folder.mkdir()
    for name in ("config.yaml", "svm.py"):
        shutil.copy(EXAMPLE / name, folder)
    config = folder / "config.yaml"
    text = config.read_text()
    assert "algorithm: random " in text
    learning = "algorithm: {tpe: {seed: 1, n_initial_points: 5}} "
    config.write_text(text.replace("algorithm: random ", learning))
    # Two processors each: ten inner pools of five processes import scikit-learn too often.
    done = orion_hpc("submit", "--array", "10", "--cpus-per-task", "2", config)
    assert done.returncode == 0, done.stderr
    (job_id,) = {job["array_job_id"] for job in slurm.jobs()}
    assert without_stamp(done.stdout).splitlines() == [
        f"Submitted job array of 10 tasks, job id {job_id}.",
        f"Logs: {folder}/db.pkl.files/svm-digits-v1/jobs/slurm-STAMP/{job_id}_*_0_log.out",
        f"Next: orion-hpc status {config}",
    ]
    slurm.wait_for_jobs(timeout=540)
    trials = trials_of(folder / "db.pkl")
    assert [trial.status for trial in trials] == [COMPLETED] * 20, logs(folder)
    assert {trial.attempt for trial in trials} == {1}
    assert len({trial.worker for trial in trials}) >= 4, "several workers took part"
    assert all(f":{job_id}_" in trial.worker for trial in trials)
    status = status_of(config)
    assert status["state"] == "done"
    assert status["workers"] == []
    assert status["jobs"][0]["ids"] == [job_id]
    assert status["best"]["objective"] < 0.5
    assert os.listdir(folder / "db.pkl.files" / "svm-digits-v1" / "workers") == []


CPUS = """\
import joblib, os, time

def where(_):
    time.sleep(0.3)
    return os.getpid()

def main(x):
    with joblib.parallel_backend("loky"):
        pids = set(joblib.Parallel()(joblib.delayed(where)(i) for i in range(20)))
    return [
        {"name": "o", "type": "objective", "value": x},
        {"name": "processes", "type": "statistic", "value": len(pids)},
        {"name": "jobs", "type": "statistic", "value": joblib.effective_n_jobs()},
    ]
"""


@pytest.mark.slurm
def test_the_inner_pool_has_the_jobs_cpus(slurm: SlurmCluster, tmp_path: Path) -> None:
    """In a job with five CPUs joblib's default is five processes, in one with two trials, two."""
    for n_workers, processes in ((1, 5), (2, 2)):
        config = project(
            tmp_path / f"p{n_workers}",
            CONFIG.replace("max_trials: 8", "max_trials: 2"),
            quick=CPUS,
        )
        done = orion_hpc("submit", config, "-c", "5", "--n-workers", str(n_workers))
        assert done.returncode == 0, done.stderr
        assert "Submitted job, job id" in done.stdout
        slurm.wait_for_jobs(timeout=120)
        for trial in trials_of(config.parent / "db.pkl"):
            assert trial.status == COMPLETED, logs(config.parent)
            found = {result["name"]: result["value"] for result in trial.results}
            assert (found["processes"], found["jobs"]) == (processes, processes)


SLEEPER = """\
import os, time

def main(x):
    open(f"started-{os.getpid()}", "w").close()
    if not os.path.exists("go"):
        time.sleep(600)
    return x
"""


@pytest.mark.slurm
def test_a_killed_task_loses_its_trial_to_the_others(slurm: SlurmCluster, tmp_path: Path) -> None:
    """A job that dies without a word: its trial is run again, once, and counts one loss."""
    text = CONFIG.replace("heartbeat: 5", "heartbeat: 1").replace("max_trials: 8", "max_trials: 3")
    config = project(tmp_path / "p", text, quick=SLEEPER)
    folder = config.parent
    assert orion_hpc("submit", config, cwd=folder).returncode == 0
    wait_until(lambda: list(folder.glob("started-*")), 60, "the first trial starts")
    (folder / "go").touch()
    trial = trials_of(folder / "db.pkl")[0]
    assert (trial.status, trial.attempt) == ("reserved", 1)
    os.kill(int(trial.worker.split(":")[1]), signal.SIGKILL)
    slurm.wait_for_jobs()
    done = orion_hpc("submit", config, cwd=folder)
    assert "Experiment quick v1 goes on: 0 trials are completed" in done.stderr
    slurm.wait_for_jobs()
    trials = trials_of(folder / "db.pkl")
    assert [trial.status for trial in trials] == [COMPLETED] * 3, logs(folder)
    assert (trials[0].attempt, trials[0].losses) == (2, 1)


@pytest.mark.slurm
def test_a_cancelled_task_gives_its_trial_back(slurm: SlurmCluster, tmp_path: Path) -> None:
    """scancel reaches the worker as a notice: the trial is interrupted, not lost."""
    config = project(tmp_path / "p", quick=SLEEPER)
    folder = config.parent
    assert orion_hpc("submit", config, cwd=folder).returncode == 0
    wait_until(lambda: list(folder.glob("started-*")), 60, "the first trial starts")
    slurm.run("scancel", status_of(config)["jobs"][0]["ids"][0])
    slurm.wait_for_jobs()
    trial = trials_of(folder / "db.pkl")[0]
    assert (trial.status, trial.losses) == ("interrupted", 0), logs(folder)


@pytest.mark.slurm
def test_what_sbatch_refuses_is_told_and_nothing_is_written(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """The real sbatch's own words, exit code 2, and a folder as it was before."""
    config = project(tmp_path / "p")
    done = orion_hpc("submit", config, "--partition", "nonsense", "--array", "3")
    assert done.returncode == 2
    assert "invalid partition specified: nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    assert set(os.listdir(config.parent)) <= {"config.yaml", "quick.py", "__pycache__"}
    assert slurm.jobs() == []


@pytest.mark.slurm
def test_a_sites_template_runs_workers(slurm: SlurmCluster, tmp_path: Path) -> None:
    """``orion-hpc template`` prints what ``submit --template`` takes, and its jobs do the work."""
    config = project(tmp_path / "p")
    template = tmp_path / "site.j2"
    text = orion_hpc("template").stdout
    template.write_text(text.replace("# module load", "export FROM_THE_SITE=1 #"))
    done = orion_hpc("submit", config, "--array", "2", "--template", template, "-c", "2")
    assert done.returncode == 0, done.stderr
    slurm.wait_for_jobs()
    assert status_of(config)["trials"]["completed"] == 8, logs(config.parent)


EXPORTED = """\
import os

def main(x):
    assert os.environ.get("OTHERVAR") is None
    return {"": 0, "mine": 1}[os.environ.get("MYVAR", "")]
"""


@pytest.mark.slurm
@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize(
    ("site", "options", "seen"),
    [
        (None, ["--export=NONE"], 0),
        ("NONE", [], 0),
        (None, ["--export=MYVAR"], 1),
    ],
)
def test_jobs_run_whatever_the_site_exports(
    slurm: SlurmCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    template: bool,
    site: str | None,
    options: list[str],
    seen: int,
) -> None:
    """The workers start, and their trials have the variables that were to be exported, only."""
    config = project(tmp_path / "p", CONFIG.replace("trials: 8", "trials: 2"), quick=EXPORTED)
    monkeypatch.setenv("MYVAR", "mine")
    monkeypatch.setenv("OTHERVAR", "other")
    if site is not None:
        monkeypatch.setenv("SBATCH_EXPORT", site)
    words: list[str | Path] = []
    if template:
        path = tmp_path / "site.j2"
        path.write_text(orion_hpc("template").stdout)
        words = ["--template", path]
    done = orion_hpc("submit", config, "--array", "2", *words, "--", *options)
    assert done.returncode == 0, done.stderr
    slurm.wait_for_jobs()
    trials = trials_of(config.parent / "db.pkl")
    assert [trial.status for trial in trials] == [COMPLETED] * 2, logs(config.parent)
    assert {trial.objective for trial in trials} == {seen}


@pytest.mark.usefixtures("fake_slurm")
class TestFakes:
    """Command lines and answers, without a cluster."""

    def test_one_array_is_submitted_and_recorded(self, fake_slurm: FakeSlurm, tmp_path: Path):
        """One sbatch call whatever the number of tasks, and its job id in the status."""
        config = project(tmp_path / "p")
        done = orion_hpc("submit", config, "--array", "5%2", "--time", "1-12", "--", "--nice=7")
        assert done.returncode == 0, done.stderr
        (call,) = fake_slurm.calls("sbatch")
        for line in ("--array=0-4%2", "--time=1-12", "--nice=7", "--job-name=quick"):
            assert f"#SBATCH {line}\n" in call.script
        assert done.stdout.startswith("Submitted job array of 5 tasks, job id ")
        assert status_of(config)["jobs"][0]["ids"][0] in done.stdout

    def test_a_worker_that_fails_at_its_start_says_why(
        self, fake_slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Its node lacks the algorithm's library: ``status`` shows that, whatever became of the
        log."""
        text = CONFIG.replace("{random: {seed: 1}}", "{tpe: {seed: 1}}")
        config = project(tmp_path / "p", text)
        submitted = orion_hpc("submit", config, "--array", "2", "--output", "/dev/null")
        assert submitted.returncode == 0, submitted.stderr
        (job,) = status_of(config)["jobs"][0]["ids"]
        fake_slurm.answer("squeue", f"{job}|0-1|FAILED|0|NonZeroExitCode|quick|")
        (spec,) = config.parent.glob("db.pkl.files/quick-v1/jobs/*/worker.json")
        library = tmp_path / "broken"
        library.mkdir()
        (library / "optuna.py").write_text("raise ImportError('no libstdc++ here')\n")
        with monkeypatch.context() as node:
            node.setenv("PYTHONPATH", str(library), prepend=os.pathsep)
            node.setenv("SLURM_JOB_ID", "99")
            node.setenv("SLURM_ARRAY_JOB_ID", job)
            node.setenv("SLURM_ARRAY_TASK_ID", "1")
            assert orion_hpc("worker", "--spec", spec).returncode == 2
        failed = status_of(config)["failed_starts"]
        assert (failed["tasks"], failed["job"]) == (1, job)
        assert failed["path"] == str(spec.with_name(f"{job}_1.err"))
        assert "no libstdc++ here" in failed["lines"][0]
        assert "no libstdc++ here" in orion_hpc("status", config).stdout

    @pytest.mark.parametrize("dry", [[], ["--dry-run"]])
    @pytest.mark.parametrize(
        "words",
        [["--output", "logs/%j.out"], ["--", "--error=logs/%j.err"], ["--template", "site.j2"]],
    )
    def test_logs_that_slurm_could_not_write_are_told(
        self, fake_slurm: FakeSlurm, tmp_path: Path, words: list[str], dry: list[str]
    ):
        """All tasks would fail at once, and leave nothing; with the folder they are submitted."""
        config = project(tmp_path / "p")
        site = orion_hpc("template").stdout.replace("# Mod", "#SBATCH -e logs/%j.err\n# Mod")
        (config.parent / "site.j2").write_text(site)
        refused = orion_hpc("submit", config, *dry, *words, cwd=config.parent)
        assert refused.returncode == 2, refused.stdout
        assert f"but there is no folder {config.parent}/logs; Slurm" in refused.stderr
        assert f"mkdir -p {config.parent}/logs\n" in refused.stderr
        assert fake_slurm.calls("sbatch") == []
        assert not (config.parent / "db.pkl").exists()
        (config.parent / "logs").mkdir()
        assert orion_hpc("submit", config, *dry, *words, cwd=config.parent).returncode == 0

    def test_no_more_tasks_than_trials_are_left(self, fake_slurm: FakeSlurm, tmp_path: Path):
        """A hundred tasks for eight trials would mostly wait in the queue for nothing."""
        config = project(tmp_path / "p")
        done = orion_hpc("submit", config, "--array", "100", "--n-workers", "3")
        assert "3 of 100 tasks are enough" in done.stderr
        assert "--array=0-2" in fake_slurm.calls("sbatch")[0].script

    def test_a_dry_run_prints_the_script_and_does_nothing(
        self, fake_slurm: FakeSlurm, tmp_path: Path
    ):
        """What is shown is what would be submitted."""
        config = project(tmp_path / "p")
        dry = orion_hpc("submit", config, "--array", "4", "--dry-run")
        assert dry.returncode == 0
        assert fake_slurm.calls("sbatch") == []
        assert sorted(set(os.listdir(config.parent)) - {"__pycache__"}) == [
            "config.yaml", "quick.py",
        ]  # fmt: skip
        assert orion_hpc("submit", config, "--array", "4").returncode == 0
        (call,) = fake_slurm.calls("sbatch")
        assert without_stamp(dry.stdout) == without_stamp(call.script or "")

    @pytest.mark.parametrize("template", [False, True])
    def test_a_refusal_shows_sbatchs_own_words(
        self, fake_slurm: FakeSlurm, tmp_path: Path, template: bool
    ):
        """The site's reason is what helps; nothing is left behind."""
        said = "sbatch: error: You must specify an account for this cluster."
        fake_slurm.fail("sbatch", said)
        config = project(tmp_path / "p")
        words = []
        if template:
            path = tmp_path / "t.j2"
            path.write_text(orion_hpc("template").stdout)
            words = ["--template", path]
        done = orion_hpc("submit", config, "--array", "2", *words)
        assert done.returncode == 2
        assert done.stderr.count(said) == 1
        assert set(os.listdir(config.parent)) <= {"config.yaml", "quick.py", "__pycache__"}

    def test_local_can_be_asked_for_where_slurm_is(self, fake_slurm: FakeSlurm, tmp_path: Path):
        """``--executor local`` on a login node submits nothing."""
        config = project(tmp_path / "p")
        done = orion_hpc("submit", config, "--executor", "local")
        assert done.returncode == 0, done.stderr
        assert fake_slurm.calls("sbatch") == []
        assert json.loads(orion_hpc("status", config, "--json").stdout)["experiments"][0][
            "jobs"
        ][0]["launcher"] == "local"  # fmt: skip

    @pytest.mark.parametrize("template", [False, True])
    @pytest.mark.parametrize(
        ("stdout", "stderr"),
        [
            ("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv"),
            ("Submitted batch jo", ""),
        ],
    )
    def test_an_answer_that_got_lost(
        self, fake_slurm: FakeSlurm, tmp_path: Path, template: bool, stdout: str, stderr: str
    ):
        """Slurm may have the jobs: that is said, and nothing is written."""
        if stderr:
            fake_slurm.fail("sbatch", stderr)
        else:
            fake_slurm.answer("sbatch", stdout)
        config = project(tmp_path / "p")
        words = []
        if template:
            path = tmp_path / "t.j2"
            path.write_text(orion_hpc("template").stdout)
            words = ["--template", path]
        done = orion_hpc("submit", config, "--array", "2", *words)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "Slurm may have taken the jobs all the same: look with 'squeue --me'" in done.stderr
        assert set(os.listdir(config.parent)) <= {"config.yaml", "quick.py", "__pycache__"}

    @pytest.mark.parametrize(
        ("command", "stdout", "stderr"),
        [
            ("squeue", "", "slurm_load_jobs error: Socket timed out on send/recv operation"),
            ("squeue", "1234|0-3|PEND", ""),
            ("scontrol", "", "slurm_load_ctl_conf error: Unable to contact slurm controller"),
            ("scontrol", "MaxArraySi", ""),
        ],
    )
    def test_a_command_that_doesnt_answer_holds_nobody_up(
        self, fake_slurm: FakeSlurm, tmp_path: Path, command: str, stdout: str, stderr: str
    ):
        """A submission, its status, going on with it, and its end."""
        if stderr:
            fake_slurm.fail(command, stderr)
        else:
            fake_slurm.answer(command, stdout)
        config = project(tmp_path / "p")
        assert orion_hpc("submit", config, "--array", "4").returncode == 0
        assert orion_hpc("status", config).returncode == 0
        resumed = orion_hpc("resume", config, "--array", "4")
        assert resumed.returncode == 0, resumed.stderr
        told = "squeue doesn't answer" in resumed.stderr
        assert told == (command == "squeue")
        cancelled = orion_hpc("cancel", config)
        assert cancelled.returncode == 0, cancelled.stderr
        # In doubt all are cancelled; where the queue is known to be empty, none.
        assert len(fake_slurm.calls("scancel")) == (command == "squeue")
        for done in (resumed, cancelled):
            assert "Traceback" not in done.stderr

    def test_a_cancellation_that_fails_is_told(self, fake_slurm: FakeSlurm, tmp_path: Path):
        """The experiment is stopped all the same: workers that look leave."""
        config = project(tmp_path / "p")
        assert orion_hpc("submit", config, "--array", "4").returncode == 0
        (job,) = status_of(config)["jobs"][0]["ids"]
        fake_slurm.answer("squeue", f"{job}|0-3|PENDING|0|Priority|quick|")
        fake_slurm.fail("scancel", "scancel: error: Kill job error on job id 1235: Access denied")
        done = orion_hpc("cancel", config)
        assert done.returncode == 1
        assert "wasn't cancelled" in done.stderr
        assert "Access denied" in done.stderr
        assert status_of(config)["state"] == "stopped"
