"""Limits on CPUs and threads, as environment variables that libraries read. Pure.

Libraries read them when they are loaded, so the caller that starts a process must pass them.
"""

from __future__ import annotations

from collections.abc import Mapping

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""The variables that limit threads, as listed by joblib."""


def cpus_per_trial(cpus: int, n_workers: int) -> int:
    """Return how many CPUs each of ``n_workers`` simultaneous trials has, of ``cpus``."""
    return max(1, cpus // n_workers)


def environment(cpus: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that limit a process to ``cpus`` CPUs.

    A lower limit on threads in ``environ`` (``export OMP_NUM_THREADS=1`` in a job's script) is the
    user's choice and is kept.
    """
    limits = {"LOKY_MAX_CPU_COUNT": cpus, "PYTHON_CPU_COUNT": cpus}
    for variable in THREADS:
        given = environ.get(variable, "").partition(",")[0]  # OpenMP allows one for each level
        limits[variable] = min(cpus, int(given)) if given.isdecimal() and int(given) else cpus
    return {variable: str(limit) for variable, limit in limits.items()}
