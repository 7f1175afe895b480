"""The Slurm job that this process runs in: its facts, and requests to Slurm about it."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orion_hpc.slurm.commands import Answer, ask

_TIME_LEFT = re.compile(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", re.ASCII)
_TRIES = 3


def in_batch_job(environ: Mapping[str, str]) -> bool:
    """Return whether this is a job of a batch system, which sends a notice to all its processes."""
    return "SLURM_JOB_ID" in environ


@dataclass(frozen=True, slots=True)
class OwnJob:
    """One job, or one task of a job array.

    Attributes
    ----------
    id : str
        The id for Slurm's commands: ``12`` or, for a task, ``12_3``.
    array : str or None
        The job id of its array.
    name : str
        The job's name.
    requeues : int
        How often it was requeued.
    end : float or None
        The time limit in seconds since the epoch, where the job's environment has it.
    cluster : str
        Slurm's name of the cluster.
    """

    id: str
    array: str | None
    name: str
    requeues: int
    end: float | None
    cluster: str = ""

    def time_left(self) -> float | None:
        """Return the seconds up to the time limit; None: there is none, or it isn't known.

        Slurm before 23.02 doesn't set ``SLURM_JOB_END_TIME`` in a job's environment; then squeue
        is asked.
        """
        return self.ask_time_left() if self.end is None else self.end - time.time()

    def ask_time_left(self, tries: int = _TRIES) -> float | None:
        """Return the answer of squeue; see :meth:`time_left`."""
        asked = ask("squeue", "--noheader", "--format=%L", f"--jobs={self.id}", tries=tries)
        return time_left(asked.output) if asked.ok else None

    def requeue(self) -> Answer:
        """Put this job, and no other task, back into the queue. Slurm then ends it here."""
        return ask("scontrol", "requeue", self.id, tries=_TRIES)

    def cancel_waiting(self, jobs: Collection[str]) -> Answer:
        """Cancel the tasks of ``jobs`` that haven't begun.

        Only jobs with this job's name are cancelled: an id may be that of another cluster.
        """
        answer = ask("scancel", "--state=PENDING", f"--name={self.name}", *jobs, tries=_TRIES)
        # A job that Slurm has forgotten doesn't wait; the others were cancelled nevertheless.
        rest = [line for line in answer.error.splitlines() if "Invalid job id" not in line]
        return answer if answer.ok or rest else Answer(True, answer.output)


def requested_memory(environ: Mapping[str, str], cpus: int) -> int | None:
    """Return the bytes of memory that this job has; None: no limit, or not known.

    Slurm's numbers are mebibytes, and 0 is all of a node's memory (sbatch(1), ``--mem``).
    """
    for variable, times in (("SLURM_MEM_PER_NODE", 1), ("SLURM_MEM_PER_CPU", cpus)):
        value = environ.get(variable, "")
        if value.isdecimal() and int(value):
            return int(value) * times * 1024**2
    return None


def own_job(environ: Mapping[str, str]) -> OwnJob | None:
    """Return the Slurm job in ``environ``, None outside of a job."""
    job = environ.get("SLURM_JOB_ID", "")
    if not job.isdecimal():
        return None
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    restarts, end = environ.get("SLURM_RESTART_COUNT", ""), environ.get("SLURM_JOB_END_TIME", "")
    return OwnJob(
        id=f"{array}_{task}" if array and task else job,
        array=array,
        name=environ.get("SLURM_JOB_NAME", ""),
        requeues=int(restarts) if restarts.isdecimal() else 0,
        end=float(end) if end.isdecimal() else None,
        cluster=environ.get("SLURM_CLUSTER_NAME", ""),
    )


def time_left(text: str) -> float | None:
    """Return the seconds in squeue's ``%L``, such as ``1-02:03:04`` or ``59``.

    None for words: ``UNLIMITED``, ``NOT_SET``, ``INVALID``.
    """
    match = _TIME_LEFT.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
