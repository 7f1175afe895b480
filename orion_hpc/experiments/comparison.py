"""What there is to tell of trials with several objectives, or with constraints: plain data, and
sentences. Pure; which trial is the best is for replay to say."""

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
        ``objectives`` (how many there are; 0 while no trial is completed), ``front`` (how many
        trials are on the Pareto front, with a fidelity of those that got the most of it; None where
        there is at most one objective), ``incomparable`` (how many completed trials have another
        number of objectives).
    """
    comparable = state.comparable()
    return {
        "objectives": state.objectives,
        "front": len(front(state.finalists())) if state.objectives > 1 else None,
        "incomparable": state.count(COMPLETED) - len(comparable),
    }


def comparison_notes(found: Mapping[str, Any]) -> list[str]:
    """Return what a person should know of a :func:`comparison`; nothing of what is ordinary."""
    notes, objectives, others = [], found["objectives"], found["incomparable"]
    if found["front"] is not None:
        one = found["front"] == 1
        trials = f"{found['front'] or 'no'} trial{'' if one else 's'}"
        notes.append(f"{objectives} objectives, {trials} on the Pareto front.")
    if others:
        have, are = ("trial has", "It is") if others == 1 else ("trials have", "They are")
        notes.append(
            f"{others} completed {have} another number of objectives than the first one, which has "
            f"{objectives}. {are} compared with none; the next --version suits another function."
        )
    return notes


def best_note(best: Mapping[str, Any]) -> str:
    """Return the sentence on the best trial, a mapping as of ``best_trial``."""
    params = ", ".join(f"{name}={value!r}" for name, value in best["params"].items())
    of = " by the first objective" if len(best["objectives"]) > 1 else ""
    but = "" if best["feasible"] else ", but infeasible: no trial keeps every constraint"
    return f"best{of} is trial {best['number']}{but}: {params}"
