"""The last actions of a worker: it requeues its job, or cancels jobs that wait; and its exit."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection, Iterator

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TIMED_OUT
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_control import kill_children
from orion_hpc.slurm.own_job import OwnJob

log = logging.getLogger(__name__)

EXIT_LIMIT = 120.0
"""Seconds that a job's process may take to exit: some libraries send their last data then."""


@contextlib.contextmanager
def exit_bounded(seconds: float = EXIT_LIMIT) -> Iterator[None]:
    """End this process that long after its main thread at the latest; for a job's own process.

    Python waits at its exit for threads and processes that a trial or a library has left, without
    a limit, and submitit has SIGTERM ignored by then: the job would keep its place in the queue.
    """
    code = 1
    try:
        yield
        code = 0
    finally:
        threading.Thread(target=_exit_late, args=(seconds, code), daemon=True).start()


def _exit_late(seconds: float, code: int) -> None:
    # Python marks its main thread as ended before it waits for other threads and processes.
    threading.main_thread().join()
    time.sleep(seconds)
    left = [one.name for one in threading.enumerate() if not one.daemon and one.is_alive()]
    log.warning(
        "the job is over, and its process doesn't exit within %g s; it is ended now (threads that "
        "are left: %s)", seconds, ", ".join(left) or "none",
    )  # fmt: skip
    kill_children()
    os._exit(code)


def leave(
    job: OwnJob, state: ExperimentState, cause: str | None, folder: str, max_requeues: int
) -> bool:
    """Requeue the job, or cancel jobs that wait, after the worker has released everything.

    Return whether it cancelled the tasks that hadn't begun.

    Only for a job that was submitted for this experiment. Workers run in others, too: in a user's
    script or an interactive job, whose requeue, or whose array, is the user's to decide on.

    Parameters
    ----------
    job : OwnJob
    state : ExperimentState
        As the worker saw it last.
    cause : str or None
        Why it was stopped; None if it wasn't.
    folder : str
        The experiment's, of jobs.
    max_requeues : int
        How often one job is put back into the queue.
    """
    ours = state.job_ids("slurm")
    if (job.array or job.id) not in ours:
        return False
    if state.is_done or not state.is_open:
        return _cancel_waiting(job, ours, folder)
    if cause == TIMED_OUT:
        _requeue(job, max_requeues)
    return False


def _requeue(job: OwnJob, max_requeues: int) -> None:
    if job.requeues >= max_requeues:
        log.warning(
            "job %s was requeued %d times and isn't any more (worker.max_requeues: %d)",
            job.id, job.requeues, max_requeues,
        )  # fmt: skip
        return
    # Logged first: Slurm ends this process before scontrol has answered, at times.
    log.info("job %s goes back into the queue; its trials can go on elsewhere meanwhile", job.id)
    answer = job.requeue()
    if not answer.ok:
        log.error(
            "job %s couldn't be requeued: %s. Submit the experiment again when it is gone",
            job.id, answer.error,
        )  # fmt: skip


def _cancel_waiting(job: OwnJob, jobs: Collection[str], folder: str) -> bool:
    """Cancel the tasks that haven't begun; the first worker of each array does it for all.

    Return whether this one did.
    """
    try:
        layout.make_folder(folder)
        mark = os.path.join(folder, f".over-{job.array or job.id}")
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        return False  # another worker does it; if not, they begin, find nothing to do, and leave
    answer = job.cancel_waiting(jobs)
    if not answer.ok:
        log.warning("the tasks that still wait couldn't be cancelled: %s", answer.error)
        with contextlib.suppress(OSError):
            os.unlink(mark)
    return answer.ok
