"""The language of priors: what is read, what it means, how it is written again, what is refused."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orion_hpc.errors import ConfigurationError, InvalidPrior
from orion_hpc.model.dimension import Categorical, Dimension, Fidelity, Integer, Real
from orion_hpc.model.prior import parse

bounds = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
scalars = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=20)


def _pair(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(values, values).map(sorted).filter(lambda p: p[0] < p[1]).map(tuple)


def _same(choice: Any) -> tuple[bool, Any]:
    return isinstance(choice, bool), choice


@st.composite
def priors(draw: st.DrawFn) -> str:
    """Texts of valid priors of every kind that needs no scipy."""
    kind = draw(st.sampled_from(["uniform", "loguniform", "normal", "randint", "choices", "odds"]))
    shape = draw(st.sampled_from(["", ", shape=2", ", shape=(2, 3)"]))
    precision = draw(st.sampled_from(["", ", precision=1", ", precision=None", ", precision=9"]))
    if kind == "choices":
        choices = draw(st.lists(scalars, min_size=1, max_size=6, unique_by=_same))
        return f"choices({choices!r}{shape})"
    if kind == "odds":
        choices = draw(st.lists(scalars, min_size=1, max_size=6, unique_by=_same))
        weights = [draw(st.integers(1, 9)) for _ in choices]
        odds = ", ".join(
            f"{choice!r}: {weight / sum(weights)!r}"
            for choice, weight in zip(choices, weights, strict=True)
        )
        return f"choices({{{odds}}}{shape})"
    if kind == "randint":
        low, high = draw(_pair(st.integers(-(2**70), 2**70)))
        return f"randint({low}, {high}{shape})"
    if kind == "normal":
        arguments = f"{draw(bounds)!r}, {draw(st.floats(1e-6, 1e6))!r}"
    else:
        low, high = draw(_pair(bounds if kind == "uniform" else st.floats(1e-9, 1e6)))
        arguments = f"{low!r}, {high!r}"
        if math.ceil(low) < math.floor(high) and draw(st.booleans()):
            return f"{kind}({arguments}{shape}, discrete=True)"
    return f"{kind}({arguments}{precision}{shape})"


@given(priors())
def test_round_trip(text: str) -> None:
    """The canonical text reads back as an equal dimension with the same canonical text."""
    dimension = parse("x", text)
    again = parse("x", dimension.get_prior_string())
    assert again == dimension
    assert again.get_prior_string() == dimension.get_prior_string()


@given(priors(), st.integers(0, 2**32))
def test_samples_are_contained(text: str, seed: int) -> None:
    """Whatever is drawn, rounded as it is, belongs to the dimension and lies in its interval."""
    dimension = parse("x", text)
    for _ in range(5):
        value = dimension.sample(random.Random(seed))
        assert value in dimension
        if not dimension.shape and not isinstance(dimension, Categorical):
            low, high = dimension.interval()
            assert low <= value <= high


@given(priors(), st.integers(1, 30))
def test_grids_are_contained_distinct_and_ascending(text: str, n: int) -> None:
    """A grid has at most n values (but all choices), distinct, ascending, of the dimension."""
    dimension = parse("x", text)
    if dimension.shape:
        with pytest.raises(ConfigurationError, match="x has the shape"):
            dimension.grid(n)
        return
    values = dimension.grid(n)
    assert values
    assert all(value in dimension for value in values)
    if isinstance(dimension, Categorical):
        assert values == list(dimension.choices)
    else:
        assert len(values) <= n
        assert all(a < b for a, b in itertools.pairwise(values))


@given(_pair(st.floats(-1e12, 1e12)), st.integers(1, 17), st.integers())
def test_precision_rounds_or_keeps_all_digits(
    pair: tuple[float, float], precision: int, seed: int
) -> None:
    """A sample has the asked digits; only one whose rounding leaves the interval has more."""
    dimension = parse("x", f"uniform({pair[0]!r}, {pair[1]!r}, precision={precision})")
    value = dimension.sample(random.Random(seed))
    rounded = float(f"{value:.{precision - 1}e}")
    assert value == rounded or not pair[0] <= rounded <= pair[1]


@pytest.mark.parametrize(
    ("text", "kind", "interval", "canonical"),
    [
        ("uniform(0, 1)", Real, (0.0, 1.0), "uniform(0, 1)"),
        (" ~uniform(0.0, 1e0) ", Real, (0.0, 1.0), "uniform(0, 1)"),
        ("orion~uniform(low=-1, high=1)", Real, (-1.0, 1.0), "uniform(-1, 1)"),
        ("uniform(0, 10, discrete=True)", Integer, (0, 10), "uniform(0, 10, discrete=True)"),
        ("uniform(0.5, 9.5, discrete=True)", Integer, (1, 9), "uniform(1, 9, discrete=True)"),
        ("uniform(2**10, 1/3 + 1e4)", Real, (1024.0, 10000 + 1 / 3), None),
        ("loguniform(1e-5, 1.0)", Real, (1e-5, 1.0), "loguniform(1e-05, 1)"),
        ("loguniform(1, 1024, discrete=True)", Integer, (1, 1024), None),
        ("normal(0, 1)", Real, (-math.inf, math.inf), "normal(0, 1)"),
        ("gaussian(0, scale=2)", Real, (-math.inf, math.inf), "normal(0, 2)"),
        ("normal(0, 1, discrete=True)", Integer, (-math.inf, math.inf), None),
        ("randint(1, 5)", Integer, (1, 4), "randint(1, 5)"),
        ("randint(1, 1e3, discrete=True)", Integer, (1, 999), "randint(1, 1000)"),
        ("choices('a', 'b')", Categorical, ("a", "b"), "choices(['a', 'b'])"),
        ("choices(('a', 'b'))", Categorical, ("a", "b"), "choices(['a', 'b'])"),
        ("choices({1: .5, 2: .5})", Categorical, (1, 2), "choices([1, 2])"),
        ("choices([1.0, 2, 'x'])", Categorical, (1.0, 2, "x"), "choices([1.0, 2, 'x'])"),
        ("choices([None, True, 1])", Categorical, (None, True, 1), "choices([None, True, 1])"),
        ("fidelity(1, 1e2)", Fidelity, (1, 100), "fidelity(1, 100)"),
        ("fidelity(1, 9, base=3)", Fidelity, (1, 9), "fidelity(1, 9, base=3)"),
        ("alpha(0.9)", Real, (0.0, math.inf), "alpha(a=0.9)"),
        ("beta(b=3, a=2)", Real, (0.0, 1.0), "beta(a=2, b=3)"),
        ("expon(scale=2, discrete=True)", Integer, (0, math.inf), "expon(scale=2, discrete=True)"),
        ("beta(2, 3, 0, 9, discrete=True)", Integer, (0, 9), None),
        ("poisson(mu=3, discrete=True)", Integer, (0, math.inf), "poisson(mu=3)"),
        ("uniform(0,\n 1)", Real, (0.0, 1.0), "uniform(0, 1)"),
    ],
)
def test_meaning(text: str, kind: type, interval: tuple[Any, ...], canonical: str | None) -> None:
    """Each form gives the type, the bounds and the canonical text that Oríon's users expect."""
    dimension = parse("x", text)
    assert type(dimension) is kind
    assert repr(dimension.interval()) == repr(interval)
    if canonical:
        assert dimension.get_prior_string() == canonical
    assert dimension.sample(random.Random(1)) in dimension
    assert parse("x", dimension.get_prior_string()) == dimension


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("uniform(0, 10, default_value=5)", 5.0),
        ("randint(0, 10, default_value=5.0)", 5),
        ("choices([1, True], default_value=True)", True),
        ("uniform(0, 1, shape=2, default_value=[0.25, 1])", [0.25, 1.0]),
        ("fidelity(1, 16)", 16),
        ("uniform(0, 1, default_value=None)", None),
        ("poisson(2, default_value=7)", 7),
    ],
)
def test_defaults(text: str, default: Any) -> None:
    """A default is kept in the dimension's own type, and survives being written."""
    dimension = parse("x", text)
    assert repr(dimension.default_value) == repr(default)
    assert parse("x", dimension.get_prior_string()).default_value == default


def test_samples_reach_both_ends() -> None:
    """Both bounds of an integer are drawn; randint leaves out its upper one."""
    for text, expected in [
        ("uniform(1, 4, discrete=True)", {1, 2, 3, 4}),
        ("randint(1, 5)", {1, 2, 3, 4}),
        ("loguniform(1, 4, discrete=True)", {1, 2, 3, 4}),
        ("choices({'a': 0.5, 'b': 0.5, 'never': 0})", {"a", "b"}),
        ("fidelity(1, 9)", {9}),
    ]:
        rng, dimension = random.Random(1), parse("x", text)
        assert {dimension.sample(rng) for _ in range(500)} == expected, text


def test_shares_follow_the_prior() -> None:
    """Draws fall below the median of their distribution half of the time, choices by their odds."""
    rng = random.Random(1)
    for text, median in [
        ("uniform(0, 10)", 5.0),
        ("loguniform(1e-4, 1)", 1e-2),
        ("normal(3, 2)", 3.0),
        ("expon(scale=2)", 2 * math.log(2)),
        ("randint(0, 1000)", 499.5),
    ]:
        dimension = parse("x", text)
        below = sum(dimension.sample(rng) < median for _ in range(2000))
        assert 900 < below < 1100, text
    odds = parse("x", "choices({'a': 0.9, 'b': 0.1})")
    assert 1740 < sum(odds.sample(rng) == "a" for _ in range(2000)) < 1860


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("uniform(0, 1)", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("loguniform(1e-4, 1)", [1e-4, 1e-3, 1e-2, 0.1, 1.0]),
        ("normal(0, 1)", [-1.282, -0.5244, 0.0, 0.5244, 1.282]),
        ("expon()", [0.1054, 0.3567, 0.6931, 1.204, 2.303]),
        ("uniform(0, 100, discrete=True)", [0, 25, 50, 75, 100]),
        ("randint(0, 3)", [0, 1, 2]),
        ("loguniform(1, 10000, discrete=True)", [1, 10, 100, 1000, 10000]),
        ("choices({'a': 0.5, 'b': 0.5, 'never': 0})", ["a", "b"]),
        ("fidelity(1, 9)", [9]),
        ("uniform(1, 2, precision=1)", [1.0, 2.0]),
    ],
)
def test_grid(text: str, values: list[Any]) -> None:
    """Five values along each kind of dimension are where a person would put them."""
    assert parse("x", text).grid(5) == values


def test_one_grid_value_is_in_the_middle() -> None:
    """A grid of one value doesn't sit on a bound."""
    assert parse("x", "uniform(0, 1)").grid(1) == [0.5]
    assert parse("x", "randint(0, 101)").grid(1) == [50]


@pytest.mark.parametrize(
    ("text", "values", "others"),
    [
        ("uniform(0, 1)", [0, 1, 0.5, 1.0], [-0.1, 1.1, math.nan, True, "0.5", None, [0.5]]),
        ("normal(0, 1)", [0, -1e9, 10**400], [math.inf, -math.inf, math.nan, 1j]),
        ("randint(0, 3)", [0, 2, 2.0], [3, 0.5, False, math.inf, "1"]),
        ("choices([1, 'a', None])", [1, 1.0, "a", None], [True, "b", 0, [1]]),
        ("fidelity(1, 9)", [1, 9, 3], [0, 10, "1", True]),
        ("uniform(0, 1, shape=(1, 2))", [[[0, 1]], ((0.5, 1),)], [0.5, [0, 1], [[0]], [[0, 2]]]),
        ("choices('ab', 'c', shape=2)", [["ab", "c"]], ["ab", ["ab"], ["ab", "x"]]),
    ],
)
def test_contains(text: str, values: list[Any], others: list[Any]) -> None:
    """Numbers are taken by value, booleans aren't numbers, and a shape must fit exactly."""
    dimension = parse("x", text)
    for value in values:
        assert value in dimension, value
    for value in others:
        assert value not in dimension, value


def test_contains_takes_numpy_numbers() -> None:
    """A number out of numpy is a number."""
    np = pytest.importorskip("numpy")
    assert np.float32(0.5) in parse("x", "uniform(0, 1)")
    assert np.int64(2) in parse("x", "randint(0, 3)")


def test_cardinality() -> None:
    """Counts what can be drawn; a shape multiplies; reals are infinitely many."""
    counts = {
        "uniform(0, 1)": math.inf,
        "poisson(3)": math.inf,
        "randint(0, 5)": 5,
        "randint(0, 5, shape=(2, 2))": 625,
        "choices('a', 'b', shape=3)": 8,
        "choices({'a': 1, 'b': 0})": 1,
        "fidelity(1, 100)": 1,
    }
    assert {text: parse("x", text).cardinality for text in counts} == counts


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("lgouniform(1e-5, 1)", 1, "unknown distribution 'lgouniform' (did you mean loguniform?)"),
        ("bata(1, 2)", 1, "(did you mean beta?)"),
        ("uniform", 1, "isn't a distribution with arguments"),
        ("0.1", 1, "isn't a distribution with arguments"),
        ("uniform(0, 1) + 1", 1, "isn't a distribution with arguments"),
        ("stats.uniform(0, 1)", 1, "isn't a distribution with arguments"),
        ("", 1, "the prior is empty"),
        ("uniform(0)", 1, "uniform lacks its argument high"),
        ("uniform()", 1, "uniform lacks its argument low"),
        ("uniform(0, 1, 2)", 15, "uniform takes low and high, and nothing more"),
        ("uniform(0, 1, low=2)", 19, "low is given twice"),
        ("uniform(0, 1, shape=1, shape=2)", 24, "shape is given twice"),
        ("uniform(0, 1, shpae=2)", 21, "no argument shpae (did you mean shape?)"),
        ("uniform(1, 0)", 12, "high isn't above low (1)"),
        ("uniform(1, 1)", 12, "high isn't above low (1)"),
        ("uniform('a', 1)", 9, "low isn't a number"),
        ("uniform(True, 2)", 9, "low isn't a number"),
        ("uniform(0, 1, discrete=1)", 24, "discrete is neither True nor False"),
        ("uniform(0.1, 1.9, discrete=True)", 1, "aren't two whole numbers"),
        ("uniform(0, 9, discrete=True, precision=2)", 40, "precision doesn't go with"),
        ("loguniform(0, 1)", 12, "low isn't above 0"),
        ("loguniform(-1, 1)", 12, "low isn't above 0"),
        ("normal(0, 0)", 11, "scale isn't above 0"),
        ("randint(0.5, 3)", 9, "low isn't a whole number"),
        ("randint(0, 3, discrete=False)", 24, "randint yields whole numbers only"),
        ("uniform(0, x)", 12, "x is a bare word"),
        ("uniform(0, inf)", 12, "inf isn't a finite number"),
        ("uniform(0, 1e999)", 12, "isn't a number within"),
        ("uniform(0, nan)", 12, "nan isn't a finite number"),
        ("uniform(0, float('inf'))", 12, "isn't a literal"),
        ("uniform(0, 1j)", 12, "isn't a literal"),
        ("uniform(0, 1/0)", 12, "can't be computed"),
        ("uniform(0, 2**10**10)", 12, "the exponent isn't within"),
        ("uniform(0, (-8)**0.5)", 12, "isn't a number within"),
        ("uniform(0, 1", 8, "can't be read"),
        ("uniform(*[0, 1])", 9, "isn't a literal"),
        ("uniform(**{})", 9, "can't be unpacked"),
        ("choices()", 1, "lacks what to choose from"),
        ("choices([])", 9, "nothing to choose from"),
        ("choices({})", 9, "nothing to choose from"),
        ("choices(['a', 'a'])", 9, "the choice 'a' is there twice"),
        ("choices([1, 1.0])", 9, "the choice 1.0 is there twice (as 1)"),
        ("choices({'a': 0.5, 'a': 0.5})", 9, "the choice 'a' is there twice"),
        ("choices([[1, 2], 'a'])", 9, "a choice is itself a list"),
        ("choices([b'a'])", 10, "isn't a literal"),
        ("choices([a, b])", 10, "a is a bare word"),
        ("choices(['a'], ['b'])", 16, "choices takes options, and nothing more"),
        ("choices({'a': 0.5, 'b': 0.4})", 9, "add up to 0.9 and not to 1"),
        ("choices({'a': 1.5, 'b': -0.5})", 9, "the probability -0.5 is negative"),
        ("choices({'a': 'b'})", 9, "the probability 'b' isn't a number"),
        ("choices({**{'a': 1}})", 9, "can't be unpacked"),
        ("choices(['a'], default_value='b')", 30, "the default isn't a value"),
        ("uniform(0, 1, default_value=2)", 29, "the default isn't a value"),
        ("uniform(0, 1, shape=2, default_value=1)", 38, "the default isn't a value"),
        ("uniform(0, 1, precision=0)", 25, "precision isn't from 1 to 17"),
        ("uniform(0, 1, precision=10**9)", 25, "precision isn't from 1 to 17"),
        ("uniform(0, 1, precision=True)", 25, "precision isn't a number"),
        ("uniform(0, 1, shape=0)", 21, "shape isn't made of positive whole numbers"),
        ("uniform(0, 1, shape=(2, 'a'))", 21, "shape isn't made of positive whole numbers"),
        ("uniform(0, 1, shape=10**9)", 21, "more than 10,000 elements"),
        ("fidelity(0, 10)", 10, "low isn't at least 1"),
        ("fidelity(0.5, 10)", 10, "low isn't a whole number"),
        ("fidelity(10, 1)", 14, "high is below low (10)"),
        ("fidelity(1, 10, base=0)", 22, "base isn't at least 1"),
        ("fidelity(1, 10, shape=2)", 23, "fidelity has no argument shape"),
        ("beta(2)", 1, "beta lacks its argument b"),
        ("beta(-1, 2)", 1, "out of its domain"),
        ("beta(1, 2, size=3)", 17, "beta has no argument size here"),
        ("expon(random_state=1)", 20, "expon has no argument random_state here"),
        ("poisson(1e300)", 1, "can't be drawn from"),
        ("poisson(3, precision=2)", 22, "poisson has no argument precision"),
        ("rv_histogram(1)", 1, "unknown distribution 'rv_histogram'"),
        ("~ uniform(1, 0)", 14, "high isn't above low"),
        ("uniform(0,\n        y)", 20, "y is a bare word"),
        ("choices('é', y)", 14, "y is a bare word"),
    ],
)
def test_errors_say_what_and_where(text: str, column: int, message: str) -> None:
    """Each mistake is named with its dimension and its column, and the caret stands under it."""
    with pytest.raises(InvalidPrior) as caught:
        parse("model.lr", text)
    error = caught.value
    assert error.message.startswith("model.lr: ")
    assert message in error.message
    assert f"at column {column} of" in error.message
    if text:
        shown, caret = error.hint.split("\n")[:2]
        assert caret.index("^") == column + 1
        assert shown.strip() in text.replace("\n", " ")


def test_hint_lists_what_there_is() -> None:
    """An unknown distribution's hint names those there are."""
    with pytest.raises(InvalidPrior) as caught:
        parse("lr", "lgouniform(1e-5, 1)")
    assert caught.value.hint == (
        "  lgouniform(1e-5, 1)\n"
        "  ^^^^^^^^^^\n"
        "There are uniform, loguniform, normal, gaussian, randint, choices, fidelity, "
        "and those of scipy.stats."
    )


HOSTILE = (
    "(" * 100_000,
    "uniform(" * 1000,
    "[" * 15_000,
    "-" * 15_000 + "1",
    "uniform(" + "-" * 15_000 + "1, 2)",
    "uniform(" + "1+" * 9_000 + "1, 2)",
    "uniform(0" + "." * 15_000 + ")",
    "uniform" + ".a" * 9_000 + "(0, 1)",
    "uniform(0, 2**10**10**10)",
    "uniform(0, 9**9**9)",
    "uniform(0, 1000**1000**1000)",
    "uniform(0, " + "9" * 10_000 + ")",
    "uniform(0, 1e" + "9" * 200 + ")",
    "choices('a' * 10**10)",
    "choices(['" + "\\x01" * 4_000 + "', " + "[" * 50 + "])",
    "choices([" + "1, " * 8_000 + "])",
    "choices(['" + "\x01" * 15_000 + "'])",
    "__import__('os').system('true')",
    "uniform(0, __import__('os').getpid())",
    "().__class__.__bases__[0].__subclasses__()",
    "(lambda: uniform(0, 1))()",
    "[uniform(0, 1) for _ in (1,)]",
    "f'{1}'",
    "uniform(0, (x := 1))",
    "uniform(0, 1 if True else 2)",
    "uniform(0, 1)\0",
    "uniform(0, 1); import os",
    "uniform(0, '\udc80')",
    "import os",
    "\\",
    "'",
    "uniform(0, 1) # ok?\nx",
    "_distributions()",
    "uniform(0, 1, default_value=" + "[" * 9 + "]" * 9 + ")",
)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text: str) -> None:
    """No text runs anything, hangs, or raises anything but the one error, which stays short."""
    started = time.process_time()
    with pytest.raises(InvalidPrior) as caught:
        parse("x", text)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - started < 5


@given(
    st.text(max_size=60)
    | st.text("uniformchces(){}[]0123456789.,-+*/'\"= \n~#\\e", max_size=60)
    | st.text("()[]{},:*-/0123456789.'e", max_size=40).map("choices({})".format)
    | st.text("()[],:*-/0123456789.e=lowhighpcsa ", max_size=40).map(lambda s: f"uniform({s})")
)
@example("uniform(0,1,shape=())")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Every text gives a dimension that reads back as itself, or InvalidPrior."""
    dimension: Dimension | None = None
    with contextlib.suppress(InvalidPrior):
        dimension = parse("x", text)
    if dimension is not None:
        assert parse("x", dimension.get_prior_string()) == dimension


def test_equality_keeps_choices_apart() -> None:
    """Dimensions are equal by their text: 1, 1.0 and True are different choices."""
    one, real, true = (parse("x", f"choices([{value}])") for value in ("1", "1.0", "True"))
    assert len({one, real, true}) == 3
    assert one == parse("x", "choices(1)")
    assert one != parse("y", "choices(1)")


def test_scipy_grids_of_heavy_tails_are_refused() -> None:
    """A grid over a discrete distribution without an end in sight fails at once, with a reason."""
    assert parse("x", "poisson(3)").grid(4) == [1, 2, 3, 5]
    with pytest.raises(ConfigurationError, match="reaches too far for a grid"):
        parse("x", "zipf(1.000001)").grid(4)


def test_without_scipy() -> None:
    """Without scipy its distributions are refused with the way to get them; the others work."""
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "from orion_hpc.model.prior import parse\n"
        "parse('x', 'loguniform(1, 2)')\n"
        "try: parse('x', 'beta(1, 2)')\n"
        "except Exception as error: print(type(error).__name__, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InvalidPrior")
    assert "pip install scipy" in done.stdout
