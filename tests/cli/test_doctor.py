"""`orion-hpc doctor` on this host, on a real Slurm cluster, and on storage that isn't fit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.rigs.command import COMMAND, orion_hpc
from tests.rigs.database import create
from tests.rigs.slurm import SlurmCluster
from tests.rigs.two_mounts import Shared
from tests.rigs.waiting import wait_until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def examined(*words: str | Path, code: int = 0, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the verdicts by the names of their checks; of several of one check, the worst."""
    done = orion_hpc("doctor", "--json", *words, **options)
    assert done.returncode == code, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["failed"] is (code == 1)
    order = ("failed", "warning", "unknown", "ok")
    ranked = sorted(told["verdicts"], key=lambda one: order.index(one["verdict"]), reverse=True)
    return {one["check"]: one for one in ranked}


def start(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start the command as a terminal would, in a group of its own."""
    return subprocess.Popen(
        [*COMMAND, "doctor", *map(str, words)],
        cwd=cwd, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wrapped(folder: Path, *command: str) -> Path:
    """Return a template whose tasks start the worker by ``command``."""
    text = orion_hpc("template").stdout
    path = folder / "site.sbatch.j2"
    path.write_text(text.replace("{{ command }}", f"{' '.join(command)} {{{{ command }}}}"))
    return path


def mounting(what: str) -> tuple[str, ...]:
    """Return the beginning of a command that runs where the storage was mounted otherwise."""
    return ("unshare", "--mount", "sh", "-c", f"'mount {what} && exec \"$@\"'", "sh")


# -- this host -------------------------------------------------------------------------------------


def test_this_host_alone(no_slurm: None, place: Path) -> None:
    """Processes stand in for nodes, which is told; a database that is there is left as it is."""
    create(place / "db.pkl")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    names = sorted(os.listdir(place))
    found = examined(cwd=place)
    assert sorted(os.listdir(place)) == names
    assert {path: path.read_bytes() for path in before} == before
    unsure = {name for name, one in found.items() if one["verdict"] != "ok"}
    assert unsure <= {"nodes", "quota", "space"}
    assert "no sbatch on the PATH" in found["nodes"]["found"]
    assert "3 processes of this host" in found["lock"]["found"]
    assert "excluded other processes" in found["lock kinds"]["found"]
    assert "all 72 trials" in found["journal"]["found"]


def test_a_person_is_told_line_by_line(no_slurm: None, place: Path) -> None:
    """And the folder is as it was."""
    (place / "a").mkdir()
    done = orion_hpc("doctor", "--nodes", "0", "--storage", place / "a" / "db.pkl")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if " lock  " in line[:16]]
    assert line.split()[0] == "ok"
    assert os.listdir(place) == ["a"]
    assert os.listdir(place / "a") == []


def test_a_storage_that_cant_be_written_to(no_slurm: None) -> None:
    """Told as a verdict, by whoever looks for one."""
    found = examined("--storage", "/proc/db.pkl", code=1)
    assert found["storage"]["verdict"] == "failed"
    assert "can't write beside /proc/db.pkl" in found["storage"]["found"]


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("missing", "there is neither a database nor a folder {}"),
        ("missing/", "there is neither a database nor a folder {}"),
        ("missing/db.pkl", "there is no folder {} for the database {}/db.pkl"),
    ],
)
def test_a_folder_that_isnt_there_is_a_failure(
    no_slurm: None, place: Path, storage: str, says: str
) -> None:
    """In one sentence, without a verdict that is good; nothing is made."""
    done = orion_hpc("doctor", "--nodes", "0", "--storage", f"{place}/{storage}")
    told, advice = done.stdout.splitlines()
    assert told.split()[:2] == ["failed", "storage"]
    assert told.endswith(says.replace("{}", f"{place}/missing"))
    assert advice.strip()
    assert done.returncode == 1
    assert os.listdir(place) == []


def test_bad_input_is_refused(no_slurm: None, place: Path) -> None:
    """With 2, and nothing written."""
    for words in (["nope.yaml"], ["--executor", "debug"], ["--time", "soon"]):
        done = orion_hpc("doctor", *words, cwd=place)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "Traceback" not in done.stderr
    assert os.listdir(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_no_process_and_no_file(
    no_slurm: None, place: Path, number: signal.Signals
) -> None:
    """While the lock is tried out."""
    process = start(cwd=place)
    wait_until(lambda: bool(list(place.glob("*/contention.lock"))), 60, "the lock to be tried")
    others = psutil.Process(process.pid).children(recursive=True)
    assert len(others) >= 2
    os.kill(process.pid, number)
    told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert psutil.wait_procs(others, timeout=10)[1] == []
    assert os.listdir(place) == []


# -- Slurm -----------------------------------------------------------------------------------------


@pytest.mark.slurm
@pytest.mark.parametrize("template", [False, True])
def test_two_nodes(slurm: SlurmCluster, tmp_path: Path, template: bool) -> None:
    """On the way that workers take. Which nodes they were is told, and if it was but one."""
    words: list[str | Path] = ["--template", wrapped(tmp_path)] if template else []
    here = sorted(os.listdir(tmp_path))
    found = examined(*words, "--", "--exclusive", cwd=tmp_path)
    assert "2 tasks ran on n1 and n2" in found["nodes"]["found"]
    expected = {"slurm", "nodes", "file system", "writing", "python", "lock", "journal", "delay"}
    assert all(found[name]["verdict"] == "ok" for name in expected), found
    assert "this host, n1 and n2" in found["lock"]["found"]
    assert sorted(os.listdir(tmp_path)) == here
    assert slurm.jobs() == []
    if not template:
        found = examined(cwd=tmp_path)
        assert found["nodes"]["verdict"] == "warning"
        assert "all 2 tasks ran on n1" in found["nodes"]["found"]
        assert "--exclusive" in found["nodes"]["advice"]


@pytest.mark.slurm
def test_nodes_that_dont_see_the_folder(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Whatever lies there is another disk on them."""
    (tmp_path / "data").mkdir()
    template = wrapped(tmp_path, *mounting(f"-t tmpfs none {tmp_path}/data"))
    found = examined(
        "--storage", tmp_path / "data" / "db.pkl", "--template", template, "--nodes", "1", code=1
    )
    assert found["nodes"]["verdict"] == "failed"
    assert "n1 can't read" in found["nodes"]["found"]
    assert "under the same path" in found["nodes"]["advice"]
    assert found["lock"]["verdict"] == "unknown"
    assert os.listdir(tmp_path / "data") == []


@pytest.mark.slurm
def test_nodes_that_lack_what_jobs_start(slurm: SlurmCluster, tmp_path: Path) -> None:
    """What the job's log says of it is told, at once and not after the wait."""
    template = wrapped(tmp_path, "/opt/env/bin/run")
    found = examined("--template", template, cwd=tmp_path, code=1)
    assert found["nodes"]["verdict"] == "failed"
    assert "0 of 2 tasks came" in found["nodes"]["found"]
    assert "/opt/env/bin/run" in found["nodes"]["found"]
    assert os.listdir(tmp_path) == [template.name]


@pytest.mark.slurm
@pytest.mark.sharedfs
@pytest.mark.parametrize(("lock", "verdict"), [("flock", "failed"), ("lease", "ok")])
def test_a_lock_that_nodes_dont_share(
    slurm: SlurmCluster, sshfs: Shared, tmp_path: Path, lock: str, verdict: str
) -> None:
    """The node has a mount of its own: there a flock is another one, and a lease is not."""
    config = tmp_path / "config.yaml"
    config.write_text(f"storage: {sshfs.first}/db.pkl\nlock: {lock}\n")
    template = wrapped(tmp_path, *mounting(f"--bind {sshfs.second} {sshfs.first}"))
    code = 1 if verdict == "failed" else 0
    found = examined(config, "--template", template, "--nodes", "1", code=code, timeout=280)
    assert found["lock"]["verdict"] == verdict, found
    if verdict == "failed":
        assert "lock: lease" in found["lock"]["advice"]
    assert found["lock kinds"]["verdict"] == verdict, found
    assert "flock doesn't work (n1 had it, too)" in found["lock kinds"]["found"]
    assert found["file system"]["verdict"] == "warning"
    assert os.listdir(sshfs.served) == [], list(sshfs.served.rglob("*"))


@pytest.mark.slurm
@pytest.mark.parametrize("begun", [False, True])
def test_interrupted_it_leaves_no_job(slurm: SlurmCluster, tmp_path: Path, begun: bool) -> None:
    """Neither one that waits nor one that runs, and no file."""
    words = [] if begun else ["--", "--begin=now+1hour"]
    process = start(*words, cwd=tmp_path)
    state = "RUNNING" if begun else "PENDING"
    wait_until(lambda: {job["state"] for job in slurm.jobs()} == {state}, 60, f"jobs {state}")
    os.kill(process.pid, signal.SIGINT)
    told = process.communicate(timeout=100)
    assert process.returncode == 130, told
    assert [job for job in slurm.jobs() if job["state"] != "COMPLETING"] == []
    assert os.listdir(tmp_path) == []


@pytest.mark.slurm
def test_tasks_that_dont_begin(slurm: SlurmCluster, tmp_path: Path) -> None:
    """After the wait what isn't known is told with Slurm's reason, and no job is left."""
    done = orion_hpc("doctor", "--wait", "5", "--", "--begin=now+1hour", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "unknown  nodes" in done.stdout
    assert "2 pending (BeginTime)" in done.stdout
    assert slurm.jobs() == []
    assert os.listdir(tmp_path) == []
