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
from irl_ros.nodes.policy import READY
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE, Progress
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
    policy = session.start("policy", run=str(run), world=world, enabled=True, max_age=LOCKSTEP_MAX_AGE)
    aim.publish(_point(targets[0]))
    session.until(lambda: figures.line == READY, LIMIT, "the policy was not ready")
    for target in targets:
        aim.publish(_point(target))
        _prepare(session)
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
        line: what it is doing; READY before a throw.
        throws: made so far.
        latency: `latency_ms_p50`, `latency_ms_p99`.
    """

    def __init__(self, session: Session) -> None:
        self.line, self.throws, self.latency = "", 0, {}
        session.node.create_subscription(DiagnosticArray, names.DIAGNOSTICS, self._on_report, 10)

    def _on_report(self, report: DiagnosticArray) -> None:
        for status in report.status:
            if status.name != "policy":
                continue
            values = {v.key: v.value for v in status.values}
            self.line, self.throws = status.message, int(values["throws"])
            self.latency = {k: float(v) for k, v in values.items() if k.startswith("latency_ms")}


def _prepare(session: Session) -> None:
    """A new ball, and a recorder that runs: it refuses while a topic is missing, as just after start."""

    def recording() -> bool:
        session.demand("sim_arm/reset")
        return session.ask("recorder/start_episode")[0]

    session.until(recording, LIMIT, "the recorder refused")


def _point(target: torch.Tensor) -> PointStamped:
    message = PointStamped()
    message.header.frame_id = names.WORLD_FRAME
    message.point.x, message.point.y, message.point.z = target.tolist()
    return message
