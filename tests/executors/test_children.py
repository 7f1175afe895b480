"""Processes that a trial starts itself behave as under plain Python, in every executor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.executors.base import Executor, make_executor
from orion_hpc.worker.shutdown import StopNotice
from tests.options import needs_torch
from tests.rigs.executor_kinds import KINDS
from tests.rigs.waiting import wait_until

ROOT = Path(__file__).parents[2]

_PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials' processes, and theirs, import this module."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(params=KINDS)
def executor(request: pytest.FixtureRequest) -> Any:
    """Each executor with one slot."""
    name, options = KINDS[request.param]
    made: Executor = make_executor(name, 1, 1, **options)
    yield made
    made.close(kill=True)


def square(number: int) -> int:
    return number * number


def put(queue: Any) -> None:
    queue.put(os.getpid())


def start(method: str | None) -> list[int]:
    """Start a process, a pool and an executor of Python's own."""
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=put, args=(queue,))  # type: ignore[attr-defined]
    process.start()
    assert queue.get(timeout=_PATIENCE) == process.pid
    process.join(_PATIENCE)
    assert process.exitcode == 0
    with context.Pool(2) as pool:
        found = pool.map_async(square, [1, 2]).get(_PATIENCE)
    with ProcessPoolExecutor(1, mp_context=context) as other:
        return [*found, other.submit(square, 3).result(_PATIENCE)]


def choose(method: str) -> list[int]:
    """Choose how all processes are started, as some libraries do when they are imported."""
    multiprocessing.set_start_method(method, force=True)
    try:
        with multiprocessing.Pool(2) as pool:
            return pool.map_async(square, [1, 2]).get(_PATIENCE)
    finally:
        multiprocessing.set_start_method(None, force=True)


def in_a_task_of_its_own(_: object) -> list[int]:
    """Start processes in a task of an inner pool of joblib."""
    import joblib

    (found,) = joblib.Parallel(n_jobs=2)(joblib.delayed(start)(None) for _ in range(1))
    return list(found)


def terminated(_: object) -> int | None:
    """Return the exit code of a fork that was terminated while it waited."""
    child = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
    child.start()
    child.terminate()
    child.join(_PATIENCE)
    return child.exitcode


def load(_: object) -> list[int]:
    """Load data with processes of PyTorch."""
    from torch import multiprocessing as of_torch
    from torch.utils.data import DataLoader

    of_torch.spawn(square, nprocs=1)
    return [len(batch) for batch in DataLoader(range(5), batch_size=2, num_workers=2)]  # type: ignore[arg-type]


PROGRAM = """
import sys
from orion_hpc.executors.base import make_executor
from tests.executors.test_children import choose, start
from tests.rigs.executor_kinds import KINDS

if __name__ == "__main__":
    name, options = KINDS[sys.argv[1]]
    executor = make_executor(name, 1, 1, **options)
    try:
        for method in (None, "fork", "spawn", "forkserver"):
            assert executor.submit(start, method).result(60) == [1, 4, 9], method
        assert executor.submit(choose, "spawn").result(60) == [1, 4]
    finally:
        executor.close(kill=True)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_start_processes_works(kind: str, tmp_path: Path) -> None:
    """By default, and in each way that there is; also where the trial chooses one for all.

    In a program of its own: a fork can't use a fork server that its parent has started.
    """
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, kind], capture_output=True, text=True, timeout=200, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_inner_pools_tasks_may_start_processes() -> None:
    """What was true of the trial is true of its helpers."""
    pool = make_executor("joblib", 1, 2)
    try:
        assert pool.submit(in_a_task_of_its_own, None).result(_PATIENCE) == [1, 4, 9]
    finally:
        pool.close(kill=True)


@needs_torch
@pytest.mark.parametrize("kind", ["single", "loky"])
def test_pytorch_loads_data_in_processes(kind: str) -> None:
    """By a fork, as by default; and its own way to spawn."""
    name, options = KINDS[kind]
    made = make_executor(name, 1, 1, **options)
    try:
        assert made.submit(load, None).result(_PATIENCE) == [2, 2, 1]
    finally:
        made.close(kill=True)


def test_children_do_not_keep_the_workers_signal_handlers(executor: Executor) -> None:
    """They end when they are terminated, as a pool's processes are at its end.

    Where trials run in the worker's process, that has handlers of its own.
    """
    before = signal.getsignal(signal.SIGTERM)
    with StopNotice().listening(in_job=True):
        assert executor.submit(terminated, None).result(_PATIENCE) == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_of_the_functions_own_is_its_childrens_too() -> None:
    """As under plain Python; only ours are taken away."""

    def own(number: int, frame: object) -> None:
        os._exit(7)

    before = signal.getsignal(signal.SIGTERM)
    try:
        with StopNotice().listening(in_job=True):
            signal.signal(signal.SIGTERM, own)
            assert terminated(None) == 7
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_fork_may_leave_the_block_that_listens() -> None:
    """As a function's own fork does that goes on as its parent does."""
    pid, code = -1, 1
    try:
        with StopNotice().listening(in_job=True):
            pid = os.fork()
        code = int(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
    finally:
        if not pid:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def draw(path: str) -> list[float]:
    """Draw numbers from the generators that everybody shares, while others draw theirs."""
    import random

    import numpy

    Path(f"{path}.pid").write_text(str(os.getpid()))
    wait_until(Path(path).exists, 60, "to be told to draw")
    torch = sys.modules.get("torch")
    return [random.random(), numpy.random.rand(), *([float(torch.rand(1))] if torch else [])]


@pytest.mark.parametrize("kind", ["loky", "multiprocessing", "multiprocess", "dask"])
def test_trials_in_processes_draw_numbers_of_their_own(kind: str, tmp_path: Path) -> None:
    """Also where they are forks, and nothing was seeded."""
    import numpy

    numpy.random.rand()  # the forks inherit a generator in use
    name, options = KINDS[kind]
    executor = make_executor(name, 2, 2, **options)
    try:
        ones = [executor.submit(draw, str(tmp_path / which)) for which in "ab"]
        wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 60, "both to run")
        for which in "ab":
            (tmp_path / which).touch()
        first, second = (one.result(_PATIENCE) for one in ones)
    finally:
        executor.close(kill=True)
    assert not set(first) & set(second)


@needs_torch
def test_pytorchs_numbers_are_a_forks_own_too(tmp_path: Path) -> None:
    """It shares a generator as numpy does."""
    import torch

    torch.rand(1)
    test_trials_in_processes_draw_numbers_of_their_own("multiprocess", tmp_path)
