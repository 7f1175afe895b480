"""Runs a function of a test in a new interpreter, for tests that fork thousands of times.

A fork of the tests' own process, which has imported all their libraries, takes several times as
long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

_ROOT = str(Path(__file__).parents[2])

_CALL = "import sys, cloudpickle; call, *words = cloudpickle.load(sys.stdin.buffer); call(*words)"


def in_small_process(call: Callable[..., object], *words: Any) -> str:
    """Call it there; return what it has printed, and fail with that if it has failed."""
    done = subprocess.run(
        [sys.executable, "-c", _CALL],
        input=cloudpickle.dumps((call, *words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": _ROOT}, check=False,
    )  # fmt: skip
    told = done.stdout.decode(errors="replace")
    assert done.returncode == 0, told
    return told
