"""The progress bar of ``workon``, on a terminal and in a notebook, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orion_hpc.experiments.trial_views import short
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED

Show = Callable[[ExperimentState], None]
"""Shows the state of the experiment."""


@contextmanager
def progress_bar(wanted: bool | None, limit: int | None) -> Iterator[Show]:
    """Show a bar for the block, and yield what moves it.

    Parameters
    ----------
    wanted : bool or None
        None: where a person sees it, on a terminal or in a notebook.
    limit : int or None
        Completed trials at the end of the bar, if that is fewer than the experiment's own limit.
    """
    if not (_is_seen() if wanted is None else wanted):
        yield lambda state: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    console = None if _in_notebook() else Console(stderr=True)
    # Without a thread of its own, and with Python's own streams: trials may be forks of this
    # process, which would inherit a lock that the thread holds, and print through the bar.
    bar = Progress(
        *columns, console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )
    task = bar.add_task("", total=None, note="")

    def show(state: ExperimentState) -> None:
        limits = [one for one in (state.max_trials, limit) if one is not None]
        bar.update(
            task,
            description=state.title,
            total=min(limits, default=None),
            completed=state.count(COMPLETED),
            note=_note(state),
            refresh=True,
        )

    with bar:
        yield show


def _note(state: ExperimentState) -> str:
    best = "" if state.best is None else f"best {short(state.best.objective)}"
    broken = f"{state.count(BROKEN)} broken" if state.count(BROKEN) else ""
    return ", ".join(filter(None, (best, broken)))


def _is_seen() -> bool:
    return _in_notebook() or sys.stderr.isatty()


def _in_notebook() -> bool:
    """Return whether this is the kernel of a notebook (rich looks for the same)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"
