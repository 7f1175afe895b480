"""What inert values stand for, against what Python and numpy make of the same pickles."""

from __future__ import annotations

import datetime
import pickle
from collections import OrderedDict, defaultdict
from fractions import Fraction

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.errors import ImportRefused
from orion_hpc.importers.orion import inert_values
from orion_hpc.importers.orion.inert_pickle import load
from orion_hpc.importers.orion.inert_values import UnsupportedValue, ValueConverter, moment

UTC = datetime.timezone.utc


def inert(value, protocol=4):
    """Return ``value`` as it is read from a pickle."""
    return load(pickle.dumps(value, protocol), lambda name: True)


def plain(value):
    """Return ``value`` as plain data, by way of a pickle."""
    return ValueConverter().plain(inert(value))


@given(st.datetimes(), st.integers(3, 5))
def test_a_time_without_a_zone_is_in_utc(time, protocol):
    """To the microsecond; Oríon writes no other."""
    assert moment(inert(time, protocol)) == time.replace(tzinfo=UTC)


def test_a_time_may_have_a_zone_or_be_folded():
    """As other programs write them."""
    zone = datetime.timezone(datetime.timedelta(hours=-5))
    time = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, zone)
    assert moment(inert(time)) == time
    folded = datetime.datetime(2024, 2, 29, fold=1)
    assert moment(inert(folded)) == folded.replace(tzinfo=UTC, fold=0)


@pytest.mark.parametrize(
    "packed",
    [
        b"\x07\xe8\x02\x1e\x00\x00\x00\x00\x00\x00",  # 30 February
        b"\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00",  # the year 0
        b"\x07\xe8\x02\x01\x18\x00\x00\x00\x00\x00",  # 24 o'clock
        b"\x07\xe8\x02\x01\x00\x00\x00\xff\xff\xff",  # more than a million microseconds
        b"\x07\xe8",
        b"",
    ],
)
def test_a_time_that_there_is_not_is_odd(packed):
    """No traceback of datetime's."""
    time = inert(datetime.datetime(2024, 1, 1))
    time.args = (packed,)
    with pytest.raises(UnsupportedValue):
        moment(time)
    with pytest.raises(UnsupportedValue):
        ValueConverter().plain(time)


@pytest.mark.parametrize("value", [None, 3, "2024-01-01", datetime.date(2024, 1, 1), moment])
def test_what_is_no_time_is_odd(value):
    """It says what it is instead."""
    with pytest.raises(UnsupportedValue, match="a "):
        moment(inert(value))


@pytest.mark.parametrize(
    "number",
    [
        numpy.float64(0.1), numpy.float32(0.5), numpy.float16(2), numpy.int64(-(2**62)),
        numpy.int32(-1), numpy.int16(-2), numpy.int8(-3), numpy.uint64(2**64 - 1),
        numpy.uint32(1), numpy.uint16(2), numpy.uint8(255), numpy.bool_(True),
        numpy.dtype(">f8").type(1.5),
    ],
)  # fmt: skip
def test_a_number_of_numpy_is_that_number(number):
    """Of the type that ``item`` gives."""
    for protocol in (3, 4, 5):
        found = ValueConverter().plain(inert(number, protocol))
        assert found == number.item()
        assert type(found) is type(number.item())


def test_a_number_in_the_other_order_of_bytes_is_that_number():
    """The dtype tells the order."""
    scalar = inert(numpy.float64(1.5))
    scalar.args = (inert(numpy.dtype(">f8")), numpy.array(1.5, ">f8").tobytes())
    assert ValueConverter().plain(scalar) == 1.5


def test_dates_and_mappings_and_sets_become_plain():
    """What YAML and Oríon leave in metadata."""
    value = {
        "date": datetime.date(2020, 1, 2),
        "time": datetime.datetime(2020, 1, 2, 3, 4, 5),
        "ordered": OrderedDict(a=1),
        "default": defaultdict(list, b=[2]),
        "set": {3},
        "tuple": (None, b"4"),
    }
    assert plain(value) == {
        "date": "2020-01-02",
        "time": "2020-01-02T03:04:05+00:00",
        "ordered": {"a": 1},
        "default": {"b": [2]},
        "set": [3],
        "tuple": (None, b"4"),
    }


@pytest.mark.parametrize(
    "value",
    [
        1j, Fraction(1, 2), datetime.timedelta(1), numpy.ones(2), numpy.complex128(1),
        numpy.str_("a"), numpy.random.RandomState(1), numpy.random.default_rng(1), range(3), print,
        bytearray(b"a"), 1 << 5000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_anything_else_is_odd_and_named(value):
    """It is data for nobody; where it stands says whether that matters."""
    with pytest.raises(UnsupportedValue, match="a "):
        plain([value])


@pytest.mark.parametrize("args", [(), (1,), (1, 2), ("f8", b"")])
def test_a_number_of_numpy_that_is_none_is_odd(args):
    """Arguments are the file's, and may be anything."""
    scalar = inert(numpy.float64(1))
    scalar.args = args
    with pytest.raises(UnsupportedValue):
        ValueConverter().plain(scalar)


def test_levels_are_bounded():
    """A list that holds itself ends, too."""
    cyclic: list[object] = []
    cyclic.append(cyclic)
    with pytest.raises(UnsupportedValue, match="levels"):
        plain(cyclic)


def test_shared_parts_are_counted_wherever_they_are(monkeypatch):
    """Thirty lists, each twice in the next, are a billion values."""
    monkeypatch.setattr(inert_values, "_MOST_VALUES", 100_000)
    value: list[object] = []
    for _ in range(30):
        value = [value, value]
    with pytest.raises(ImportRefused, match="more than 100,000 values"):
        plain(value)
