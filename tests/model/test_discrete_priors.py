"""Discrete priors beside those of Oríon 0.2.7, by drawing.

The numbers are those of 100,000 draws of Oríon's: the least value, and how often it and each one
after it came. Values of less than 500 draws at either end are left out.
"""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from orion_hpc.errors import InvalidPrior
from orion_hpc.model.prior import parse

ORION_DRAWS = 100_000

# fmt: off
SAME = {
    "uniform(1, 5, discrete=True)": (1, [20121, 20059, 19878, 19954, 19988]),
    "uniform(-3, 3, discrete=True)": (-3, [14409, 14446, 14163, 14091, 14354, 14188, 14349]),
    "loguniform(1, 5, discrete=True)": (1, [36727, 22658, 16650, 13060, 10905]),
    "normal(0, 2, discrete=True)": (-5,
        [1631, 4240, 9154, 15068, 19036, 19276, 15006, 9233, 4450, 1647]),
    "normal(0.5, 2, discrete=True)": (-5,
        [894, 2699, 6473, 12064, 17559, 19632, 17690, 12097, 6550, 2802, 923]),
    "gaussian(10, 1, discrete=True)": (7, [2113, 13394, 34104, 34282, 13683, 2136]),
    "norm(0, 2, discrete=True)": (-5,
        [1631, 4240, 9154, 15068, 19036, 19276, 15006, 9233, 4450, 1647]),
    "expon(scale=3, discrete=True)": (0,
        [28617, 20076, 14558, 10385, 7495, 5255, 3867, 2756, 2033, 1427, 957, 764, 534]),
    "gamma(2, discrete=True)": (0, [26266, 33036, 20853, 10712, 5174, 2231, 999]),
    "beta(2, 2, loc=0, scale=5, discrete=True)": (0, [7246, 18588, 24216, 23983, 18551, 7416]),
    "triang(0.5, loc=-2, scale=4, discrete=True)": (-2, [8150, 24107, 35804, 23910, 8029]),
    "poisson(3)": (0, [5000, 15048, 22524, 22189, 16770, 10073, 5003, 2179, 842]),
    "poisson(3, loc=2)": (2, [5000, 15048, 22524, 22189, 16770, 10073, 5003, 2179, 842]),
    "binom(5, 0.5)": (0, [3190, 15643, 31181, 31258, 15633, 3095]),
    "bernoulli(0.3)": (0, [70050, 29950]),
    "geom(0.3)": (1, [30330, 20655, 14729, 10284, 7176, 5016, 3539, 2513, 1746, 1182, 843, 642]),
    "nbinom(3, 0.4)": (0,
        [6310, 11557, 13597, 14152, 12288, 10380, 8498, 6376, 4893, 3555, 2607, 1857, 1229, 908,
        582]),
    "hypergeom(20, 7, 12)": (2, [4868, 20022, 35492, 28623, 9525, 1056]),
    "dlaplace(0.8)": (-5, [683, 1623, 3448, 7800, 17066, 37947, 17153, 7502, 3417, 1544, 704]),
    "planck(0.5)": (0, [39557, 23694, 14418, 8717, 5370, 3286, 1960, 1188, 729]),
    "logser(0.6)": (1, [65443, 19552, 7981, 3463, 1751, 833]),
    "boltzmann(1.4, 19)": (0, [75357, 18571, 4603, 1105]),
    "skellam(3, 2)": (-4,
        [1353, 3359, 7083, 12274, 16830, 18316, 15948, 11533, 6786, 3426, 1630, 587]),
    "yulesimon(5)": (1, [83469, 11834, 2992, 920]),
    "zipf(4)": (1, [92424, 5771, 1135]),
    "zipfian(1.25, 10)": (1, [42334, 17582, 10631, 7395, 5635, 4466, 3715, 3192, 2676, 2374]),
    "betabinom(5, 2, 3)": (0, [16690, 23600, 23790, 19325, 11853, 4742]),
    "nhypergeom(20, 7, 12)": (2, [585, 2424, 7104, 17087, 31651, 41018]),
}
"""Decided: as Oríon. With whole or without bounds, both give the same values as often."""

BEYOND_ITS_BOUNDS = {
    "uniform(0.5, 9.5, discrete=True)": (0,
        [4629, 10172, 10240, 9993, 10036, 9962, 10126, 10107, 10021, 10186, 4528]),
    "uniform(0, 4.5, discrete=True)": (0, [18599, 18634, 18314, 18501, 18512, 7440]),
    "uniform(0.2, 0.8, discrete=True)": (0, [50014, 49986]),
    "uniform(-2.5, 2.5, discrete=True)": (-3, [7294, 17275, 17059, 16955, 17133, 17096, 7188]),
    "loguniform(0.5, 9.5, discrete=True)": (0,
        [20451, 23484, 13670, 9835, 7546, 6198, 5128, 4592, 4046, 3589, 1461]),
    "loguniform(1.5, 4.5, discrete=True)": (1, [16722, 33355, 24438, 19211, 6274]),
    "truncnorm(-1, 2, loc=0.5, scale=2, discrete=True)": (-2,
        [6195, 17912, 20747, 20241, 16402, 10918, 6131, 1454]),
}
"""Decided: otherwise. With a bound that isn't whole, Oríon draws the next whole number outside,
about half as often as the others: 0 and 10 for uniform(0.5, 9.5), and 0 on a logarithmic scale.
Here no value is outside the bounds that were written, and each inside is as likely as it should
be. Trials of imported experiments keep their points all the same."""
# fmt: on


def _draws(text: str, count: int) -> Counter[int]:
    rng = random.Random(1)
    dimension = parse("x", text)
    return Counter(dimension.sample(rng) for _ in range(count))


@pytest.mark.parametrize("text", SAME)
def test_values_come_as_often_as_in_orion(text: str) -> None:
    """Each value comes as often as Oríon drew it, within five standard deviations."""
    count = ORION_DRAWS if text.startswith(("uniform", "loguniform")) else 10_000
    first, orion = SAME[text]
    ours = _draws(text, count)
    for value, drawn in enumerate(orion, first):
        share = drawn / ORION_DRAWS
        deviation = math.sqrt(share * (1 - share) * (1 / count + 1 / ORION_DRAWS))
        assert ours[value] / count == pytest.approx(share, abs=5 * deviation), value
    inside = sum(ours[value] for value in range(first, first + len(orion))) / count
    assert inside > 0.95 * sum(orion) / ORION_DRAWS


@pytest.mark.parametrize("text", BEYOND_ITS_BOUNDS)
def test_no_value_is_beyond_the_bounds(text: str) -> None:
    """Where Oríon draws whole numbers outside the bounds, those inside are drawn and no other."""
    first, orion = BEYOND_ITS_BOUNDS[text]
    if text == "uniform(0.2, 0.8, discrete=True)":
        with pytest.raises(InvalidPrior, match="there aren't two whole numbers between"):
            parse("x", text)
        return
    low, high = parse("x", text).interval()
    assert set(_draws(text, 5_000)) == set(range(int(low), int(high) + 1))
    assert low >= first
    assert high <= first + len(orion) - 1
    assert len(orion) > high - low + 1


@pytest.mark.parametrize(
    "text",
    ["uniform(0.5, 9.5, discrete=True)", "uniform(-2.5, 2.5, discrete=True)"],
)
def test_uniform_values_inside_are_equally_likely(text: str) -> None:
    """Rounding doesn't make the values beside a bound rarer."""
    drawn = _draws(text, 100_000).values()
    assert max(drawn) - min(drawn) < 0.12 * max(drawn)
