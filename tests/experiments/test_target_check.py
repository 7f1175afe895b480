"""Where trials may have their directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.resolve import Layer, resolve
from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.target_check import check_target


def spec_with(working_dir: Path) -> ExperimentSpec:
    values = {
        "name": "quick", "space": {"x": "uniform(0, 1)"}, "command": ["sh", "-c", "echo 1"],
        "working_dir": str(working_dir),
    }  # fmt: skip
    return ExperimentSpec.of(resolve([Layer("test", values, working_dir.parent, home=True)]))


def test_a_new_folder_below_a_writable_one_will_do(tmp_path: Path) -> None:
    check_target(spec_with(tmp_path / "a" / "b"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every trial would break. Permission is no obstacle to root, who runs the tests."""
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/link isn't a directory"):
        check_target(spec_with(tmp_path / "link" / "x"))
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    with pytest.raises(ConfigurationError, match="it doesn't exist, and you may not write to "):
        check_target(spec_with(tmp_path / "a"))
    with pytest.raises(ConfigurationError, match=f"'; you may not write to {tmp_path}"):
        check_target(spec_with(tmp_path))
