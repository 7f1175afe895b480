"""How many CPUs and threads a process may use, in the words of the libraries that ask.

Only computes environment variables. They work where they are set before the libraries are loaded,
so whoever starts a process has to pass them.
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
"""The variables that limit threads; the list is joblib's."""


def cpus_per_trial(cpus: int, n_workers: int) -> int:
    """Return the share of one of ``n_workers`` trials that run at once on ``cpus`` CPUs."""
    return max(1, cpus // n_workers)


def environment(cpus: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that hold a process to ``cpus`` CPUs.

    A lower limit on threads that stands in ``environ`` (``export OMP_NUM_THREADS=1`` in a job's
    script) is somebody's wish and stays.
    """
    limits = {"LOKY_MAX_CPU_COUNT": cpus, "PYTHON_CPU_COUNT": cpus}
    for variable in THREADS:
        wish = environ.get(variable, "").partition(",")[0]  # OpenMP allows one for each level
        limits[variable] = min(cpus, int(wish)) if wish.isdecimal() and int(wish) else cpus
    return {variable: str(limit) for variable, limit in limits.items()}
