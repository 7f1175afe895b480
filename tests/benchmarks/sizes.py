"""How much each row measures: a full run, a quick look, and the least that shows that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of trials unless said otherwise; ``rounds`` is how often ours and peer alternate.

    ``busy_trials`` are those of each worker.
    """

    rounds: int
    trials: int
    optuna_trials: int
    floor_appends: int
    growth: tuple[int, ...]
    growth_transactions: int
    growth_block: int
    workers: tuple[int, ...]
    worker_trials: int
    worker_rounds: int
    mount_trials: int
    mount_optuna_trials: int
    mount_rounds: int
    opened: int
    opened_by_optuna: int
    starts: int
    busy_trials: int
    busy_seconds: float


FULL = Sizes(
    rounds=5,
    trials=8_000,
    optuna_trials=400,
    floor_appends=4_000,
    growth=(1_000, 10_000, 100_000),
    growth_transactions=2_000,
    growth_block=100,
    workers=(1, 4, 16, 64, 256),
    worker_trials=8_000,
    worker_rounds=3,
    mount_trials=2_000,
    mount_optuna_trials=200,
    mount_rounds=3,
    opened=100_000,
    opened_by_optuna=100_000,
    starts=15,
    busy_trials=20,
    busy_seconds=1.0,
)

QUICK = Sizes(
    rounds=2,
    trials=2_000,
    optuna_trials=100,
    floor_appends=1_000,
    growth=(1_000, 10_000, 100_000),
    growth_transactions=400,
    growth_block=50,
    workers=(1, 4, 16, 64, 256),
    worker_trials=3_000,
    worker_rounds=1,
    mount_trials=400,
    mount_optuna_trials=40,
    mount_rounds=1,
    opened=100_000,
    opened_by_optuna=10_000,
    starts=5,
    busy_trials=5,
    busy_seconds=1.0,
)

SMALLEST = Sizes(
    rounds=1,
    trials=8,
    optuna_trials=4,
    floor_appends=8,
    growth=(4, 8),
    growth_transactions=4,
    growth_block=2,
    workers=(1, 2),
    worker_trials=8,
    worker_rounds=1,
    mount_trials=8,
    mount_optuna_trials=8,
    mount_rounds=1,
    opened=20,
    opened_by_optuna=20,
    starts=1,
    busy_trials=2,
    busy_seconds=0.05,
)
