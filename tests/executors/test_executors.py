"""One contract for all executors, and what joblib's promises beyond it: deaths, ends, CPUs."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

import psutil
import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.executors import limits
from orion_hpc.executors.base import ProcessDied, check_executor, make_executor
from orion_hpc.executors.joblib import JoblibExecutor
from orion_hpc.model.trial_record import KILLED, OUT_OF_MEMORY
from tests.rigs.executor_kinds import KINDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Let trials' processes import this module, which functions are passed as names of."""
    monkeypatch.syspath_prepend(str(ROOT))


def square(number):
    return number * number


def fail(text):
    raise ValueError(text)


def leave(code):
    sys.exit(code)


def pid(_):
    return os.getpid()


def die(how):
    if isinstance(how, signal.Signals):
        os.kill(os.getpid(), how)
    os._exit(how)


def until(path):
    """Announce the process in ``path``.pid and run until ``path`` exists."""
    Path(f"{path}.pid").write_text(str(os.getpid()))
    while not os.path.exists(path):
        time.sleep(0.005)
    return "done"


def family(folder):
    """Start an inner pool and a command, leave their numbers in ``folder``, and stay."""
    import joblib

    def inner(number):
        Path(folder, f"inner{number}.pid").write_text(str(os.getpid()))
        threading.Event().wait()

    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as command:
        Path(folder, "command.pid").write_text(str(command.pid))
        joblib.Parallel(n_jobs=2)(joblib.delayed(inner)(number) for number in range(2))


def family_and_death(folder):
    """As above, and die when all have come."""

    def watch():
        while len([name for name in os.listdir(folder) if name.startswith("inner")]) < 2:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGSEGV)

    threading.Thread(target=watch).start()
    family(folder)


def inner_pool(arguments):
    """Return what joblib's default and explicit pools look like from within a trial."""
    import joblib
    import threadpoolctl

    def look(_):
        time.sleep(0.05)
        import numpy  # noqa: F401  # brings a BLAS whose threads can be counted

        threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        return os.getpid(), int(os.environ["OMP_NUM_THREADS"]), max(threads), joblib.cpu_count()

    seen = {"n_jobs": joblib.effective_n_jobs(), "own": int(os.environ["OMP_NUM_THREADS"])}
    for name, options in arguments.items():
        with joblib.parallel_config(**options):
            seen[name] = joblib.Parallel()(joblib.delayed(look)(place) for place in range(20))
    return seen


def appear(path, seconds=30):
    """Wait for the file and return the number in it."""
    end = time.monotonic() + seconds
    while not (os.path.exists(path) and (text := Path(path).read_text())):
        assert time.monotonic() < end, f"{path} didn't come"
        time.sleep(0.005)
    return int(text)


def gone(number, seconds=5):
    """Whether the process ends within ``seconds``."""
    try:
        process = psutil.Process(number)
        end = time.monotonic() + seconds
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
    except psutil.NoSuchProcess:
        pass
    return True


POOLS = [kind for kind in KINDS if kind != "single"]
OF_PROCESSES = ["loky", "multiprocessing", "multiprocess", "pool_loky", "dask"]


def make(kind, n_workers, cpus):
    """Return an executor of a kind."""
    name, options = KINDS[kind]
    return make_executor(name, n_workers, cpus, **options)


@pytest.fixture(params=KINDS)
def executor(request):
    """Each executor with one slot."""
    made = make(request.param, 1, 1)
    yield made
    made.close(kill=True)


@pytest.fixture
def pool():
    """joblib's executor with two slots."""
    made = JoblibExecutor(2, 2)
    yield made
    made.close(kill=True)


def test_results_come_back(executor):
    """A future gives what the function returned; wait tells that it is done."""
    future = executor.submit(square, 3)
    assert executor.wait([future], 30) == {future}
    assert future.result() == 9


def test_exceptions_come_back(executor):
    """An exception, and an exit, are the function's and don't end the executor."""
    with pytest.raises(ValueError, match="no luck"):
        executor.submit(fail, "no luck").result()
    if type(executor).__name__ != "DaskExecutor":  # there it ends the process
        with pytest.raises(SystemExit):
            executor.submit(leave, 3).result()
    assert executor.submit(square, 2).result() == 4


def test_a_thousand_small_functions(executor):
    """More than there are slots may be submitted; all are run."""
    futures = [executor.submit(square, number) for number in range(1000)]
    assert [future.result() for future in futures] == [number**2 for number in range(1000)]


def test_a_closed_executor_takes_nothing(executor):
    """After close a submission fails at once and doesn't wait for ever; closing twice is fine."""
    executor.close()
    executor.close(kill=True)
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)


@pytest.mark.parametrize("kind", POOLS)
def test_of_many_no_more_run_than_there_are_slots(kind, tmp_path):
    """The others wait for their turn."""
    pool = make(kind, 2, 4)
    try:
        paths = [tmp_path / str(number) for number in range(5)]
        futures = [pool.submit(until, str(path)) for path in paths]
        appear(tmp_path / "0.pid")
        appear(tmp_path / "1.pid")
        assert pool.wait(futures, 0.3) == set()
        assert len(list(tmp_path.glob("*.pid"))) == 2
        for path in paths:
            path.touch()
        assert {future.result(30) for future in futures} == {"done"}
    finally:
        pool.close(kill=True)


@pytest.mark.parametrize("kind", OF_PROCESSES)
def test_a_death_is_told_by_each_that_has_processes(kind):
    """It is that function's end alone; the next one has a new process."""
    pool = make(kind, 2, 2)
    try:
        for how in (signal.SIGKILL, 3):
            assert isinstance(pool.submit(die, how).exception(60), ProcessDied)
        assert pool.submit(square, 3).result(60) == 9
    finally:
        pool.close(kill=True)


@pytest.mark.parametrize("kind", POOLS)
def test_close_by_force_ends_what_runs(kind, tmp_path):
    """And cancels what waits. The function would go on for ever."""
    pool = make(kind, 1, 1)
    running = pool.submit(until, str(tmp_path / "never"))
    waiting = pool.submit(square, 2)
    number = appear(tmp_path / "never.pid")
    pool.close(kill=True)
    assert waiting.cancelled()
    assert isinstance(running.exception(5), BaseException)
    if kind in OF_PROCESSES:
        assert gone(number)
    with pytest.raises(RuntimeError):
        pool.submit(square, 1)


@pytest.mark.parametrize("limit", [None, "2"])
def test_a_dask_cluster_leaves_the_environment_alone(monkeypatch, limit):
    """What is started later would think that it had been told to use one thread.

    And a limit of this process, which is the limit of all trials together, isn't each trial's.
    """
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    before = dict(os.environ)
    pool = make("dask", 1, 1)
    try:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result(30) == "1"
        assert os.environ == before
        assert isinstance(pool.submit(die, 3).exception(30), ProcessDied)
        assert pool.submit(square, 2).result(60) == 4
    finally:
        pool.close(kill=True)
    assert os.environ == before


def sum_in(arguments):
    """Return a sum that joblib's tasks on a backend add up."""
    import joblib

    backend, number = arguments
    with joblib.parallel_backend(backend):
        return sum(joblib.Parallel()(joblib.delayed(square)(one) for one in range(number)))


def has_joblib(_):
    return "joblib" in sys.modules


def test_a_dask_cluster_gives_up_no_worker_that_is_silent():
    """All of them are when they come back from a suspension together, for longer than dask's five
    minutes perhaps; that a process died is told by its nanny."""
    pool = make("dask", 1, 1)
    try:
        assert pool._own.scheduler.worker_ttl is None
    finally:
        pool.close()


def test_a_worker_that_outlives_its_dask_cluster_is_killed(monkeypatch):
    """One that its nanny was just starting: nobody else would, and Python waits for it at its end.

    Such a moment can't be had on demand: here the nannies don't say their workers' numbers, and the
    cluster doesn't end them.
    """
    other = make("dask", 1, 1)
    pool = make("dask", 1, 1)
    try:
        (theirs,) = other._client.run(os.getpid).values()
        (ours,) = pool._client.run(os.getpid).values()
        cluster = pool._own
        monkeypatch.setattr(pool, "_kill", lambda: None)
        monkeypatch.setattr(cluster, "close", lambda timeout: None)
        pool.close(kill=True)
        assert gone(ours, 0)
        assert other.submit(abs, -2).result(60) == 2, "another cluster's worker lives"
        assert not gone(theirs, 0)
    finally:
        monkeypatch.undo()
        cluster.close(timeout=10)
        other.close(kill=True)


def test_joblib_is_whole_in_a_dask_worker_before_anything_runs():
    """A function's import of it, and that of another's tasks as they arrive, met half way."""
    pool = make("dask", 1, 1)
    try:
        assert pool.submit(has_joblib, 0).result(60)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        ("loky", "loky"),
        ("loky", "threading"),
        ("multiprocessing", "loky"),
        ("multiprocess", "threading"),
        ("threading", "threading"),
        ("threading", "loky"),
        ("dask", "dask"),
        ("dask", "loky"),
    ],
)
def test_functions_start_tasks_of_their_own(kind, backend):
    """As many functions as there are slots do, and more wait: nobody blocks anybody."""
    pool = make(kind, 2, 4)
    try:
        futures = [pool.submit(sum_in, (backend, 10)) for _ in range(4)]
        assert [future.result(120) for future in futures] == [285] * 4
    finally:
        pool.close(kill=True)


def test_single_runs_in_this_thread_and_one_at_a_time():
    """The single executor is what a debugger needs, and says what to use for more."""
    single = make_executor("single", 1, 1)
    assert single.in_process
    assert single.submit(lambda _: threading.get_ident(), None).result() == threading.get_ident()
    with pytest.raises(ConfigurationError, match="one trial at a time") as caught:
        make_executor("single", 2, 1)
    assert "joblib" in caught.value.hint


def test_an_interruption_of_single_is_the_workers():
    """Ctrl-C during a trial reaches the worker's loop instead of a future."""

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_executor("single", 1, 1).submit(interrupt, None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("singleexecutor", {}),
        ("SingleExecutor", {}),
        ("Joblib", {"backend": "multiprocess"}),
        ("PoolExecutor", {"backend": "threading"}),
        ("poolexecutor", {"backend": "loky"}),
    ],
)
def test_orions_names_work(name, options):
    """They have no case there, and some of them differ."""
    check_executor(name, 1, options)
    pool = make_executor(name, 1, 1, **options)
    try:
        assert pool.submit(square, 3).result(60) == 9
    finally:
        pool.close(kill=True)


def test_an_unknown_executor_is_told_with_the_known():
    """A misspelt name and an impossible number are found without starting anything."""
    with pytest.raises(ConfigurationError, match=r"did you mean joblib\?"):
        check_executor("jobli", 1)
    with pytest.raises(ConfigurationError, match="at least 1"):
        check_executor("joblib", 0)


@pytest.mark.parametrize(
    ("how", "told", "status"),
    [
        (signal.SIGSEGV, "the trial's process died with SIGSEGV", -signal.SIGSEGV),
        (signal.SIGKILL, "the trial's process died with SIGKILL", -signal.SIGKILL),
        (3, "the trial's process exited with code 3", 3),
        (0, "the trial's process exited with code 0", 0),
    ],
)
def test_a_death_is_told_and_concerns_nobody_else(pool, tmp_path, how, told, status):
    """A trial's process that dies takes neither the executor nor the trial beside it along."""
    innocent = pool.submit(until, str(tmp_path / "go"))
    appear(tmp_path / "go.pid")
    dead = pool.submit(die, how)
    with pytest.raises(ProcessDied) as caught:
        dead.result(30)
    error = caught.value
    assert (error.message, error.cause, error.exit_status) == (told, KILLED, status)
    assert pool.submit(square, 4).result(30) == 16
    assert not innocent.done()
    (tmp_path / "go").touch()
    assert innocent.result(30) == "done"


def test_many_deaths_in_a_row(pool):
    """Every death is told and every slot comes back, also where all die at once."""
    futures = [pool.submit(die, signal.SIGKILL) for _ in range(6)]
    assert all(isinstance(future.exception(60), ProcessDied) for future in futures)
    assert pool.submit(square, 4).result(30) == 16


def test_a_death_while_idle_is_no_trials(pool):
    """A process that was killed between trials is replaced before the next one."""
    first = pool.submit(pid, None).result(30)
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    # The pool learns of it in a thread of its own; until then a function may be sent to the dead.
    broken = pool._slots[-1]._pool
    end = time.monotonic() + 10
    while broken._flags.broken is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert pool.submit(pid, None).result(30) != first


def test_the_kernels_killings_for_memory_are_told_apart(tmp_path):
    """SIGKILL while the kernel's count of out-of-memory kills rose is out of memory."""
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 1\noom_kill 4\noom_kill_other 9\n")

    def kill_for_memory(path):
        Path(path).write_text("oom_kill 5\n")
        os.kill(os.getpid(), signal.SIGKILL)

    pool = JoblibExecutor(1, 1, vmstat=str(vmstat))
    try:
        error = pool.submit(kill_for_memory, str(vmstat)).exception(30)
    finally:
        pool.close(kill=True)
    assert isinstance(error, ProcessDied)
    assert error.cause == OUT_OF_MEMORY
    assert error.message == "the trial's process was killed by the kernel: out of memory"
    assert ProcessDied.of(-signal.SIGSEGV, oom_killed=True).cause == KILLED


def test_a_death_can_be_pickled():
    """The error crosses process borders with all its fields."""
    error = pickle.loads(pickle.dumps(ProcessDied("gone", OUT_OF_MEMORY, -9)))
    assert (error.message, error.cause, error.exit_status) == ("gone", OUT_OF_MEMORY, -9)


def test_what_cannot_be_sent_is_told(pool):
    """An argument or a result that can't be pickled is an error of its own, not a death."""
    future = pool.submit(square, threading.Lock())
    assert not isinstance(future.exception(30), ProcessDied | None)
    future = pool.submit(lambda _: threading.Lock(), None)
    assert not isinstance(future.exception(30), ProcessDied | None)
    assert pool.submit(square, 2).result(30) == 4


def test_never_more_than_n_workers_at_once(pool, tmp_path):
    """Of five functions two run, in two processes, until one of them ends."""
    paths = [tmp_path / str(number) for number in range(5)]
    futures = [pool.submit(until, str(path)) for path in paths]
    first = {appear(tmp_path / "0.pid"), appear(tmp_path / "1.pid")}
    assert len(first) == 2
    assert pool.wait(futures, 0.2) == set()
    assert sum(future.running() for future in futures) == 2
    assert len(list(tmp_path.glob("*.pid"))) == 2
    for path in paths:
        path.touch()
    assert pool.wait(futures, 30)
    assert {future.result(30) for future in futures} == {"done"}
    assert {int(path.read_text()) for path in tmp_path.glob("*.pid")} == first


def test_close_waits_for_what_was_submitted(tmp_path):
    """A gentle close gives every result, and leaves no process."""
    pool = JoblibExecutor(2, 2)
    futures = [pool.submit(pid, None) for _ in range(6)]
    pool.close()
    pids = {future.result(0) for future in futures}
    assert all(gone(number, 0) for number in pids)


def test_close_kills_a_whole_family(tmp_path):
    """Kill ends the trial, its inner pool and a command in a session of its own; none waits."""
    pool = JoblibExecutor(1, 2)
    running = pool.submit(family, str(tmp_path))
    waiting = pool.submit(square, 2)
    names = ("inner0.pid", "inner1.pid", "command.pid")
    pids = {appear(tmp_path / name) for name in names}
    trial = psutil.Process(appear(tmp_path / "command.pid")).ppid()
    pool.close(kill=True)
    assert [number for number in (trial, *pids) if not gone(number, 0)] == []
    assert isinstance(running.exception(0), ProcessDied)
    assert waiting.cancelled()


def test_a_dead_trial_leaves_no_inner_pool(tmp_path):
    """The processes of a crashed trial's own pool don't go on beside the next trial."""
    pool = JoblibExecutor(1, 2)
    try:
        error = pool.submit(family_and_death, str(tmp_path)).exception(30)
        assert isinstance(error, ProcessDied)
        assert all(gone(appear(tmp_path / f"inner{number}.pid")) for number in range(2))
    finally:
        pool.close(kill=True)
        os.kill(appear(tmp_path / "command.pid"), signal.SIGKILL)


def test_notices_are_left_to_the_worker(pool, tmp_path):
    """The signals that Slurm sends to all processes of a job don't break the running trial."""
    before = set(psutil.Process().children(recursive=True))
    running = pool.submit(until, str(tmp_path / "go"))
    number = appear(tmp_path / "go.pid")
    # Not what other tests of this session started: a cluster, or trackers that dask started.
    family = [
        member for member in psutil.Process().children(recursive=True) if member not in before
    ]
    assert number in {member.pid for member in family}
    for notice in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        for member in family:
            member.send_signal(notice)
    (tmp_path / "go").touch()
    assert running.result(30) == "done"
    dead = [member for member in family if gone(member.pid, 0)]
    assert dead == [], "resource trackers have to outlive the notices too"


def test_forks_of_a_trial_can_be_terminated(pool):
    """A trial's own multiprocessing pool ends by SIGTERM: only the trial itself is deaf to it."""

    def fork(_):
        import multiprocessing

        child = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
        child.start()
        child.terminate()
        child.join(10)
        return child.exitcode

    assert pool.submit(fork, None).result(30) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("cpus", "n_workers", "share"), [(5, 1, 5), (4, 2, 2), (1, 1, 1), (2, 3, 1)]
)
def test_a_trials_pool_has_its_share_of_the_cpus(cpus, n_workers, share):
    """By default a trial's pool has its CPUs in processes, each of them with one thread.

    However many the machine has. A pool that was asked for by number divides them.
    """
    pool = JoblibExecutor(n_workers, cpus)
    options = {
        "default": {},
        "backend": {"backend": "loky", "n_jobs": -1},
        "two": {"n_jobs": 2},
        "explicit": {"backend": "loky", "n_jobs": 2, "inner_max_num_threads": 1},
    }
    try:
        seen = pool.submit(inner_pool, options).result(120)
    finally:
        pool.close(kill=True)
    assert (seen["n_jobs"], seen["own"]) == (share, share)
    for name in ("default", "backend"):
        assert len({number for number, *_ in seen[name]}) == share, name
    if share > 1:  # else the pool is the trial itself
        assert {tuple(rest[:2]) for _, *rest in seen["default"]} == {(1, 1)}
        assert {cpus for *_, cpus in seen["default"]} == {1}
        assert {omp for _, omp, *_ in seen["two"]} == {share // 2}
        assert {omp for _, omp, *_ in seen["explicit"]} == {1}
    for name in options:
        processes = {number for number, *_ in seen[name]}
        threads = max(count for _, _, count, _ in seen[name])
        if name in ("default", "backend"):
            assert len(processes) * threads <= share, name


def test_a_lower_limit_on_threads_stays():
    """``export OMP_NUM_THREADS=1`` in a job's script is somebody's wish; a higher one isn't had."""
    environ = {"OMP_NUM_THREADS": "1,2", "MKL_NUM_THREADS": "64", "NUMBA_NUM_THREADS": "x"}
    made = limits.environment(4, environ)
    assert made["OMP_NUM_THREADS"] == "1"
    assert {made[name] for name in limits.THREADS[1:]} == {"4"}
    assert made["LOKY_MAX_CPU_COUNT"] == "4"


PROGRAM = """
import os, signal, sys, threading, time
from pathlib import Path
from orion_hpc.executors.joblib import JoblibExecutor

def task(folder):
    import joblib, numpy
    def inner(array):
        Path(folder, f"{os.getpid()}.pid").write_text(str(os.getpid()))
        if mode != "leave":
            threading.Event().wait()
    joblib.Parallel(n_jobs=2)(joblib.delayed(inner)(numpy.ones(300_000)) for _ in range(2))

mode, folder = sys.argv[1:]
pool = JoblibExecutor(1, 2)
future = pool.submit(task, folder)
if mode == "leave":
    future.result()
else:
    while len(list(Path(folder).glob("*.pid"))) < 2:
        time.sleep(0.01)
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    pool.close(kill=True)
"""


@pytest.mark.parametrize(("mode", "code"), [("leave", 0), ("kill", 0), ("die", -signal.SIGKILL)])
def test_a_program_ends_quietly_and_alone(tmp_path, mode, code):
    """Whether it forgets to close, kills or is killed: no process stays, nothing is on stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode, str(tmp_path)], capture_output=True, timeout=120
    )
    assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (code, b"", "")
    pids = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    assert pids
    assert [number for number in pids if not gone(number)] == []


def test_nothing_starts_before_the_first_submission():
    """Constructing one costs no process."""
    before = psutil.Process().children()
    JoblibExecutor(4, 4).close()
    assert psutil.Process().children() == before


def test_wait_returns_at_the_first(pool, tmp_path):
    """One that is done is enough; the others go on."""
    slow = pool.submit(until, str(tmp_path / "go"))
    quick = pool.submit(square, 2)
    wait([slow, quick], 30, FIRST_COMPLETED)
    assert pool.wait([slow, quick], None) == {quick}
    (tmp_path / "go").touch()
