"""Copies of the source tree, environments to run in, and a conversation between two processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXCHANGE = Path(__file__).with_name("message_exchange.py")
LIMIT_S = 120.0

# Every kind of field, at values that a wrong size, sign or byte order would change.
MESSAGES = {
    "EpisodeEvent": {
        "episode": 2**32 - 1,
        "event": 3,
        "outcome": "success",
        "ended_by": "timeout",
        "operator_name": "Zoë",
        "notes": "",
    },
    "LearnerStatus": {"algo": "airl", "state": "learning", "env_steps": 2**63 + 1, "hit_rate": 0.5},
    "PolicyStep": {"step": 7, "phase": 0.125, "observation": [-1e300, 0.1], "action_safe": [], "held": True},
}


@pytest.fixture(scope="session")
def source_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace folder with src/irl_ros: what git would commit, without anything built here before."""
    workspace = tmp_path_factory.mktemp("workspace")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # a file deleted but not yet committed is listed as well
            target = workspace / "src" / "irl_ros" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return workspace


@pytest.fixture
def clean_environment(ros_domain: int, tmp_path: Path) -> dict[str, str]:
    """A login shell's environment: nothing sourced, no virtual environment, no bootstrapped ROS wheels."""
    return {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "ROS_DOMAIN_ID": str(ros_domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path / "ros_log"),
    }


@pytest.fixture
def exchange_messages(tmp_path: Path) -> Callable[[list[str], Mapping[str, str]], dict[str, Any]]:
    """Has two processes exchange MESSAGES, each started as `command message_exchange.py …` in `environment`.

    Returns the receiver's report, after checking that all came through Fast DDS as they were sent.
    """

    def exchange(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
        contents = json.dumps(MESSAGES)
        publisher = subprocess.Popen(
            [*command, str(EXCHANGE), "publish", contents],
            stdin=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
        )
        try:
            receiver = subprocess.run(
                [*command, str(EXCHANGE), "receive", contents],
                stdout=subprocess.PIPE,
                env=environment,
                cwd=tmp_path,
                timeout=LIMIT_S,
                check=True,
            )
        finally:
            publisher.communicate(timeout=LIMIT_S)
        assert publisher.returncode == 0
        report = json.loads(receiver.stdout)
        assert report["rmw"] == "rmw_fastrtps_cpp"
        assert report["messages"] == MESSAGES
        return report

    return exchange
