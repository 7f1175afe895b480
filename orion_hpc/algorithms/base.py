"""The protocol of algorithms, ours and those of third parties.

Which algorithms there are, and how the configuration selects one, is left to ``factory``. A new
algorithm is one file with one class::

    from orion_hpc.model.space import Space

    class Corners:
        cheap = True  # whether ``suggest`` is fast: see :class:`Algorithm`
        learns = False

        def __init__(self, space: Space, *, seed: int | None = None) -> None:
            self._space = space

        def suggest(self, history, number, rng):
            corners = ({k: d.interval()[i] for k, d in self._space.items()} for i in (0, -1))
            return next((point for point in corners if not history.has(point)), None)

and one entry point in its package's ``pyproject.toml``::

    [project.entry-points."orion_hpc.algorithms"]
    corners = "my_package.corners:Corners"

after which ``algorithm: {corners: {seed: 1}}`` works wherever the package is installed. Its options
are the keyword-only parameters of the class. A point is a mapping from the dimensions' flat names
to values. A dimension of the space has ``type`` (``real``, ``integer``, ``categorical``,
``fidelity``), ``shape``, ``interval()`` (its bounds, or all choices), ``prior_name``,
``cardinality``, ``value in dimension`` and ``sample(rng)``; ``space.sample(rng)`` draws a whole
point.

An algorithm that learns reads the completed trials. This one takes a step from the best point so
far::

    class Climb:
        cheap = False
        requires_type, requires_shape = "real", "flattened"  # it only gets reals

        def __init__(self, space: Space, *, seed: int | None = None, step: float = 0.1) -> None:
            self._space, self._step = space, step

        def suggest(self, history, number, rng):
            done = [history.trials[one] for one in history.completions]
            judged = [trial for trial in done if trial.objective is not None]
            if not judged:
                return self._space.sample(rng)
            best = min(judged, key=lambda trial: trial.objective)
            point = {}
            for name, dimension in self._space.items():
                low, high = dimension.interval()
                value = rng.gauss(best.params[name], self._step * (high - low))
                point[name] = min(max(value, low), high)
            return point

Optional attributes of the class (with Oríon's names where Oríon has them):

``learns``
    False if ``suggest`` doesn't depend on results. Default: True.
``requires_type``, ``requires_dist``, ``requires_shape``
    The kinds of dimension that it supports: see :mod:`orion_hpc.algorithms.transform`. Any other
    dimension is transformed: the algorithm gets a transformed space and history, and its points are
    transformed back. Default: all kinds. With one of these, a fidelity is left out of the space and
    every trial gets the highest; without, a fidelity is a dimension like the others.
``needs_fidelity``
    True if it can't search a space without a fidelity. It gets the space untransformed.
``check(**options)``
    A static method that raises ConfigurationError if the value of an option is wrong. It is called
    before anything is written or submitted.
``advice(max_trials)``
    A method that returns advice for a search with ``max_trials`` trials: a list of sentences
    without the full stop.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from orion_hpc.model.trial_record import Params, TrialRecord


class History(Protocol):
    """The part of an experiment that an algorithm may use, read only.

    A history only grows, so an algorithm needs to read only what is new, unless :attr:`undone` has
    changed.
    """

    @property
    def trials(self) -> Sequence[TrialRecord]:
        """All trials by number, with params, status and, if completed, the objective."""

    @property
    def completions(self) -> Sequence[int]:
        """The numbers of the completed trials, in the order of their completion."""

    @property
    def undone(self) -> int:
        """How many times a user has set a completed trial to another status.

        That removes its number from :attr:`completions`, so an algorithm must start again from an
        empty state.
        """

    @property
    def learned(self) -> Sequence[TrialRecord]:
        """Completed trials of a warm start's other experiments, with negative numbers."""

    def pending(self) -> list[TrialRecord]:
        """Return the trials that are neither completed nor broken, by number."""

    def failed(self) -> list[TrialRecord]:
        """Return the broken trials that count against their points, in the order in which they
        broke.

        Their cause is an error, a signal or a lack of memory, or they lost their worker
        ``max_attempts`` times. A user may set one to another status, which removes it.
        """

    def has(self, params: Params) -> bool:
        """Return whether a trial with these params is registered."""


class Wait(Enum):
    """The type of :data:`WAIT`, for annotations."""

    WAIT = "wait"


WAIT: Final = Wait.WAIT
"""Returned by ``suggest`` instead of a point: there is none until a pending trial has ended."""


class Branch(NamedTuple):
    """A point that continues another trial.

    Its first attempt starts with a copy of the working directory of trial ``parent``.

    Attributes
    ----------
    params : dict
        The point, by flat name.
    parent : int
        The number of the trial that is continued.

    Examples
    --------
    >>> from orion_hpc.algorithms.base import Branch
    >>> Branch({"lr": 0.1, "epochs": 9}, parent=4).parent
    4
    """

    params: Params
    parent: int


Suggestion: TypeAlias = Params | Branch | Literal[Wait.WAIT] | None


class Algorithm(Protocol):
    """Suggests points of the space.

    Each worker has its own instance. A suggestion may be discarded: if another worker registered
    the number or the point first, ``suggest`` is called again with the newer history. So a
    suggestion must depend on the arguments of ``suggest`` alone; an instance may keep only what it
    can compute again from the history.

    Examples
    --------
    >>> from orion_hpc.algorithms.base import draw_generator
    >>> from orion_hpc.algorithms.random import Random
    >>> from orion_hpc.model.space import Space
    >>> from orion_hpc.model.state import ExperimentState
    >>> space = Space.parse({"x": "uniform(0, 1)"})
    >>> history = ExperimentState(1, "demo", 1, {}, 0.0, max_trials=None, max_broken=3)
    >>> point = Random(space).suggest(history, number=0, rng=draw_generator(seed=1, number=0))
    >>> point["x"] in space["x"]
    True
    """

    @property
    def cheap(self) -> bool:
        """Whether ``suggest`` takes well under a millisecond, so that it may run under the lock.

        All workers together then suggest what a single one would, whatever their number. If it is
        False, ``suggest`` runs without the lock, on a history that may be slightly outdated.
        """

    @property
    def learns(self) -> bool:
        """Whether results matter. If so, workers record results before the next suggestion."""

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return the params of trial ``number``.

        Parameters
        ----------
        history : History
            May end several numbers before ``number``, if several trials are suggested at once.
        number : int
            The trial to be registered, from 0.
        rng : random.Random
            The only source of randomness, seeded with the experiment's seed and ``number``.

        Returns
        -------
        dict, Branch, WAIT or None
            A point by flat name; a :class:`Branch` for a point that continues another trial;
            ``WAIT`` if there is no point until a pending trial has ended; None if the space is
            exhausted. If the point was tried before, ``suggest`` is called again; after the third
            such point one is drawn at random instead.
        """


Advise: TypeAlias = Callable[[int], list[str]]


def no_advice(max_trials: int) -> list[str]:
    """Return no advice: the default for algorithms without the method ``advice``."""
    return []


Wanted: TypeAlias = Callable[[History, Params | Branch], bool]
"""The method ``wants`` of some of our algorithms: whether a suggestion that was made without the
lock, on an older history, should still be tried. It is called under the lock."""


def always_wanted(history: History, suggestion: Params | Branch) -> bool:
    """Return True: the default for algorithms without the method ``wants``."""
    return True


def draw_generator(seed: int, number: int, worker: str = "") -> random.Random:
    """Return the random generator for one trial, the same in every process and on every machine.

    Parameters
    ----------
    seed : int
        The experiment's.
    number : int
        The trial's.
    worker : str, default ""
        The worker's name, for suggestions without the lock: several workers may suggest the same
        number at once, and all but one of equal suggestions would be discarded.

    Returns
    -------
    random.Random

    Examples
    --------
    >>> from orion_hpc.algorithms.base import draw_generator
    >>> draw_generator(1, 7).random() == draw_generator(1, 7).random()
    True
    """
    # A text is hashed with SHA-512.
    return random.Random(f"{seed}/{number}/{worker}" if worker else f"{seed}/{number}")
