"""What the environment tells the tests themselves.

Taken out of it here: the program under test takes each variable with its prefix for a setting.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

REQUIRED = {
    part
    for part in ("SLURM", "NFS", "SHAREDFS", "BROWSER")
    if os.environ.pop(f"ORION_HPC_REQUIRE_{part}", "") == "1"
}
"""What may not be skipped for want of programs: a full check has them all."""

NFS_SECONDS = float(os.environ.pop("ORION_HPC_NFS_SECONDS", "0"))
"""How long each storm on NFS lasts at least; by default until it is seen that all go on."""

STATEFUL_EXAMPLES = int(os.environ.pop("ORION_HPC_STATEFUL_EXAMPLES", "0"))
"""How many interleavings are tried; by default what each test says."""

_FILES = os.environ.pop("ORION_HPC_FUZZ_FILES", "")
FUZZ_FILES = int(_FILES or "100000")
"""How many mutated files there are."""

FUZZ_STEP = 1 if _FILES else 7
"""Of them, by default every seventh is read: each kind of file is among them."""

ALL_FAULTS = os.environ.pop("ORION_HPC_ALL_FAULTS", "") == "1"
"""Whether each system call fails with each error, not with two of them in turn."""

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch isn't installed: pip install '.[gp]'"
)
"""For tests of the algorithm ``gp``: PyTorch is large, and the extra ``test`` leaves it out."""
