"""Jobs in Slurm: one array for each submission, through submitit."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace

from orion_hpc.launch.base import LaunchRequest
from orion_hpc.launch.folder import new_folder, provided
from orion_hpc.launch.sbatch import check_slurm


@dataclass(frozen=True, slots=True)
class SlurmJobs:
    """Jobs that Slurm has."""

    ids: tuple[str, ...]
    logs: str
    stopped: bool = False

    def alive(self) -> int:
        return 0

    def ended(self) -> bool:
        command = ["squeue", "--noheader", "--format=%i", f"--jobs={','.join(self.ids)}"]
        try:
            asked = subprocess.run(command, check=False, capture_output=True, text=True)
        except OSError:
            return False
        # Slurm forgets jobs some minutes after their end.
        forgotten = "Invalid job id" in asked.stderr
        return forgotten or (asked.returncode == 0 and not asked.stdout.strip())

    def stop(self, wait: float, force: bool = True) -> None:
        subprocess.run(["scancel", *self.ids], check=False, capture_output=True)

    def failures(self) -> list[str]:
        return []


class SlurmLauncher:
    """Submits one job array."""

    name = "slurm"
    detached = True

    def check(self) -> None:
        check_slurm()

    def launch(self, request: LaunchRequest) -> SlurmJobs:
        # It pulls in submitit, which a preview or a local run needn't wait for.
        from orion_hpc.launch import submission

        folder = new_folder(request.folder, self.name)
        with provided(folder):
            job_id = submission.slurm_array(replace(request, folder=folder))
        task = "_*" if request.tasks > 1 else ""
        logs = str(
            request.options.get("output") or os.path.join(folder, f"{job_id}{task}_0_log.out")
        )
        return SlurmJobs((job_id,), logs)

    def preview(self, request: LaunchRequest) -> str:
        from orion_hpc.launch import submission

        folder = new_folder(request.folder, self.name)
        return submission.slurm_script(replace(request, folder=folder))
