"""Row ``imports``: what it takes to import all that a worker with random search needs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.benchmarks import apart
from tests.benchmarks.report import Line, Target
from tests.benchmarks.sizes import Sizes

HEAVY = (
    "alembic",
    "click",
    "dask",
    "distributed",
    "jinja2",
    "joblib",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "pydantic",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "submitit",
)
"""What such a worker has no use for."""

_MODULES = (
    "orion_hpc.worker.job",
    "orion_hpc.algorithms.random",
    "orion_hpc.executors.single",
    "orion_hpc.journal.pickleddb",
)


def imports(folder: str, sizes: Sizes) -> list[Line]:
    """The time beyond that of Python's own start, and the libraries that a whole job loads."""
    runs = []
    for _ in range(sizes.starts + 1):
        bare = _start("pass")
        runs.append({"bare": bare, "with": _start(f"import {', '.join(_MODULES)}")})
    runs = runs[1:]  # the first one may have to read and compile everything
    extra = [run["with"] - run["bare"] for run in runs]
    loaded = apart.call("imports:libraries_of_a_job", folder=folder)
    heavy = sorted(set(loaded) & set(HEAVY))
    return [
        Line(
            row="imports",
            what="imports of a worker with random search",
            ours=1e3 * statistics.median(extra),
            unit="ms",
            target=Target("ours", 200, False, "ms"),
            peer=1e3 * statistics.median(run["bare"] for run in runs),
            peer_name="Python's own start",
            note=f"libraries that a whole job loads: {', '.join(loaded) or 'none'}",
            problems=[f"{name} is loaded" for name in heavy],
            runs=runs,
        )
    ]


def _start(code: str) -> float:
    """Return the seconds from starting Python to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=apart.ROOT)
    return time.perf_counter() - start


def libraries_of_a_job(folder: str) -> list[str]:
    """Run a whole small job here and return which installed libraries it brought in."""
    from orion_hpc.worker import job, job_spec
    from tests.benchmarks import experiment

    with tempfile.TemporaryDirectory(dir=folder) as new:
        experiment.write_function(new)
        path = os.path.join(new, "db.pkl")
        experiment.create(path, new, 2)
        options: dict[str, Any] = {"n_workers": 1, "heartbeat": 60.0, "idle_timeout": 60.0}
        found = job_spec.JobSpec(path, experiment.NAME, 1, executor="single", **options)
        summary = job.run_job(found)
    assert summary.completed == 2, summary
    # The benchmark's own modules import nothing but Python's and ours.
    loaded = {name.partition(".")[0] for name in sys.modules if name[0] != "_"}
    return sorted(
        loaded - sys.stdlib_module_names - _bare() - {"orion_hpc", "tests", experiment.MODULE}
    )


def _bare() -> set[str]:
    """Return what Python has loaded when it has started, and what its build is called."""
    code = "import sys, sysconfig; sysconfig.get_config_vars(); print(*sys.modules)"
    started = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return {name.partition(".")[0] for name in started.stdout.decode().split()}
