"""The request to a launcher: a job's settings, its command line and its options of ``sbatch``.

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
from orion_hpc.worker.job import available_cpus, run_job
from orion_hpc.worker.job_spec import JobSpec
from orion_hpc.worker.shutdown import KILL_WAIT


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
    """Return the request to the launcher for ``tasks`` jobs; nothing is written.

    ``reopens``: the experiment was closed, and is open again once the jobs have been submitted.
    """
    cpus = settings.slurm.cpus_per_task
    if cpus is None and launcher.name == "local":
        # Slurm keeps jobs apart; here they have to share the machine.
        cpus = max(1, available_cpus(os.environ) // tasks)
    spec = JobSpec(
        storage=settings.storage,
        name=experiment.name,
        version=experiment.version,
        **settings.worker.model_dump(),
        kill_wait=(ask_site().kill_wait if launcher.detached else None) or KILL_WAIT,
        cpus=cpus,
        path=code.path,
        imports=code.imports,
        reopens=reopens and launcher.detached,
    )
    size = settings.slurm.array_size
    return LaunchRequest(
        function=run_job,
        argument=spec,
        command=(sys.executable, "-m", "orion_hpc", "worker", "--spec"),
        spec=spec.to_json(),
        tasks=tasks,
        folder=layout.jobs_folder(settings.storage, experiment.title),
        title=layout.safe_name(experiment.name),
        options=sbatch_options(settings),
        throttle=size.throttle if size else None,
        environment=_environment(settings.worker.executor, cpus),
    )


def _environment(executor: str, cpus: int | None) -> dict[str, str]:
    """Return the limits on threads that a worker needs whose trials run in its own process.

    Other executors set them for the processes that they start.
    """
    if cpus is None or not runs_in_process(executor):
        return {}
    return thread_limits(cpus, os.environ)
