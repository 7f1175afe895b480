"""Errors for libraries that only some algorithms need, and that are installed as extras."""

from __future__ import annotations

from orion_hpc.errors import ConfigurationError
from orion_hpc.plugins import install_command


def missing_library(name: str, error: ImportError, extra: str) -> ConfigurationError:
    """Return the error that says what to install for an algorithm.

    Parameters
    ----------
    name : str
        The algorithm.
    error : ImportError
        Why the library can't be imported.
    extra : str
        The extra of this package that it belongs to.
    """
    return ConfigurationError(
        f"algorithm {name} needs a library that can't be imported: {error}",
        install_command(extra),
    )
