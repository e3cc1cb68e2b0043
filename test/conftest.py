"""What every test may rely on: no ROS traffic leaves the machine, and no two tests hear each other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from domain_coordinator import domain_id

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# The coordinator reserves a number on this machine; going round keeps a straggler out of the next test.
next_domain = partial(next, itertools.cycle(range(1, 101)))


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS_DOMAIN_ID of this test's own, set for this process and those it starts. Logs go to tmp_path."""
    with domain_id(next_domain) as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield number
