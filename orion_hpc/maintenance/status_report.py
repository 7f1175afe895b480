"""What there is to tell of a status that was set by hand, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import BROKEN
from orion_hpc.text import counted


def set_lines(
    experiment: ExperimentState,
    to: str,
    numbers: Sequence[int],
    unchanged: int,
    missed: Sequence[int],
) -> Iterator[str]:
    """Yield what was set, and what follows from it.

    Parameters
    ----------
    experiment : ExperimentState
        As it is now.
    to : str
        The status.
    numbers, missed : sequence of int
        The trials that were set, and those that somebody else changed at the same moment.
    unchanged : int
        How many had the status before.
    """
    title = experiment.title
    already = f"; {unchanged:,} had this status already" if unchanged else ""
    yield f"Set {counted(len(numbers), 'trial')} of {title} to {to}{already}."
    if missed:
        told = ", ".join(map(str, missed[:8]))
        yield f"Somebody else changed at the same moment, and they stay as they are: {told}"
    if not numbers:
        return
    if experiment.is_broken:
        yield (
            f"{title} is closed by {experiment.count(BROKEN)} broken trials (max_broken is "
            f"{experiment.max_broken})."
        )
    elif to != BROKEN and experiment.stopped is None:
        yield "'orion-hpc submit CONFIG' runs what is to be run."
