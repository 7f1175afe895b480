"""Whether one search is better than another: tests on pairs of results, and quartiles.

Knows numbers only; less is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Pair = tuple[float, float]
"""What ours reached, and what the other did, with the same seed."""

SIGNIFICANT = 0.01
"""A difference that is likelier than this by chance is none."""


def verdict(pairs: Sequence[Pair]) -> str:
    """Return ``better``, ``same`` or ``worse``, with the probability that chance does as much.

    Wilcoxon's signed-rank test, two-sided. ``same`` says only that no difference was seen.
    """
    from scipy.stats import wilcoxon

    ranks = _signed_ranks(pairs)
    if not ranks:
        return "same"
    return _told(float(wilcoxon(*zip(*pairs, strict=True)).pvalue), sum(ranks))


def overall(problems: Iterable[Sequence[Pair]]) -> str:
    """Return the same over several problems, whose results have scales of their own.

    Differences are ranked within each problem, and the signed ranks of all are summed. Under no
    difference each sign is a toss of a coin, so that the sum is near to normal with the ranks'
    squares as its variance.
    """
    shares = []
    for pairs in problems:
        ranks = _signed_ranks(pairs)
        shares += [rank / (len(ranks) + 1) for rank in ranks]
    if not shares:
        return "same"
    score = sum(shares) / math.sqrt(sum(one * one for one in shares))
    return _told(math.erfc(abs(score) / math.sqrt(2)), score)


def wins(problems: Iterable[Sequence[Pair]]) -> str:
    """Return how often ours is better and how often worse, such as ``31 : 9``."""
    signs = [math.copysign(1, rank) for pairs in problems for rank in _signed_ranks(pairs)]
    return f"{signs.count(-1)} : {signs.count(1)}"


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile; any may be infinite.

    Interpolated between neighbours, as by ``statistics.quantiles(values, method="inclusive")``,
    which returns NaN where one is infinite.
    """
    ordered = sorted(values)
    found = []
    for share in (0.25, 0.5, 0.75):
        place, part = divmod(share * (len(ordered) - 1), 1)
        low = ordered[int(place)]
        high = ordered[int(place) + 1] if part else low
        found.append(low if low == high else low * (1 - part) + high * part)
    return found


def _signed_ranks(pairs: Sequence[Pair]) -> list[float]:
    """Return the ranks of the differences' sizes from 1, negative where ours is better.

    Pairs without a difference are left out.
    """
    from scipy.stats import rankdata

    signed = [one - other for one, other in pairs if one != other]
    ranks = rankdata([abs(difference) for difference in signed]).tolist() if signed else []
    return [math.copysign(rank, one) for rank, one in zip(ranks, signed, strict=True)]


def _told(chance: float, direction: float) -> str:
    if chance >= SIGNIFICANT:
        return f"same ({chance:.2g})"
    return f"{'better' if direction < 0 else 'worse'} ({chance:.1g})"
