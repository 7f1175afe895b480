"""Check that spawned processes can import the main program.

A spawned process imports the file of the main program. A program that starts processes when it is
imported would start them again in each of its processes, without end.
"""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
from types import FrameType

from orion_hpc.errors import ConfigurationError

_HINT = (
    "Put the code that runs behind the line  if __name__ == '__main__':  and indent it; or use "
    "the executor 'joblib', which doesn't import the program again."
)


def check_guarded(executor: str) -> None:
    """Raise ConfigurationError if processes that are spawned now would run this call again.

    Parameters
    ----------
    executor : str
        The name of the executor that spawns them.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(
            f"a process of the executor {executor!r} runs the program that started it", _HINT
        )
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is not None and not os.path.exists(path):
        raise ConfigurationError(
            f"the executor {executor!r} starts processes that import this program, and it has no "
            f"file ({path})",
            "Run it from a file; or use the executor 'joblib', which doesn't import it again.",
        )
    frame = _main_frame()
    if frame is None:
        return
    path = frame.f_code.co_filename
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return  # typed in at a prompt: there is no file to import
    if not _is_guarded(tree, frame.f_lineno):
        raise ConfigurationError(
            f"the executor {executor!r} starts processes that import {path}, which would start "
            f"them again in line {frame.f_lineno}",
            _HINT,
        )


def _main_frame() -> FrameType | None:
    """Return the frame of the main program's module level, if this call comes from there."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            return frame
        frame = frame.f_back
    return None


def _is_guarded(tree: ast.Module, line: int) -> bool:
    return any(
        isinstance(node, ast.If)
        and any(
            isinstance(name, ast.Name) and name.id == "__name__" for name in ast.walk(node.test)
        )
        and node.lineno <= line <= (node.end_lineno or line)
        for node in tree.body
    )
