"""Libraries that only some algorithms need, and which needn't be installed."""

from __future__ import annotations

from orion_hpc.errors import ConfigurationError


def missing_library(name: str, error: ImportError, extra: str) -> ConfigurationError:
    """Return the error that says what to install for the algorithm ``name``.

    Parameters
    ----------
    name : str
    error : ImportError
        Why the library can't be imported.
    extra : str
        What brings it: ``pip install 'orion-hpc[extra]'``.
    """
    return ConfigurationError(
        f"algorithm {name} needs a library that can't be imported: {error}",
        f"pip install 'orion-hpc[{extra}]'",
    )
