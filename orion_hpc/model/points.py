"""The points of an experiment's trials, as a set. Pure.

Every worker keeps the points of all trials, so lookup and insertion must be very cheap.
"""

from __future__ import annotations

from collections.abc import Hashable

from orion_hpc.model.trial_record import Params, params_key


class Points:
    """A set of params; two are the same point if their names, values and types are equal.

    Nearly all trials of an experiment have the same names and the same types of values. Of these
    only the values are stored and compared.
    """

    __slots__ = ("_names", "_odd", "_seen")

    def __init__(self) -> None:
        self._names: tuple[str, ...] | None = None
        self._seen: dict[tuple[type, ...], set[Hashable]] = {}
        self._odd: set[str] = set()
        """Points with other names, or with a list as a value, by :func:`params_key`."""

    def __contains__(self, params: Params) -> bool:
        values = tuple(params.values())
        if tuple(params) == self._names:
            try:
                return values in self._seen.get(tuple(map(type, values)), ())
            except TypeError:  # a list, of a dimension with a shape
                return params_key(params) in self._odd
        ordered = dict(sorted(params.items()))
        return ordered in self if tuple(ordered) == self._names else params_key(params) in self._odd

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and self._seen == other._seen and self._odd == other._odd

    __hash__ = None  # type: ignore[assignment]

    def add(self, params: Params) -> Params | None:
        """Add the point; return None if it is in the set already.

        Otherwise return the params with shared strings as names: else a hundred thousand trials
        would keep a hundred thousand copies of each name.
        """
        if tuple(params) != self._names and not self._settle_names(params):
            ordered = dict(sorted(params.items()))
            if tuple(ordered) == self._names:
                return params if self.add(ordered) is not None else None
            return self._add_odd(params)
        values = tuple(params.values())
        types = tuple(map(type, values))
        try:
            seen = self._seen[types]
        except KeyError:
            seen = self._seen[types] = set()
        before = len(seen)
        try:
            seen.add(values)
        except TypeError:
            return self._add_odd(params)
        if len(seen) == before:
            return None
        return dict(zip(self._names or (), values))  # noqa: B905 (both have the same length)

    def _settle_names(self, params: Params) -> bool:
        """Use the first trial's names, sorted, for all; return whether ``params`` has exactly
        these."""
        if self._names is None:
            self._names = tuple(sorted(params))
        return tuple(params) == self._names

    def _add_odd(self, params: Params) -> Params | None:
        before = len(self._odd)
        self._odd.add(params_key(params))
        return params if len(self._odd) > before else None
