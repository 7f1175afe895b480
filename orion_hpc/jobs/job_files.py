"""Checks the files that Slurm opens for a job, before it is submitted: logs, errors and input.

Slurm creates no folders. A job whose log can't be opened fails at once, without a log.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError
from orion_hpc.jobs.base import Launcher
from orion_hpc.jobs.launch_request import sbatch_options

_FILES = ("output", "error", "input")
_SHORT = {"-o": "output", "-e": "error", "-i": "input", "-D": "chdir"}
_JOB_NUMBER = re.compile(r"%[0-9]*[AjJ]")
_PLACEHOLDER = re.compile(r"%[0-9]*[a-zA-Z]")


def check_job_files(settings: Settings, launcher: Launcher, name: str) -> None:
    """Raise ConfigurationError for files of jobs that Slurm couldn't open; see :func:`check_files`.

    ``name`` is the default name of the jobs. Other launchers have files of their own.
    """
    if launcher.name == "slurm":
        check_files(sbatch_options(settings), _template(settings), os.environ, name)


def inherits_path(settings: Settings, launcher: Launcher) -> bool:
    """Return whether jobs have the PATH of this process: a template may load modules."""
    if launcher.name != "slurm":
        return True
    options = sbatch_options(settings)
    exports = "export" in options or "export-file" in options or "SBATCH_EXPORT" in os.environ
    return settings.template is None and not exports


def _template(settings: Settings) -> str:
    if settings.template is None:
        return ""
    # Importing it takes time that other launches needn't spend.
    from orion_hpc.jobs.template import read_template

    return read_template(Path(settings.template))


def check_files(
    options: Mapping[str, str | bool], template: str, environ: Mapping[str, str], name: str
) -> None:
    """Raise ConfigurationError for a log that a job couldn't write, or an input it couldn't read.

    Parameters
    ----------
    options : mapping
        The options of ``sbatch``, by their long names or beginnings of these.
    template : str
        The text of the sbatch template, which may have options of its own; ``''`` without one.
    environ : mapping
        The environment of ``sbatch``; it reads SBATCH_ERROR and SBATCH_INPUT.
    name : str
        The default name of the jobs.
    """
    lines = list(_directives(template))
    given = [(_full(key), value) for key, value in options.items() if isinstance(value, str)]
    given += [(file, environ.get(f"SBATCH_{file.upper()}", "")) for file in ("error", "input")]
    base = os.path.abspath(dict(lines).get("chdir", ""))
    names = {"%x": dict(given).get("job-name", name), "%%": "%"}
    with contextlib.suppress(KeyError, OSError):  # in some containers the user has no name
        names["%u"] = getpass.getuser()
    for option, value in [*lines, *given]:
        if option in _FILES and value and "{" not in value:
            _check(option, os.path.join(base, value), names)
        elif option == "chdir" and "{" not in value and not os.path.isdir(value):
            raise ConfigurationError(
                f"the template's --chdir is {value!r}, which isn't a directory", f"mkdir -p {value}"
            )


def _directives(template: str) -> Iterator[tuple[str, str]]:
    """Yield the options in a template's #SBATCH lines, and their values."""
    for line in template.splitlines():
        if not line.startswith("#SBATCH"):
            continue
        try:
            words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
        except ValueError:  # sbatch judges it
            continue
        for word, following in zip(words, [*words[1:], ""], strict=True):
            option, equals, value = word.partition("=")
            if option.startswith("--"):
                yield _full(option[2:]), value if equals else following
            elif word[:2] in _SHORT:
                yield _SHORT[word[:2]], word[2:] or following


def _full(option: str) -> str:
    """Return the name of an option of sbatch, which may be abbreviated (getopt_long(3))."""
    if len(option) < 2:
        return option
    return next((file for file in _FILES if file.startswith(option)), option)


def _check(option: str, path: str, names: Mapping[str, str]) -> None:
    """Raise ConfigurationError if Slurm couldn't open the file of a job."""
    folder = os.path.dirname(path)
    if _JOB_NUMBER.search(folder.replace("%%", "")):
        raise ConfigurationError(
            f"the jobs' --{option} is {path!r}: Slurm doesn't create the folder of a job's number",
            "Use the number in the file's name only.",
        )
    path = re.sub(r"%[xu%]", lambda match: names.get(match[0], match[0]), path)
    folder, file = os.path.split(path)
    if _PLACEHOLDER.search(folder):  # such as the node's name
        return
    what = f"the jobs' --{option} is {path!r}"
    if not os.path.isdir(folder):
        raise ConfigurationError(
            f"{what}, but there is no folder {folder}; Slurm doesn't create it",
            f"mkdir -p {shlex.quote(folder)}",
        )
    if os.path.isdir(path):
        raise ConfigurationError(f"{what}, which is a folder", "Add a file's name, such as %j.out.")
    exists = os.path.exists(path)
    if option == "input":
        if not os.access(path, os.R_OK) and not _PLACEHOLDER.search(file):
            raise ConfigurationError(f"{what}, which can't be read")
    elif not os.access(path if exists else folder, os.W_OK):
        raise ConfigurationError(f"{what}, but you may not write there")
