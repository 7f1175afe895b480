"""Makes data frames and Parquet files; the only file that imports pandas and pyarrow.

Both are optional dependencies, and are imported when a function needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.trial_table import TIMES, Missing, as_text, moment
from orion_hpc.plugins import install_command

if TYPE_CHECKING:
    import pandas

    DataFrame: TypeAlias = pandas.DataFrame

_MOST_BITS = 63
_MOST_BITS_OF_FLOAT = 1023


def data_frame(columns: Mapping[str, Sequence[Any]]) -> pandas.DataFrame:
    """Return a data frame of the columns; the type of each suits all of its values.

    Raises
    ------
    ConfigurationError
        pandas isn't installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise _lacking("pandas", error) from None
    index = pandas.RangeIndex(len(next(iter(columns.values()), ())))
    return pandas.DataFrame(
        {name: _series(pandas, values, index) for name, values in columns.items()}, index=index
    )


def write_parquet(columns: Mapping[str, Sequence[Any]], file: BinaryIO) -> None:
    """Write the columns to ``file`` as Parquet, times in UTC.

    A column of mixed types that Parquet can't store, such as numbers and texts, is written as
    texts.

    Raises
    ------
    ConfigurationError
        pandas or pyarrow isn't installed.
    """
    check_parquet()
    import pyarrow

    def storable(name: str, values: Sequence[Any]) -> Sequence[Any]:
        if name in TIMES:
            return [one if one is Missing else moment(one) for one in values]
        try:
            pyarrow.array([None if one is Missing else one for one in values])
        except (pyarrow.ArrowException, OverflowError):
            return [one if one is Missing or one is None else as_text(one) for one in values]
        return values

    frame = data_frame({name: storable(name, values) for name, values in columns.items()})
    frame.to_parquet(file, engine="pyarrow", index=False)


def check_parquet() -> None:
    """Raise ConfigurationError if pandas or pyarrow isn't installed."""
    for library in ("pandas", "pyarrow"):
        try:
            __import__(library)
        except ImportError as error:
            raise _lacking(library, error) from None


def _series(pandas: Any, values: Sequence[Any], index: Any) -> Any:
    present = [one for one in values if one is not Missing and one is not None]
    kinds = {type(one) for one in present}
    plain = [None if one is Missing else one for one in values]
    if kinds == {datetime}:
        zone = ", UTC" if present[0].tzinfo else ""
        return pandas.Series(plain, index=index, dtype=f"datetime64[us{zone}]")
    if kinds == {int} and all(one.bit_length() <= _MOST_BITS for one in present):
        # numpy's integers have no missing value: pandas would convert the column to floats.
        return pandas.Series(plain, index=index, dtype="int64" if None not in plain else "Int64")
    if float in kinds and kinds <= {int, float} and all(map(_fits_float, present)):
        return pandas.Series(plain, index=index, dtype="float64")
    if kinds == {bool}:
        return pandas.Series(plain, index=index, dtype="bool" if None not in plain else "boolean")
    return pandas.Series(plain, index=index, dtype="object")


def _fits_float(number: int | float) -> bool:
    return isinstance(number, float) or number.bit_length() <= _MOST_BITS_OF_FLOAT


def _lacking(library: str, error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f"this needs {library}, which can't be imported: {error}",
        f"Install it with: {install_command('pandas')}",
    )
