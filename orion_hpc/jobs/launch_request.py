"""What a launcher is asked for: one job's settings, its command line and its options of ``sbatch``.

Nothing is written or started here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from orion_hpc.config.settings import Settings
from orion_hpc.executors.base import runs_in_process
from orion_hpc.executors.limits import environment as thread_limits
from orion_hpc.jobs.base import Launcher, LaunchRequest
from orion_hpc.jobs.code_snapshot import Code
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.slurm.site import ask_site
from orion_hpc.worker.grace import KILL_WAIT
from orion_hpc.worker.job import WAIT_FOR_EXPERIMENT, WorkerJob, available_cpus, run_job


def sbatch_options(settings: Settings) -> dict[str, str | bool]:
    """Return the options of ``sbatch`` that the settings give, by their long names."""
    given: Mapping[str, object] = settings.slurm.model_dump(exclude={"array", "additional"})
    options: dict[str, str | bool] = {
        key.replace("_", "-"): str(value) for key, value in given.items() if value is not None
    }
    return {**options, **settings.slurm.additional}


def launch_request(
    settings: Settings,
    launcher: Launcher,
    experiment: ExperimentState,
    tasks: int,
    code: Code,
    reopens: bool = False,
) -> LaunchRequest:
    """Return what a launcher is asked for; nothing is written.

    ``reopens``: the experiment was closed, and isn't any more when jobs have been submitted.
    """
    worker = settings.worker
    cpus = settings.slurm.cpus_per_task
    if cpus is None and launcher.name == "local":
        # Slurm keeps jobs apart; here they have to share the machine.
        cpus = max(1, available_cpus(os.environ) // tasks)
    job = WorkerJob(
        storage=settings.storage,
        name=experiment.name,
        version=experiment.version,
        n_workers=worker.n_workers,
        executor=worker.executor,
        heartbeat=worker.heartbeat,
        idle_timeout=worker.idle_timeout,
        on_suspend=worker.on_suspend,
        grace=worker.grace,
        kill_wait=(ask_site().kill_wait if launcher.detached else None) or KILL_WAIT,
        max_requeues=worker.max_requeues,
        trial_time=worker.trial_time,
        cpus=cpus,
        path=code.path,
        imports=code.imports,
        reopens=reopens and launcher.detached,
    )
    command = [
        sys.executable, "-m", "orion_hpc", "worker",
        "--storage", job.storage, "--name", job.name, "--version", str(job.version),
        "--n-workers", str(job.n_workers), "--executor", job.executor,
        "--heartbeat", f"{job.heartbeat:g}", "--idle-timeout", f"{job.idle_timeout:g}",
        "--on-suspend", job.on_suspend,
        "--grace", f"{job.grace:g}", "--kill-wait", f"{job.kill_wait:g}",
        "--max-requeues", str(job.max_requeues), "--trial-time", f"{job.trial_time}",
        "--path", code.path, "--wait", f"{WAIT_FOR_EXPERIMENT:g}",
        *(word for place in code.imports for word in ("--import-from", place)),
    ]  # fmt: skip
    if cpus is not None:
        command += ["--cpus", str(cpus)]
    if job.reopens:
        command += ["--reopens"]
    size = settings.slurm.array_size
    return LaunchRequest(
        function=run_job,
        argument=job,
        command=tuple(command),
        tasks=tasks,
        folder=layout.jobs_folder(settings.storage, experiment.title),
        title=experiment.name,
        options=sbatch_options(settings),
        throttle=size.throttle if size else None,
        environment=_environment(worker.executor, cpus),
    )


def _environment(executor: str, cpus: int | None) -> dict[str, str]:
    """Return the limits on threads that a worker needs whose trials run in its own process.

    Other executors set them for the processes that they start.
    """
    if cpus is None or not runs_in_process(executor):
        return {}
    return thread_limits(cpus, os.environ)
