"""Calls a function in a fresh interpreter, so that neither side carries the other's modules.

Arguments and results are JSON. ``python -m tests.benchmarks.apart MODULE:FUNCTION`` is the other
end.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def call(target: str, **arguments: Any) -> Any:
    """Return what ``target``, a ``module:function`` of this package, returns.

    Raises
    ------
    RuntimeError
        It failed; with its traceback.
    """
    with tempfile.TemporaryFile("w+") as results:  # a pipe could fill up while nobody reads it
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, target, str(results.fileno())],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=ROOT, pass_fds=[results.fileno()],
        )  # fmt: skip
        try:
            _, told = process.communicate(json.dumps(arguments))
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError(f"{target} failed (exit {process.returncode}):\n{told}")
        results.seek(0)
        return json.load(results)


def _main(target: str, descriptor: str) -> None:
    module, _, name = target.partition(":")
    arguments = json.load(sys.stdin)
    result = getattr(importlib.import_module(f"{__spec__.parent}.{module}"), name)(**arguments)
    with os.fdopen(int(descriptor), "w") as results:
        json.dump(result, results)


if __name__ == "__main__":
    _main(*sys.argv[1:])
