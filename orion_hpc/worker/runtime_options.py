"""What decides how one worker works, besides its experiment and what its trials run."""

from __future__ import annotations

from dataclasses import dataclass

from orion_hpc.worker.job_spec import OnSuspend, TrialTime


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """The options of a worker's runtime.

    Attributes
    ----------
    name : str
        The worker's name, in every journal entry.
    heartbeat : float
        Seconds between signs of life; also how often silent workers are looked for, at most.
    idle_timeout : float
        Seconds without any trial to reserve after which it leaves.
    n_workers : int, optional
        Trials at once, by default as many as the executor runs.
    on_suspend : "auto", "keep" or "release"
        What becomes of its trials while its job is suspended.
    max_trials : int, optional
        It begins no trial where so many of the experiment are completed or reserved.
    max_attempts_here : int, optional
        How many attempts it begins.
    impatient : bool, default False
        Whether ``idle_timeout`` holds also while others have trials and may be lost.
    trial_time : float, "auto" or "off"
        How long a trial takes, so that none begins which is unlikely to end within the job.
    patience : float, default 600
        Seconds to wait for a full disk or an unavailable lock before the worker gives up.
    notice_delay : float, default 1
        Seconds in which a stop notice reaches all processes of a job, at most.
    seed, max_attempts : int
        As the experiment records them; :class:`~orion_hpc.worker.runtime.WorkerRuntime` sets them.
    """

    name: str
    heartbeat: float
    idle_timeout: float
    n_workers: int | None = None
    on_suspend: OnSuspend = "auto"
    max_trials: int | None = None
    max_attempts_here: int | None = None
    impatient: bool = False
    trial_time: TrialTime = "off"
    patience: float = 600.0
    notice_delay: float = 1.0
    seed: int = 0
    max_attempts: int = 3
