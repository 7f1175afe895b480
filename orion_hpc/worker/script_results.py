"""Reads the result of a trial's command: a file of JSON, or a line of its output.

The command is the user's, so sizes are bounded and nothing but JSON is read. Whether it is a result
is left to :mod:`orion_hpc.model.result`.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from typing import Any

from orion_hpc.errors import InvalidResult

LOG = "log.txt"
RESULTS = "results.json"

INTERRUPTED_CODE = 130
"""The exit code of a command that interrupts its trial, as in Oríon. A shell has it, too, when its
program died of SIGINT."""

LARGEST_RESULT = 10_000_000
"""Bytes of a results file."""


def read_results(path: str) -> Any:
    """Return the content of the file at ``path``; raise InvalidResult if there is none."""
    try:
        # O_NONBLOCK: a FIFO there would block the worker for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InvalidResult(f"the command's {RESULTS} isn't a plain file")
        with open(descriptor, "rb") as file:
            text = file.read(LARGEST_RESULT + 1)
    except OSError as error:
        raise InvalidResult(f"the command's {RESULTS} can't be read: {error.strerror}") from None
    if len(text) > LARGEST_RESULT:
        raise InvalidResult(
            f"the command's {RESULTS} has more than {LARGEST_RESULT // 1_000_000} MB",
            "Write large data into the trial's working directory.",
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidResult(f"the command's {RESULTS} isn't JSON: {error}") from None


def from_output(output: bytes) -> Any:
    """Return the value in the last line of ``output`` that isn't empty, or raise InvalidResult."""
    hint = (
        "Write the result as JSON into the file that ORION_HPC_RESULTS_PATH names, or print it as "
        "the last line."
    )
    lines = [line for line in output.splitlines() if line.strip()]
    if not lines:
        raise InvalidResult(f"the command wrote no {RESULTS} and printed nothing", hint)
    line = lines[-1].decode(errors="replace").strip()
    for read in (json.loads, float):  # float: for .5 and nan
        with suppress(ValueError, RecursionError):
            return read(line)
    shown = line if len(line) <= 80 else f"{line[:77]}…"
    raise InvalidResult(
        f"the command wrote no {RESULTS}, and its last line is no number and no JSON: {shown!r}",
        hint,
    )
