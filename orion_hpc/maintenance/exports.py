"""Writes the trials of a database into a file that other programs read."""

from __future__ import annotations

import os

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments import frames
from orion_hpc.experiments.lookup import read_experiments
from orion_hpc.experiments.output_file import check_output, write_output
from orion_hpc.experiments.trial_table import as_csv, as_json, record, table


def format_of(output: str | None) -> str:
    """Return the format that the name of the output file says; without a file ``csv``.

    Raises
    ------
    ConfigurationError
        The name says none.
    """
    if output is None:
        return "csv"
    ending = os.path.splitext(output)[1].lower().removeprefix(".")
    if ending not in ("csv", "json", "parquet"):
        raise ConfigurationError(
            f"the name {output} doesn't say a format",
            "Give --format csv, json or parquet, or an output such as trials.csv.",
        )
    return ending


def export(
    storage: str,
    format_: str,
    output: str | None,
    name: str | None = None,
    version: int | None = None,
    force: bool = False,
) -> tuple[bytes, int]:
    """Write all trials of the chosen experiments; return the content for standard output, and the
    number of trials.

    Parameters
    ----------
    storage : str
    format_ : {"csv", "json", "parquet"}
    output : str, optional
        The file, which is written atomically. Without one, the content is returned.
    name, version : optional
        Only this experiment, only this version.
    force : bool, default False
        Whether to replace an existing file.

    Raises
    ------
    ConfigurationError, NoConfigurationError, StorageError
        Nothing was written.
    """
    if format_ == "parquet":
        if output is None:
            raise ConfigurationError(
                "Parquet isn't for a terminal", "Name a file with --output, as in trials.parquet."
            )
        frames.check_parquet()
    if output is not None:
        _check_free(output, force)
    records = [
        record(experiment, trial)
        for experiment in read_experiments(storage, name, version)
        for trial in experiment.trials
    ]
    content = b""
    if format_ != "parquet":
        content = (as_json(records) if format_ == "json" else as_csv(records)).encode()
    if output is None:
        return content, len(records)
    try:
        if format_ == "parquet":
            columns = table(records)
            write_output(output, lambda file: frames.write_parquet(columns, file), force)
        else:
            write_output(output, lambda file: file.write(content), force)
    except FileExistsError:
        raise _taken(output) from None
    return b"", len(records)


def _check_free(output: str, force: bool) -> None:
    check_output(output)
    if os.path.exists(output) and not force:
        raise _taken(output)


def _taken(output: str) -> ConfigurationError:
    return ConfigurationError(
        f"{output} exists", "Name another file with --output, or replace it with --force."
    )
