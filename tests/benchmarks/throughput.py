"""Rows ``trials``, ``floor``, ``tmpfs`` and ``glusterfs``: how many trials a second."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks import apart, optuna_peer
from tests.benchmarks.report import Line, Target, compared
from tests.benchmarks.sizes import Sizes

OPTUNA = "Optuna's journal"
MISSING = "Optuna isn't installed"
PROCESSES = 4
MOUNT_PROCESSES = 8

_TMPFS = "/dev/shm"

Measure = Callable[[], dict[str, Any]]


def trials(folder: str, sizes: Sizes) -> list[Line]:
    """Trials that do nothing, against Optuna."""
    pairs = in_turn(sizes.rounds, *_ours_and_optuna(folder, sizes))
    what = f"no-op trials, {PROCESSES} processes"
    return [compared("trials", what, pairs, Target("ratio", 10, True), _optuna())]


def floor(folder: str, sizes: Sizes) -> list[Line]:
    """The same against one locked and synced append for each."""

    def peer() -> dict[str, Any]:
        with fresh(folder) as new:
            return apart.call(
                "floor_peer:run", folder=new, trials=sizes.floor_appends, processes=PROCESSES
            )

    ours, _ = _ours_and_optuna(folder, sizes)
    pairs = in_turn(sizes.rounds, ours, peer)
    what = f"no-op trials, {PROCESSES} processes"
    return [compared("floor", what, pairs, Target("ratio", 0.5, True), "lock, append 200 B, sync")]


def tmpfs(folder: str, sizes: Sizes) -> list[Line]:
    """The same where syncing costs nothing: what is left is the processors' time."""
    pairs = in_turn(sizes.rounds, *_ours_and_optuna(_TMPFS, sizes))
    what = f"no-op trials, {PROCESSES} processes, in memory"
    return [compared("tmpfs", what, pairs, None, _optuna())]


def glusterfs(mounts: Sequence[str], sizes: Sizes) -> list[Line]:
    """Two mounts of one volume, half of the processes on each."""

    def ours() -> dict[str, Any]:
        return _on_mounts("ours:run", mounts, sizes.mount_trials)

    def peer() -> dict[str, Any]:
        return _on_mounts("optuna_peer:run", mounts, sizes.mount_optuna_trials)

    pairs = in_turn(sizes.mount_rounds, ours, peer if optuna_peer.available() else None)
    what = f"no-op trials, {len(mounts)} mounts, {MOUNT_PROCESSES} processes"
    return [compared("glusterfs", what, pairs, Target("ratio", 5, True), _optuna())]


def _on_mounts(target: str, mounts: Sequence[str], trials: int) -> dict[str, Any]:
    with fresh(mounts[0]) as new:
        name = new.rpartition("/")[2]
        folders = [new, *(f"{mount}/{name}" for mount in mounts[1:])]
        return apart.call(target, folders=folders, trials=trials, processes=MOUNT_PROCESSES)


def _ours_and_optuna(folder: str, sizes: Sizes) -> tuple[Measure, Measure | None]:
    def ours() -> dict[str, Any]:
        with fresh(folder) as new:
            return apart.call("ours:run", folders=[new], trials=sizes.trials, processes=PROCESSES)

    def peer() -> dict[str, Any]:
        with fresh(folder) as new:
            return apart.call(
                "optuna_peer:run", folders=[new], trials=sizes.optuna_trials, processes=PROCESSES
            )

    return ours, peer if optuna_peer.available() else None


def in_turn(rounds: int, ours: Measure, peer: Measure | None) -> list[dict[str, Any]]:
    """Measure ours, peer, ours, peer, …: what else the machine does then hits both."""
    return [{"ours": ours(), "peer": peer() if peer else None} for _ in range(rounds)]


def fresh(folder: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder in ``folder``, for a ``with`` block."""
    return tempfile.TemporaryDirectory(prefix="orion-hpc-benchmark-", dir=folder)


def _optuna() -> str:
    return OPTUNA if optuna_peer.available() else MISSING
