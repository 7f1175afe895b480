"""Finds experiments in a database by name and version, and tells which there are if it can't."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orion_hpc.errors import NoConfigurationError, did_you_mean
from orion_hpc.model.state import ExperimentState


def wanted(name: str | None, version: int | None) -> Callable[[ExperimentState], bool]:
    """Return what tells of an experiment whether it has this name and version; None: any."""
    return lambda one: name in (None, one.name) and version in (None, one.version)


def chosen(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> list[ExperimentState]:
    """Return the experiments of this name and version.

    Raises
    ------
    NoConfigurationError
        A name or a version is asked for, and there is none in the database ``where``.
    """
    experiments = list(experiments)
    found = list(filter(wanted(name, version), experiments))
    if found or (name is None and version is None):
        return found
    names = sorted({one.name for one in experiments})
    asked = f" {name!r}" if name is not None else ""
    asked += f" version {version}" if version is not None else ""
    known = ", ".join(names)
    if name in names:
        known = ", ".join(one.title for one in experiments if one.name == name)
    guess = did_you_mean(name, names) if name and name not in names else ""
    raise NoConfigurationError(
        f"there is no experiment{asked} in {where}{guess}",
        f"There are: {known}." if names else "'orion-hpc submit CONFIG' makes one.",
    )


def the_one(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> ExperimentState:
    """Return the experiment of this name and version; of a name without one, the highest version.

    Raises
    ------
    NoConfigurationError
        There is none, or there are several and no name was given.
    """
    found = chosen(experiments, where, name, version)
    names = sorted({one.name for one in found})
    if len(names) > 1:
        raise NoConfigurationError(
            f"there are several experiments in {where}: {', '.join(names)}",
            "Say which one by its name: --name NAME, or name='NAME' from Python.",
        )
    if not found:
        raise NoConfigurationError(
            f"there is no experiment in {where}", "'orion-hpc submit CONFIG' makes one."
        )
    return max(found, key=lambda one: one.version)
