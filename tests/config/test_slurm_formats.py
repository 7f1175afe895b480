"""sbatch's forms of time, memory and arrays: what each means, and what is refused."""

# ruff: noqa: E501 - a row of a table is easier to read in one line, with the whole message.

from __future__ import annotations

import pytest

from orion_hpc.config.slurm_formats import (
    InvalidValue,
    array_size,
    check_memory,
    time_limit_seconds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("1", 60),
        ("90:30", 5430),
        ("00:30:00", 1800),
        ("1:02:03", 3723),
        ("100:00:00", 360_000),
        ("1-0", 86_400),
        ("2-12", 216_000),
        ("1-02:30", 95_400),
        ("1-02:30:15", 95_415),
        ("infinite", None),
        ("UNLIMITED", None),
        ("-1", None),
        ("0", None),
        ("0-00:00:00", None),
    ],
)
def test_time_forms(text: str, seconds: int | None) -> None:
    """Every form of sbatch(1), ``--time``, is read as the seconds it means."""
    assert time_limit_seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "half", "1h", "1:2:3:4", "1-", "-5", "1-2-3", "1:", ":30", "1.5", "30 ", "\u0663", "1-2:3:4:5", "30\n"],
)  # fmt: skip
def test_time_refused(text: str) -> None:
    """What sbatch has no form for says which forms there are."""
    with pytest.raises(InvalidValue, match=r"^expected minutes, mm:ss, hh:mm:ss, d-hh, "):
        time_limit_seconds(text)


@pytest.mark.parametrize("text", ["2G", "2000M", "500", "0", "4gb", "1T", "512k"])
def test_memory_is_kept(text: str) -> None:
    """An amount of memory is passed on as it was written."""
    assert check_memory(text) == text


@pytest.mark.parametrize("text", ["", "lots", "1.5G", "-2G", "2 G", "2X", "G", "2GiB"])
def test_memory_refused(text: str) -> None:
    """What is no amount of memory says how one is written."""
    with pytest.raises(InvalidValue, match="such as 2G"):
        check_memory(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10", (10, None)),
        ("1", (1, None)),
        ("10%4", (10, 4)),
        ("10 % 4", (10, 4)),
        ("0-9", (10, None)),
        ("0-9%4", (10, 4)),
        ("0-15:4", (4, None)),
        ("1,3,8", (3, None)),
        ("0-3,2-5", (6, None)),
        ("5-5", (1, None)),
    ],
)
def test_array_sizes(text: str, size: tuple[int, int | None]) -> None:
    """A number is a count, sbatch's indices are counted, and the throttle stands after '%'."""
    assert array_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "expected 1 to 4,000,001 tasks"),
        ("4000002", "expected 1 to 4,000,001 tasks"),
        ("0-4000000,0-4000000", "expected 1 to 4,000,001 tasks"),
        ("0-999999999", "expected indices below 4,000,001"),
        ("9-0", "expected the range 9-0 to count upwards"),
        ("0-9:0", "expected the range 0-9:0 to count upwards"),
        ("ten", "expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4"),
        ("", "expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4"),
        ("-5", "expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4"),
        ("1,", "expected a number of tasks, as in 10 or 10%4, or indices, as in 0-9%4"),
        ("10%", "expected the number of tasks that may run at once after '%', as in 10%4"),
        ("10%0", "expected the number of tasks that may run at once after '%', as in 10%4"),
        ("10%4%2", "expected the number of tasks that may run at once after '%', as in 10%4"),
    ],
)
def test_arrays_refused(text: str, message: str) -> None:
    """An array that has no size says what was expected; a huge one costs no memory."""
    with pytest.raises(InvalidValue) as caught:
        array_size(text)
    assert str(caught.value) == message
