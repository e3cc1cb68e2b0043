"""Throws written without ROS are read like recorded ones, and come back as they were."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.throws_bag import write_throws
from irl_ros.errors import InputError
from irl_ros.sim import Throws, World


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_throws_come_back_as_written(tmp_path: Path, world: World, throws: Throws, storage: str) -> None:
    bags = write_throws(tmp_path / "demos", world, throws, storage=storage)
    assert [b.name for b in bags] == [f"episode_{i:04d}" for i in range(len(throws))]
    read = load_demonstrations(tmp_path / "demos", world)
    for name in (f.name for f in fields(throws.states)):
        ours, theirs = getattr(throws.states, name).double(), getattr(read.throws.states, name).double()
        assert torch.allclose(ours, theirs, atol=2e-5), name
    assert torch.allclose(throws.actions.float(), read.throws.actions, atol=1e-6)
    assert torch.allclose(throws.outcome.error.float(), read.throws.outcome.error, atol=1e-6)
    hit = throws.outcome.error <= 0.10
    assert read.labels == tuple("success" if h else "failure" for h in hit)
    assert not read.actions_inferred


def test_bags_are_never_overwritten(tmp_path: Path, world: World, throws: Throws) -> None:
    write_throws(tmp_path, world, throws[:1])
    with pytest.raises(InputError, match="exists already"):
        write_throws(tmp_path, world, throws[:1])
