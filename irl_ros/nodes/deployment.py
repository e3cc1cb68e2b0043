"""Deploying a policy over ROS topics and counting what it hits: the last act of `demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry

from irl_ros.evaluation.evaluate import unseen
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import Progress
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.sim import load_world


def deploy(session: Session, run: Path, out: Path, throws: int, world: str, seed: int) -> dict[str, Any]:
    """Throw with the policy node at unseen targets; every throw is recorded like a demonstration.

    Args:
        session: where arm, recorder and policy run.
        run: RUN folder of the policy.
        out: folder for the bags.
        throws: how many.
        world: of the arm, name or YAML.
        seed: of the targets.

    Returns:
        `throws`, `hit_10cm` (share), `latency_ms_p50`, `latency_ms_p99` (joint_states sent → command sent).
    """
    targets = load_world(world).sample_targets(throws, unseen(seed))
    progress, figures, ball = Progress(session, throws), PolicyFigures(session), BallAtRest(session)
    aim = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    arm = session.start("sim_arm", world=world, real_time_factor=0.0)
    recorder = session.start("recorder", world=world, out=str(out), operator_name="policy")
    policy = session.start("policy", run=str(run), world=world, enabled=True, max_age=0.5)
    for target in targets:
        aim.publish(_point(target))
        session.demand("sim_arm/reset")
        _patiently(session, "recorder/start_episode")
        session.demand("policy/throw")
        ball.wait()
        session.demand("recorder/stop_episode")
    session.until(lambda: figures.throws == throws, LIMIT, "the policy did not report its throws")
    session.until(lambda: progress.done == throws, LIMIT, "the recorder did not report every throw")
    progress.close()
    session.stop(policy, recorder, arm)
    return {"throws": throws, "hit_10cm": progress.hits / throws, **figures.latency}


class BallAtRest:
    """Waits for the ball: a throw is over when it is down, which may be after the policy's last step."""

    patience = 3.0  # s (wall); nothing flies longer

    def __init__(self, session: Session) -> None:
        self._session, self._moving = session, True
        session.node.create_subscription(Odometry, names.BALL, self._on_ball, names.SENSOR)

    def wait(self) -> None:
        """Until it rests, on the ground or in the hand of an arm at rest, or patience ends."""
        end = time.monotonic() + self.patience
        self._session.until(lambda: not self._moving or time.monotonic() > end, LIMIT, "no ball")

    def _on_ball(self, message: Odometry) -> None:
        v = message.twist.twist.linear
        self._moving = max(abs(v.x), abs(v.y), abs(v.z)) > 1e-3


class PolicyFigures:
    """What the policy node says of itself on /diagnostics.

    Attributes:
        throws: made so far.
        latency: `latency_ms_p50`, `latency_ms_p99`.
    """

    def __init__(self, session: Session) -> None:
        self.throws, self.latency = 0, {}
        session.node.create_subscription(DiagnosticArray, names.DIAGNOSTICS, self._on_report, 10)

    def _on_report(self, report: DiagnosticArray) -> None:
        for status in report.status:
            values = {v.key: v.value for v in status.values}
            if "latency_ms_p50" in values:
                self.throws = int(values["throws"])
                self.latency = {k: float(v) for k, v in values.items() if k.startswith("latency_ms")}


def _patiently(session: Session, service: str) -> None:
    """The recorder refuses while a topic is missing; just after start that is only a matter of time."""
    answers: list[tuple[bool, str]] = []

    def accepted() -> bool:
        answers.append(session.ask(service))
        return answers[-1][0]

    session.until(accepted, LIMIT, f"{service} was refused")


def _point(target: torch.Tensor) -> PointStamped:
    message = PointStamped()
    message.header.frame_id = names.WORLD_FRAME
    message.point.x, message.point.y, message.point.z = target.tolist()
    return message
