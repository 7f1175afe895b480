"""Jobs in Slurm, through submitit: one array for a submission, or several if one is too large."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from orion_hpc.errors import LaunchError
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.folder import in_folder, new_folder, provided
from orion_hpc.jobs.sbatch import check_slurm
from orion_hpc.slurm.queue import cancel, queued
from orion_hpc.slurm.site import ask_site


@dataclass(frozen=True, slots=True)
class SlurmJobs:
    """Submitted jobs."""

    ids: tuple[str, ...]
    logs: str
    stopped: bool = False

    def alive(self) -> int:
        return 0

    def ended(self) -> bool:
        known = queued(self.ids)
        return known is not None and all(tasks.phase in ("over", "lost") for tasks in known)

    def stop(self, wait: float, force: bool = True) -> None:
        cancel(self.ids)

    def failures(self) -> list[str]:
        return []


def submit_parts(request: LaunchRequest, array: Callable[[LaunchRequest], str]) -> tuple[str, ...]:
    """Submit ``request`` in as many arrays as the site's limit requires; return the ids.

    Raises
    ------
    LaunchError
        Slurm refused one of them; none is left.
    """
    parts = _parts(request)
    ids: list[str] = []
    try:
        for part in parts:
            one = replace(request, tasks=part.tasks, throttle=part.throttle)
            if part.after is not None:
                one = replace(one, options=_after(ids[part.after], request.options))
            ids.append(array(one))
    except BaseException as error:
        if ids:
            cancel(ids)
            if isinstance(error, LaunchError):
                taken = sum(part.tasks for part in parts[: len(ids)])
                raise LaunchError(
                    f"{error.message} (after {taken} of {request.tasks} tasks, which were "
                    "cancelled)",
                    f"Ask for fewer: --array {taken}.",
                ) from error
        raise
    return tuple(ids)


def preview_parts(request: LaunchRequest, script: Callable[[LaunchRequest], str]) -> str:
    """Return the script of the first array that :func:`submit_parts` would submit."""
    parts = _parts(request)
    text = script(replace(request, tasks=parts[0].tasks, throttle=parts[0].throttle))
    if len(parts) == 1:
        return text
    sizes = ", ".join(str(part.tasks) for part in parts)
    note = f"# The first of {len(parts)} arrays, of {sizes} tasks: the site allows no larger ones."
    return f"{text.rstrip()}\n\n{note}\n"


class ArrayPart(NamedTuple):
    """One array: its number of tasks, how many of them may run at once (None: all), and the number
    of the part that must end before it begins, if any."""

    tasks: int
    throttle: int | None
    after: int | None = None


def split_tasks(tasks: int, throttle: int | None, most: int | None) -> list[ArrayPart]:
    """Return arrays of at most ``most`` tasks each, as equal as they can be.

    No more than ``throttle`` tasks of all arrays together run at once. With more arrays than that,
    ``throttle`` of them run one task at a time, and each of the others waits for one of these.
    """
    count = 1 if most is None else -(-tasks // most)
    parts = []
    for number, size in enumerate(_shares(tasks, count)):
        if throttle is None:
            parts.append(ArrayPart(size, None))
        elif throttle < count:
            parts.append(ArrayPart(size, 1, number - throttle if number >= throttle else None))
        else:
            parts.append(ArrayPart(size, _shares(throttle, count)[number]))
    return parts


def _shares(whole: int, count: int) -> list[int]:
    each, rest = divmod(whole, count)
    return [each + (number < rest) for number in range(count)]


def _parts(request: LaunchRequest) -> list[ArrayPart]:
    # The limit doesn't matter to a single job.
    most = ask_site().max_array if request.tasks > 1 else None
    return split_tasks(request.tasks, request.throttle, most)


def _after(job: str, options: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return ``options`` with a dependency on the end of ``job`` added."""
    known = {key.lstrip("-").replace("_", "-"): value for key, value in options.items()}
    wish = known.get("dependency")
    wait = f"afterany:{job}"
    return {**known, "dependency": f"{wish},{wait}" if isinstance(wish, str) else wait}


class SlurmLauncher:
    """Submits one job array."""

    name = "slurm"
    detached = True

    def check(self) -> None:
        check_slurm()

    def launch(self, request: LaunchRequest) -> SlurmJobs:
        # Importing submitit takes time that other launchers needn't spend.
        from orion_hpc.jobs import submitit_launcher

        folder = new_folder(request.folder, self.name)
        request = in_folder(request, folder)
        with provided(request):
            ids = submit_parts(request, submitit_launcher.slurm_array)
        task = "_*" if request.tasks > 1 else ""
        name = f"{ids[0]}{task}_0_log.out" if len(ids) == 1 else "*_0_log.out"
        return SlurmJobs(ids, str(request.options.get("output") or os.path.join(folder, name)))

    def preview(self, request: LaunchRequest) -> str:
        from orion_hpc.jobs import submitit_launcher

        folder = new_folder(request.folder, self.name)
        return preview_parts(in_folder(request, folder), submitit_launcher.slurm_script)
