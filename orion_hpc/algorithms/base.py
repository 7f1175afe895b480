"""What an algorithm is: the protocol that every one follows, ours and a third party's.

Knows no algorithm; how one is made from the configuration is told in ``choice``. To write a new one
takes one file with one class::

    from orion_hpc.model.space import Space

    class Corners:
        cheap = True  # how long ``suggest`` takes: see :class:`Algorithm`
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
to values. What a dimension of the space tells: ``type`` (``real``, ``integer``, ``categorical``,
``fidelity``), ``shape``, ``interval()`` (its bounds, or all choices), ``prior_name``,
``cardinality``, ``value in dimension``, ``sample(rng)``; ``space.sample(rng)`` draws a whole point.

One that learns looks at what is completed. This one takes a step from the best point so far::

    class Climb:
        cheap = False
        requires_type, requires_shape = "real", "flattened"  # it is given reals only

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

These may stand in the class besides (Oríon's names where Oríon has them):

``learns``
    False if results don't matter to ``suggest``; by default they do.
``requires_type``, ``requires_dist``, ``requires_shape``
    Which dimensions it takes: see :mod:`orion_hpc.algorithms.transform`. Any other dimension is
    transformed; the space and the history that it is given are so already, and its points are
    transformed back. By default it takes all. With one of these, a fidelity is left out of the
    space and every trial gets the most; without, it is a dimension like the others.
``needs_fidelity``
    True if it can't search a space without one. It is given the space as it is.
``check(**options)``
    A static method that raises ConfigurationError where the value of an option is wrong; it is
    asked before anything is written or submitted.
``advice(max_trials)``
    A method that returns what a user should know who searches with so many trials: sentences
    without the full stop.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from orion_hpc.model.trial import Params, Trial


class History(Protocol):
    """What an algorithm may know of its experiment. It is read only.

    It only ever gets longer, so an algorithm needs to look but at what is new, unless
    :attr:`undone` has changed.
    """

    @property
    def trials(self) -> Sequence[Trial]:
        """All trials by number: params, status and, where completed, the objective."""

    @property
    def completions(self) -> Sequence[int]:
        """The numbers of the completed trials, in the order in which they were completed."""

    @property
    def undone(self) -> int:
        """How often a completed trial was set to another status by hand.

        Each time its number is taken out of :attr:`completions`; what was learned must be learned
        anew.
        """

    @property
    def learned(self) -> Sequence[Trial]:
        """Completed trials of other experiments of this space, with negative numbers."""

    def pending(self) -> list[Trial]:
        """Return the trials that are neither completed nor broken."""

    def has(self, params: Params) -> bool:
        """Return whether a trial with these params is registered."""


class Wait(Enum):
    """Of which there is one, so that a type can say it."""

    WAIT = "wait"


WAIT: Final = Wait.WAIT
"""Instead of a point: there is none before a pending trial ends."""


class Branch(NamedTuple):
    """A point that goes on from another trial: its first attempt finds a copy of what trial
    ``parent`` left in its working directory."""

    params: Params
    parent: int


Suggestion: TypeAlias = Params | Branch | Literal[Wait.WAIT] | None


class Algorithm(Protocol):
    """Proposes points of the space.

    Several workers hold an instance each, and a proposal may come to nothing: another worker
    registered the number or the point first, and this one is asked again with the newer history.
    So what is proposed must follow from the arguments of ``suggest`` alone; an instance may keep
    only what it could compute again.
    """

    @property
    def cheap(self) -> bool:
        """Whether ``suggest`` takes well under a millisecond, so that it may hold the lock.

        Then all workers together propose what one alone would have, whatever their number. What
        isn't cheap is computed beside the lock, on a history that may be a little old.
        """

    @property
    def learns(self) -> bool:
        """Whether results matter: then one that is there is recorded before the next is asked."""

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return the params of trial ``number`` by flat name, or None if the space is exhausted.

        Parameters
        ----------
        history : History
            May end some numbers before ``number``, when several trials are proposed at once.
        number : int
            The trial to be registered.
        rng : random.Random
            The only source of chance, seeded with the experiment's seed and ``number``.

        Returns
        -------
        dict, Branch, WAIT or None
            A :class:`Branch` for a point that goes on from another trial, ``WAIT`` if there will be
            one when a pending trial has ended. For a point that is tried already it is asked again;
            after the third such point one is drawn at random instead.
        """


Advise: TypeAlias = Callable[[int], list[str]]


def no_advice(max_trials: int) -> list[str]:
    """Return what an algorithm has to say that says nothing."""
    return []


Wanted: TypeAlias = Callable[[History, Params | Branch], bool]
"""Whether what an algorithm suggested beside the lock, on an older history, is still to be tried:
the method ``wants`` of one of ours. It is asked while the lock is held."""


def always_wanted(history: History, suggestion: Params | Branch) -> bool:
    """Return what an algorithm says of a suggestion that is as good later on."""
    return True


def draw_generator(seed: int, number: int, worker: str = "") -> random.Random:
    """Return the generator for trial ``number``: the same in every process, on every machine.

    ``worker`` sets workers apart that propose for one number at once, beside the lock: each of the
    others' proposals would be the same, and come to nothing.
    """
    # A text is hashed with SHA-512.
    return random.Random(f"{seed}/{number}/{worker}" if worker else f"{seed}/{number}")
