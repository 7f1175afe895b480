"""The executors that ship, with each of their backends."""

from __future__ import annotations

from typing import Any

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("single", {}),
    "loky": ("joblib", {}),
    "multiprocessing": ("joblib", {"backend": "multiprocessing"}),
    "threading": ("joblib", {"backend": "threading"}),
    "multiprocess": ("poolexecutor", {}),
    "thread": ("poolexecutor", {"backend": "thread"}),
    "pool_loky": ("poolexecutor", {"backend": "loky"}),
    "dask": ("dask", {}),
}
"""By a short name, the executor's name and options."""
