"""Checks that the program and the script of a command are there and can be run.

Its placeholders are checked in ``worker.placeholders``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.worker.placeholders import fill

_INTERPRETER = re.compile(r"(python|pypy|perl|ruby|node|julia|lua)[0-9.]*|(ba|z|k|da)?sh|Rscript")
_SCRIPT = re.compile(r".+\.(py|R|r|jl|sh|bash|pl|rb|js|mjs|lua)")
_INLINE = ("-c", "-m", "-e", "-E", "-s", "-")
"""Options of an interpreter behind which there is no script but code, a module or its input."""

_FIRST = 256
"""Bytes of a program that the kernel looks at for an interpreter (execve(2))."""


def check_command(argv: Sequence[str], directory: str, same_path: bool) -> None:
    """Raise ConfigurationError for a program that can't be started, or a script that isn't there.

    Words with placeholders of hyperparameters aren't checked.

    Parameters
    ----------
    argv : sequence of str
        The command.
    directory : str
        Where it runs.
    same_path : bool
        Whether jobs have the PATH of this process. If not, programs are searched only by their
        paths.
    """
    program = _constant(argv[0])
    if program is None:
        return
    path = _check_program(program, directory, same_path)
    if path is not None:
        _check_first_line(program, path, same_path)
    script = _script(argv)
    if script is None:
        return
    place = os.path.join(directory, script)
    if not os.path.exists(place):
        raise ConfigurationError(
            f"there is no script {script!r} for the command in {directory}",
            "Paths of a command are relative to the configuration file.",
        )
    if not os.access(place, os.R_OK):
        raise ConfigurationError(f"the script {place} can't be read", f"chmod u+r {place}")


def _constant(word: str) -> str | None:
    """Return a word of a command as it is run; None if it depends on the trial."""
    try:
        return fill([word], {})[0]
    except ConfigurationError:
        return None


def _check_program(program: str, directory: str, same_path: bool) -> str | None:
    """Return the path of the program; None if only the jobs know."""
    beside = os.path.normpath(os.path.join(directory, program))
    if os.sep not in program:
        path = shutil.which(program)
        if path is not None or not same_path:
            return path
        guess = did_you_mean(program, _programs())
        hint = f"If only the nodes have it, write [env, {program}, …]."
        if os.path.isfile(beside):
            hint = f"Write ./{program} for the one beside the configuration file."
        raise ConfigurationError(f"there is no program {program!r} on the PATH{guess}", hint)
    if not os.path.exists(beside):
        raise ConfigurationError(
            f"there is no program {program!r} in {directory}",
            "Paths of a command are relative to the configuration file. If only the nodes have it, "
            f"write [env, {program}, …].",
        )
    if not os.path.isfile(beside):
        raise ConfigurationError(f"the command's program {beside} isn't a file")
    if not os.access(beside, os.X_OK):
        raise ConfigurationError(
            f"the command's program {beside} isn't executable",
            f"chmod +x {beside}, or put its interpreter first, as in [python, {program}].",
        )
    return beside


def _check_first_line(program: str, path: str, same_path: bool) -> None:
    """Raise ConfigurationError if the kernel can't start a text file by its first line."""
    try:
        with open(path, "rb") as file:
            first = file.read(_FIRST)
    except OSError:  # it may be executable without being readable
        return
    if not first.startswith(b"#!"):
        if b"\0" not in first:
            raise ConfigurationError(
                f"the command's program {path} doesn't begin with '#!' and an interpreter",
                f"Put the interpreter first in the command, as in [python, {program}].",
            )
        return
    words = first[2:].partition(b"\n")[0].decode(errors="replace").split(" ")
    interpreter, *rest = [word for word in words if word] or [""]
    missing = None if os.access(interpreter, os.X_OK) else interpreter
    if missing is None and os.path.basename(interpreter) == "env" and same_path:
        name = rest[0] if rest else ""
        # With options, such as -S, only env knows.
        missing = None if not name or name[0] == "-" or shutil.which(name) else name
    if missing is not None:
        raise ConfigurationError(
            f"the command's program {path} can't be started: the interpreter in its first line, "
            f"{missing!r}, isn't there",
            "Is the line right? It may not end with a carriage return, as in files from Windows.",
        )


def _script(argv: Sequence[str]) -> str | None:
    """Return the script that an interpreter is to run; None if there is none, or in doubt."""
    interpreter = os.path.basename(argv[0])
    if not _INTERPRETER.fullmatch(interpreter):
        return None
    for number, word in enumerate(argv[1:]):
        if word in _INLINE:
            return None
        if not word.startswith("-"):
            # Another word behind an option may be its value; shells also search the PATH, and node
            # adds endings.
            sure = number == 0 and not interpreter.endswith(("sh", "node"))
            return _constant(word) if sure or _SCRIPT.fullmatch(word) else None
    return None


def _programs() -> list[str]:
    found: list[str] = []
    for folder in os.get_exec_path():
        if os.path.isdir(folder):
            found += os.listdir(folder)
    return found
