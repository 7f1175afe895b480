"""The test surroundings themselves: the private Slurm cluster and the fakes of its commands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import submitit

from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.slurm import ClusterError, SlurmCluster
from tests.rigs.waiting import wait_until

ROOT = Path(__file__).parents[2]


def processes_of(directory: Path) -> list[str]:
    """The processes whose command line or environment names the directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [*process.cmdline(), *process.environ().values()]
            if any(str(directory) in word for word in words):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@pytest.mark.slurm
def test_array_tasks_run_srun_steps_with_all_cpus(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Each task of an array gets its number and CPUs, and so does the srun step inside it."""
    show = 'echo "$SLURM_ARRAY_TASK_ID $SLURM_CPUS_PER_TASK $(hostname) $SLURMD_NODENAME"'
    slurm.run(
        *("sbatch", "--array=0-7", "--cpus-per-task=5", "--mem=1000"),
        *("--output", f"{tmp_path}/%a.out", "--wrap", f"{show}; srun sh -c '{show}'"),
    )
    slurm.wait_for_jobs()
    nodes = set()
    for task in range(8):
        in_batch, in_step = (tmp_path / f"{task}.out").read_text().splitlines()
        assert in_batch == in_step
        number, cpus, host, node = in_step.split()
        assert (number, cpus, host) == (str(task), "5", socket.gethostname())
        nodes.add(node)
    # Four nodes of five CPUs: the tasks must have run beside each other, not one after the other.
    assert nodes == {"n1", "n2", "n3", "n4"}


@pytest.mark.slurm
def test_more_tasks_than_nodes_wait_in_the_queue(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Of 40 tasks that fill a node each, four run at once and the others are pending."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slurm.run(
        *("sbatch", "--array=0-39", "--cpus-per-task=5", "--mem=1000", "--output=/dev/null"),
        *("--wrap", f"read line < {gate}"),
    )
    wait_until(
        lambda: sorted(job["state"] for job in slurm.jobs()) == ["PENDING"] * 36 + ["RUNNING"] * 4,
        20,
        "four tasks to run and 36 to wait",
    )
    slurm.cancel_jobs()
    assert slurm.jobs() == []


@pytest.mark.slurm
def test_submitit_maps_an_array(slurm: SlurmCluster, tmp_path: Path) -> None:
    """submitit, which starts Python by srun within each task, gets all results back."""

    def work(number: int) -> tuple[int, str, str]:
        import os  # cloudpickle takes the function along, but not this module

        return number**2, os.environ["SLURM_ARRAY_TASK_ID"], os.environ["SLURM_CPUS_PER_TASK"]

    executor = submitit.SlurmExecutor(folder=tmp_path)
    executor.update_parameters(cpus_per_task=5, mem="1GB", time=5)
    jobs = executor.map_array(work, range(8))
    slurm.wait_for_jobs()
    assert [job.result() for job in jobs] == [(n**2, str(n), "5") for n in range(8)]


@pytest.mark.slurm
def test_a_dead_node_loses_its_job_and_comes_back(slurm: SlurmCluster, tmp_path: Path) -> None:
    """A job on a node that dies is gone with it, is requeued, and ends on the node's return."""
    marks = tmp_path / "marks"
    length = f"600.{os.getpid()}"  # tells this test's sleep from all others on the machine
    script = f'echo start >> {marks}; [ -n "$SLURM_RESTART_COUNT" ] || srun sleep {length}'
    slurm.run("sbatch", "--nodelist=n2", "--requeue", "--output=/dev/null", "--wrap", script)

    def pids() -> list[int]:
        found = psutil.process_iter(["cmdline"])
        return [p.pid for p in found if (p.info["cmdline"] or [])[1:] == [length]]

    wait_until(lambda: len(pids()) == 1, 20, "the step to run")
    slurm.kill_node("n2", noticed=True)
    assert pids() == []
    slurm.wait_for_node("n2", "down", "down*")
    slurm.start_node("n2")
    slurm.wait_for_jobs()
    assert marks.read_text().split() == ["start", "start"]


@pytest.mark.slurm
def test_a_job_in_high_preempts_one_in_main(slurm: SlurmCluster, tmp_path: Path) -> None:
    """The preempted job is told by SIGTERM, requeued, and runs again when the other has ended."""
    story = tmp_path / "story"
    job = tmp_path / "job.sh"
    job.write_text(
        "#!/bin/bash\n"
        f'if [ -n "$SLURM_RESTART_COUNT" ]; then echo again >> {story}; exit; fi\n'
        f"trap 'echo told >> {story}; exit 0' TERM\n"
        f"echo start >> {story}\n"
        "sleep 600 & wait\n"
    )
    one_node = ("--nodelist=n1", "--cpus-per-task=5", "--mem=1000", "--output=/dev/null")
    slurm.run("sbatch", *one_node, "--requeue", str(job))
    wait_until(lambda: story.exists() and "start" in story.read_text(), 20, "the job to start")
    slurm.run("sbatch", *one_node, "--partition=high", "--wrap", f"echo high >> {story}")
    slurm.wait_for_jobs()
    assert story.read_text().split() == ["start", "told", "high", "again"]


@pytest.mark.slurm
def test_stop_leaves_nothing(slurm_cluster: SlurmCluster) -> None:
    """After stop there is no process of the cluster, not even one that detached itself."""
    cluster = SlurmCluster(nodes=1)  # beside the other cluster, which must not be hurt
    cluster.start()
    directory = cluster.directory
    assert directory is not None
    cluster.run("sbatch", "--output=/dev/null", "--wrap", "setsid sleep 601 & srun sleep 601")
    wait_until(lambda: sum("sleep 601" in p for p in processes_of(directory)) >= 3, 20, "the job")
    cluster.stop()
    assert processes_of(directory) == []
    assert not directory.exists()
    assert set(slurm_cluster.node_states()) == {"n1", "n2", "n3", "n4"}


@pytest.mark.slurm
def test_nothing_outlives_killed_tests(slurm: SlurmCluster) -> None:
    """When the tests' process is killed with SIGKILL, its cluster goes too."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.rigs.slurm import SlurmCluster\n"
        "cluster = SlurmCluster(nodes=1)\n"
        "cluster.start()\n"
        "print(cluster.directory, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ROOT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        directory = Path(tests.stdout.readline().strip())
        assert len(processes_of(directory)) >= 4  # the supervisor, munged, slurmctld, slurmd
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_of(directory), 10, "all its processes to be gone")
    wait_until(lambda: not directory.exists(), 10, "its directory to be gone")


@pytest.mark.slurm
def test_a_bad_setting_is_told_with_the_log(slurm: SlurmCluster) -> None:
    """A cluster that doesn't start says why, and leaves nothing."""
    cluster = SlurmCluster(nodes=1, extra={"NoSuchSetting": "1"})
    with pytest.raises(ClusterError, match="NoSuchSetting"):
        cluster.start()
    assert cluster.directory is None


@pytest.mark.slurm
def test_accounting_answers_sacct(slurm_with_accounting: SlurmCluster) -> None:
    """With accounting `sacct` knows of ended jobs; without, it fails as on many sites."""
    cluster = slurm_with_accounting
    cluster.run("sbatch", "--output=/dev/null", "--wrap", "exit 3")
    cluster.wait_for_jobs()
    sacct = ("sacct", "--noheader", "--allocations", "--parsable2", "--format=state,exitcode")
    wait_until(
        lambda: cluster.run(*sacct).stdout == "FAILED|3:0\n", 20, "sacct to know the job's end"
    )


@pytest.mark.slurm
def test_sacct_fails_without_accounting(slurm: SlurmCluster) -> None:
    """A cluster without slurmdbd refuses `sacct`, so that tests meet that case."""
    done = slurm.run("sacct", check=False)
    assert done.returncode != 0
    assert "accounting storage is disabled" in done.stderr


def test_no_slurm_hides_slurm_only(no_slurm: None) -> None:
    """Without Slurm's commands the other programs are still there."""
    for name in ("sbatch", "srun", "squeue", "scancel", "sacct", "scontrol"):
        assert shutil.which(name) is None
    for name in ("sh", "ls", "cat"):
        assert shutil.which(name) is not None


def test_fakes_note_calls_and_answer(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """The fakes remember arguments and scripts, and number the jobs as sbatch does."""
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho ä\n")

    def output(*argv: str, stdin: str | None = None) -> str:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True)
        return done.stdout

    assert output("sbatch", "--array=0-3", str(script)) == "Submitted batch job 1234\n"
    assert output("sbatch", "--parsable", "--wrap", "true") == "1235\n"
    assert output("sbatch", stdin="#!/bin/sh\n") == "Submitted batch job 1236\n"
    assert output("squeue", "--noheader") == ""
    calls = fake_slurm.calls("sbatch")
    assert [call.script for call in calls] == [script.read_text(), "true", "#!/bin/sh\n"]
    assert calls[0].argv == ["--array=0-3", str(script)]
    assert [call.argv for call in fake_slurm.calls("squeue")] == [["--noheader"]]
    assert fake_slurm.calls("scancel") == []


def test_fakes_do_as_told(fake_slurm: FakeSlurm) -> None:
    """A fake fails or answers as the test wants, until it is restored."""
    refusal = "sbatch: error: invalid partition specified: gpu"
    fake_slurm.fail("sbatch", refusal)
    fake_slurm.answer("squeue", "1234 RUNNING")
    sbatch = ["sbatch", "--wrap", "true"]
    failed = subprocess.run(sbatch, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", refusal + "\n")
    assert subprocess.check_output(["squeue"], text=True) == "1234 RUNNING\n"
    fake_slurm.restore("sbatch")
    assert subprocess.check_output(sbatch, text=True) == "Submitted batch job 1235\n"
    with pytest.raises(ValueError, match="no fake of 'qsub'"):
        fake_slurm.fail("qsub", "")
