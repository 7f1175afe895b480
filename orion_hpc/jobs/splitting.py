"""Divides what is too large for one job array of the site among several. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """One array: its number of tasks, how many of them may run at once, and the number of the part
    that has to be over before it begins, if any."""

    tasks: int
    throttle: int | None
    after: int | None = None


def split(tasks: int, throttle: int | None, most: int | None) -> list[Part]:
    """Return arrays of at most ``most`` tasks each, as equal as they can be.

    Of all together no more than ``throttle`` tasks run at once. Where that is fewer than there are
    arrays, so many of them run one task at a time and the others follow, each after one of them.
    """
    count = 1 if most is None else -(-tasks // most)
    parts = []
    for number, size in enumerate(_shares(tasks, count)):
        if throttle is None:
            parts.append(Part(size, None))
        elif throttle < count:
            parts.append(Part(size, 1, number - throttle if number >= throttle else None))
        else:
            parts.append(Part(size, _shares(throttle, count)[number]))
    return parts


def _shares(whole: int, count: int) -> list[int]:
    each, rest = divmod(whole, count)
    return [each + (number < rest) for number in range(count)]
