"""Summarises trials with several objectives or constraints, as plain data and as sentences. Pure.

Replay determines the best trial: see :mod:`orion_hpc.model.state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orion_hpc.model.pareto import front
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import COMPLETED


def comparison(state: ExperimentState) -> dict[str, Any]:
    """Return how the completed trials compare.

    Returns
    -------
    dict
        ``objectives``
            The number of objectives; 0 while no trial is completed.
        ``front``
            The number of trials on the Pareto front, in a space with a fidelity among the trials
            of the highest one; None with fewer than two objectives.
        ``incomparable``
            The number of completed trials with another number of objectives.
    """
    comparable = state.comparable()
    return {
        "objectives": state.objectives,
        "front": len(front(state.finalists())) if state.objectives > 1 else None,
        "incomparable": state.count(COMPLETED) - len(comparable),
    }


def comparison_notes(found: Mapping[str, Any]) -> list[str]:
    """Return the sentences on a :func:`comparison`; none for the ordinary case."""
    notes, objectives, others = [], found["objectives"], found["incomparable"]
    if found["front"] is not None:
        one = found["front"] == 1
        trials = f"{found['front'] or 'no'} trial{'' if one else 's'}"
        notes.append(f"{objectives} objectives, {trials} on the Pareto front.")
    if others:
        have, are = ("trial has", "It isn't") if others == 1 else ("trials have", "They aren't")
        notes.append(
            f"{others} completed {have} another number of objectives than the first one, which has "
            f"{objectives}. {are} compared with other trials. Use the next --version for a changed "
            "function."
        )
    return notes


def best_note(best: Mapping[str, Any]) -> str:
    """Return the sentence on the best trial; ``best`` is what ``best_trial`` returns."""
    params = ", ".join(f"{name}={value!r}" for name, value in best["params"].items())
    of = " by the first objective" if len(best["objectives"]) > 1 else ""
    but = "" if best["feasible"] else ", but infeasible: no trial satisfies every constraint"
    return f"best{of} is trial {best['number']}{but}: {params}"
