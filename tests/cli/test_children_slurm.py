"""Processes that a trial starts itself, in jobs of a real Slurm, in every executor.

The same on this machine, with more ways, is in ``tests/executors/test_children.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from tests.rigs.command import orion_hpc, project
from tests.rigs.slurm import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

CONFIG = """\
name: {name}
function: quick:main
space: {{method: "choices(['default', 'fork', 'spawn', 'forkserver', 'chosen'])"}}
algorithm: grid
storage: db.pkl
worker: {{executor: {executor}, heartbeat: 5}}
"""

MAIN = """\
import multiprocessing, os, subprocess, time
from concurrent.futures import ProcessPoolExecutor

def square(number):
    return number * number

def put(queue):
    queue.put(os.getpid())

def main(method):
    if method == "chosen":
        multiprocessing.set_start_method("spawn", force=True)
    context = multiprocessing.get_context(None if method in ("default", "chosen") else method)
    queue = context.Queue()
    process = context.Process(target=put, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == process.pid
    process.join(60)
    with context.Pool(2) as pool:
        found = pool.map_async(square, [1, 2]).get(60)
    with ProcessPoolExecutor(1, mp_context=context) as other:
        found.append(other.submit(square, 3).result(60))
    if method == "chosen":
        multiprocessing.set_start_method(None, force=True)
    assert found == [1, 4, 9]
    waiting = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    waiting.start()
    time.sleep(0.5)
    waiting.terminate()
    waiting.join(10)
    assert waiting.exitcode == -15, "it has the worker's handlers"
    # What a trial forgets doesn't keep the job in the queue.
    subprocess.Popen(["sleep", "900"])
    return 0.5
"""


EXECUTORS = ("single", "joblib", "poolexecutor", "dask")


def test_children_of_trials_work_in_jobs(slurm: SlurmCluster, tmp_path: Path) -> None:
    """In each way to start them; and jobs end when their workers have, whatever trials left."""
    for name in EXECUTORS:
        text = CONFIG.format(name=name, executor=name)
        done = orion_hpc("submit", project(tmp_path / name, text, quick=MAIN))
        assert done.returncode == 0, done.stderr
    slurm.wait_for_jobs(timeout=240)
    for name in EXECUTORS:
        trials = PickledDB(str(tmp_path / name / "db.pkl")).refresh().experiments[1].trials
        logs = "\n".join(path.read_text() for path in (tmp_path / name).rglob("*.out"))
        assert [trial.status for trial in trials] == ["completed"] * 5, logs
        assert "its process doesn't exit" not in logs
