"""Tries the interleavings of a state machine of hypothesis, as all tests of that kind do it."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine


def explore(machine: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run so many examples of up to so many steps; raise what the first failing one raises."""
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    random.seed(0)
    machine.TestCase("runTest").runTest()
