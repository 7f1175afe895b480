"""Repairs a damaged database: checks for workers, takes the lock, and reports the result."""

from __future__ import annotations

import random
from typing import Any

from orion_hpc.algorithms.base import Algorithm, draw_generator
from orion_hpc.algorithms.factory import BUILTIN, make_algorithm
from orion_hpc.experiments.active_workers import refuse_if_alive
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.maintenance.database_check import During, checked
from orion_hpc.maintenance.examination import Examiner, experiments
from orion_hpc.maintenance.mending import Derive, Mends
from orion_hpc.maintenance.rewrite import Repairer, locked
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import Params


def repair(path: str, during: During, force: bool = False) -> dict[str, Any]:
    """Repair the database at ``path`` if it is damaged; return what was done, as plain data.

    ``repaired``; ``restored``, the trials that were restored from the writers' own files (None:
    nothing had to be); all of :func:`~.database_check.check` for the old file, including
    ``missing``, the trials whose results may be lost; and if it was repaired ``aside`` (the old
    file's new path), ``now`` (``size``, and ``experiments`` as in ``check``) and ``put_in`` (the
    inserted events: see :class:`~orion_hpc.maintenance.mending.Mends`, with titles for numbers).

    Parameters
    ----------
    path : str
    during : callable
        Exhausts an iterator of progress messages.
    force : bool, default False
        Don't check whether workers are alive, and treat a header with a newer version as damaged.

    Raises
    ------
    WorkersAlive, StorageError
        Nothing was changed.
    """
    examiner = Examiner(path, force)
    try:
        during(examiner.steps())
        if not examiner.found.damage:
            restored = None
            if (found := checked(examiner.found))["gaps"]:
                restored = found["kept"]
                _restore(examiner.path)
                examiner.close()
                examiner = Examiner(path, force)
                during(examiner.steps())
            return {"repaired": False, "restored": restored, **checked(examiner.found)}
        with locked(examiner):
            # The last examination is made with the lock held: nobody writes meanwhile.
            if not force:
                refuse_if_alive(examiner.path, f"{path} can't be repaired")
            examiner.close()
            examiner = Examiner(path, force)
            during(examiner.steps())
            if not examiner.found.damage:  # another process has repaired it
                return {"repaired": False, "restored": None, **checked(examiner.found)}
            repairer = Repairer(examiner, derive())
            during(repairer.steps(examiner.found))
    finally:
        examiner.close()
    done = repairer.done
    assert done is not None
    return {
        "repaired": True,
        "restored": None,
        **checked(examiner.found),
        "aside": done.aside,
        "now": {"size": done.size, "experiments": experiments(done.state)},
        "put_in": put_in(done.mends, done.state),
    }


def _restore(path: str) -> None:
    """Restore frames from the writers' copies, as the next writer would."""
    storage = PickledDB(path)
    try:
        storage.recover()
    finally:
        storage.close()


def put_in(mends: Mends, state: State) -> dict[str, Any]:
    """Return what was inserted, by the experiments' titles."""

    def titled(by_number: dict[int, Any]) -> dict[str, Any]:
        return {
            state.experiments[number].title: value
            for number, value in by_number.items()
            if number in state.experiments
        }

    return {
        "experiments": [
            state.experiments[number].title
            for number in mends.experiments
            if number in state.experiments
        ],
        "again": titled(mends.again),
        "unknown": titled(mends.unknown),
        "attempts": {
            title: sorted(set(numbers)) for title, numbers in titled(mends.attempts).items()
        },
        "max_broken": titled(mends.raised),
    }


def derive() -> Derive:
    """Return a function that suggests a trial's parameters again, where the algorithm can do so.

    Only algorithms of this package are used: a damaged file can't choose other code to run.
    """
    algorithms: dict[int, Algorithm | None] = {}

    def again(experiment: ExperimentState, number: int) -> Params | None:
        try:
            if experiment.number not in algorithms:
                algorithms[experiment.number] = _algorithm(experiment)
            algorithm = algorithms[experiment.number]
            if algorithm is None:
                return None
            found = algorithm.suggest(experiment, number, _generator(experiment, number))
            return found if isinstance(found, dict) else None
        except Exception:  # a damaged configuration may raise anything
            algorithms[experiment.number] = None
            return None

    return again


def _algorithm(experiment: ExperimentState) -> Algorithm | None:
    configuration = experiment.configuration["algorithm"]
    if not configuration.keys() <= BUILTIN.keys():
        return None
    algorithm = make_algorithm(configuration, Space.parse(experiment.configuration["space"]))
    return algorithm if algorithm.cheap and not algorithm.learns else None


def _generator(experiment: ExperimentState, number: int) -> random.Random:
    (options,) = experiment.configuration["algorithm"].values()
    return draw_generator(int(options.get("seed") or 0), number)
