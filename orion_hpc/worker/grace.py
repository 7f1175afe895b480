"""How long the trials of a worker that was told to stop have to themselves.

Pure decisions. That the worker is told is left to ``stop``, and that its trials learn of it to
``notice``.
"""

from __future__ import annotations

from dataclasses import dataclass

from orion_hpc.worker.task import CommandTarget, Target

GRACE = 60.0
"""Seconds, by default."""

KILL_WAIT = 30.0
"""Slurm's default for the seconds from SIGTERM to SIGKILL."""

_SHARE = 0.2
"""Of the time before the kill, for the worker: to end what is left, and to release it."""
_LONGEST_SHARE, _SHORTEST_SHARE = 10.0, 5.0


@dataclass(frozen=True, slots=True)
class Grace:
    """The time that trials have.

    Attributes
    ----------
    seconds : float, default 0
        From the notice on; 0 ends them at once.
    kill_wait : float or None
        Seconds from SIGTERM to the kill; None where nobody kills.
    """

    seconds: float = 0.0
    kill_wait: float | None = None

    def left(
        self, now: float, noticed: float, terminated: float | None, limit: float | None = None
    ) -> float:
        """Return how many seconds are left, 0 or less when the time is over.

        All are of one clock: ``noticed`` is when the first notice came, ``terminated`` when SIGTERM
        did, ``limit`` when the job's time is over.
        """
        end = noticed + self.seconds
        if limit is not None and limit > noticed:
            # Before Slurm ends the job: only one that runs can be requeued by its worker.
            end = min(end, limit - _own_share(limit - noticed))
        if terminated is not None and self.kill_wait is not None:
            end = min(end, terminated + self.kill_wait - _own_share(self.kill_wait))
        return end - now


NO_GRACE = Grace()


def _own_share(time: float) -> float:
    """Return what of ``time`` the worker needs for itself."""
    share = min(max(_SHARE * time, _SHORTEST_SHARE), _LONGEST_SHARE)
    return min(share, time / 2)


def grace_of(seconds: float, target: Target, kill_wait: float | None) -> Grace:
    """Return the grace of a worker's trials.

    Where nobody kills, it is a person who stops the worker, and waits: a function that can't learn
    of it has nothing to do with the time.
    """
    can_learn = isinstance(target, CommandTarget) or target.trial_arg is not None
    return Grace(seconds if can_learn or kill_wait is not None else 0.0, kill_wait)


def time_to_notice(left: float, grace: float) -> float:
    """Return in how many seconds trials must learn that the job's limit is ``left`` seconds away.

    So that the grace ends before the limit does; but the first four fifths of what the job has are
    for work.
    """
    return left - min(grace + _own_share(left), left * _SHARE)
