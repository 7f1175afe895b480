"""Sbatch scripts from a template, for sites that need lines of their own in them.

The one file that knows jinja2. The template that ships is ``templates/worker.sbatch.j2``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from importlib.resources import files
from pathlib import Path

from orion_hpc.errors import ConfigurationError
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.environment import for_sbatch, safe_python
from orion_hpc.jobs.folder import escaped, in_folder, new_folder, provided
from orion_hpc.jobs.sbatch import check_slurm, defaults, refusal
from orion_hpc.jobs.slurm import SlurmJobs, preview_parts, submit_parts

_JOB_ID = re.compile(r"Submitted batch job (\d+)")


def shipped_template() -> str:
    """Return the text of the template that comes with the package."""
    name = "worker.sbatch.j2"
    package = files("orion_hpc")
    # In a checkout the templates stand beside the package; the wheel has them inside.
    for place in (package / "templates" / name, Path(str(package)).parent / "templates" / name):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise ConfigurationError(f"the installation lacks templates/{name}", "Install orion-hpc again.")


def read_template(path: Path) -> str:
    """Return a template's text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it isn't text in UTF-8"
        raise ConfigurationError(
            f"the template {path} can't be read: {reason}",
            "'orion-hpc template' prints one to start from.",
        ) from error


def render(text: str, request: LaunchRequest) -> str:
    """Return the filled-in template; raise ConfigurationError if it is wrong."""
    import jinja2

    options = {
        "job-name": request.title,
        "output": os.path.join(escaped(request.folder), "%A_%a.out"),
        **defaults(request.options),
        **{key.replace("_", "-"): value for key, value in request.options.items()},
    }
    command = shlex.join(safe_python(request.command))
    throttle = f"%{request.throttle}" if request.throttle else ""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters["quote"] = lambda value: shlex.quote(str(value))
    try:
        script = environment.from_string(text).render(
            options=options, array=f"0-{request.tasks - 1}{throttle}", command=command
        )
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(
            f"the template is wrong at line {error.lineno}: {error.message}",
            "'orion-hpc template' prints one that is right.",
        ) from error
    except Exception as error:  # a template is a program, and may raise anything
        raise ConfigurationError(
            f"the template can't be filled in: {error or type(error).__name__}",
            "It may use: options, array, command.",
        ) from error
    if command not in script and shlex.quote(command) not in script:
        raise ConfigurationError(
            "the template's script doesn't start a worker",
            "Write {{ command }} where it is to start; 'orion-hpc template' prints an example.",
        )
    return script


class TemplateLauncher:
    """Submits the script from a template with plain ``sbatch``."""

    name = "slurm"
    detached = True

    def __init__(self, text: str) -> None:
        self._text = text

    def check(self) -> None:
        check_slurm()

    def launch(self, request: LaunchRequest) -> SlurmJobs:
        folder = new_folder(request.folder, self.name)
        request = in_folder(request, folder)
        render(self._text, request)  # an error in it is raised before a folder is created
        with provided(request):
            ids = submit_parts(request, self._submit)
        name = f"{ids[0]}_*.out" if len(ids) == 1 else "*.out"
        return SlurmJobs(ids, str(request.options.get("output") or os.path.join(folder, name)))

    def _submit(self, request: LaunchRequest) -> str:
        """Submit one array; return its job id."""
        script = render(self._text, request)
        with for_sbatch(request.options):
            done = subprocess.run(
                ["sbatch"], input=script, capture_output=True, text=True, check=False
            )
        match = _JOB_ID.search(done.stdout)
        if done.returncode != 0 or match is None:
            raise refusal(
                done.stderr or done.stdout,
                "Change the template or the options; --dry-run shows the script.",
            )
        return match[1]

    def preview(self, request: LaunchRequest) -> str:
        folder = new_folder(request.folder, self.name)
        return preview_parts(in_folder(request, folder), lambda one: render(self._text, one))
