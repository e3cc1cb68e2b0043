"""The same policy through each kind of controller, over ROS 2 topics, against PyBullet without ROS.

    python benchmarks/controllers.py RUN [--throws 20] [--delays 0,0.05,0.15] [--seed 0]

sim_arm and the policy node are processes of their own and go in lock-step, so the figures do not depend on
how fast or how loaded the machine is. For each controller and each opening delay of the gripper: hits within
10 and 5 cm of unseen targets, how far the landings are from those without ROS, and, as a yardstick, the hits
of the same throws without ROS. "not compensated" tells the policy node nothing of the delay.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry

from irl_ros.evaluation.evaluate import unseen
from irl_ros.nodes import interface as names
from irl_ros.nodes.deployment import BallAtRest
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.rl.policy import load_policy
from irl_ros.sim import BulletWorld, throw

CONTROLLERS = ("forward_velocity", "forward_position", "joint_trajectory")


@dataclass(frozen=True)
class Setup:
    """One row of the table."""

    controller: str
    delay: float
    compensated: bool = True

    @property
    def name(self) -> str:
        suffix = "" if self.compensated else ", not compensated"
        return f"{self.controller}, {1000 * self.delay:.0f} ms{suffix}"


def setups(delays: list[float]) -> Iterator[Setup]:
    for controller in CONTROLLERS:
        yield from (Setup(controller, delay) for delay in delays)
    if any(delays):
        yield Setup("forward_velocity", max(delays), compensated=False)


def directly(run: Path, targets: torch.Tensor) -> np.ndarray:
    """Landings in PyBullet without ROS, m, [N, 2]; NaN where the ball did not land."""
    policy = load_policy(run)
    landings = []
    with BulletWorld(policy.world) as world:
        for target in targets:
            thrown = throw(world, lambda s: policy.act(s.to(dtype=torch.float32)), target[None])
            landings.append(thrown.outcome.landing[0, :2].numpy())
    return np.array(landings)


def over_topics(run: Path, setup: Setup, targets: torch.Tensor, logs: Path) -> np.ndarray:
    """Landings over ROS topics, m, [N, 2]; NaN where a throw was not made or the ball did not land."""
    with Session("irl_ros_controllers", logs, forked=True) as session:
        aim = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        balls: list[Odometry] = []
        session.node.create_subscription(Odometry, names.BALL, balls.append, names.SENSOR_RECORDED)
        rest = BallAtRest(session)
        session.start("sim_arm", real_time_factor=0.0, controller=setup.controller, gripper_delay=setup.delay)
        session.start(
            "policy",
            run=str(run),
            enabled=True,
            max_age=LOCKSTEP_MAX_AGE,
            tracking=0.2,
            controller=setup.controller,
            gripper_delay=setup.delay if setup.compensated else 0.0,
        )
        landings = []
        for target in targets:
            message = PointStamped()
            message.header.frame_id = names.WORLD_FRAME
            message.point.x, message.point.y, message.point.z = target.tolist()
            aim.publish(message)
            landings.append(_one(session, balls, rest))
        return np.array(landings)


def _one(session: Session, balls: list[Odometry], rest: BallAtRest) -> tuple[float, float]:
    def thrown() -> bool:
        session.demand("sim_arm/reset")
        success, why = session.ask("policy/throw")
        if not success and not why.startswith(("waiting", "nobody")):
            raise RuntimeError(f"policy/throw: {why}")
        return success

    session.until(thrown, LIMIT, "no throw")
    rest.wait()
    p, v = balls[-1].pose.pose.position, balls[-1].twist.twist.linear
    return (p.x, p.y) if (v.x, v.y, v.z) == (0.0, 0.0, 0.0) else (np.nan, np.nan)


def row(name: str, landings: np.ndarray, targets: torch.Tensor, truth: np.ndarray) -> str:
    error = np.linalg.norm(landings - targets[:, :2].numpy(), axis=1)
    apart = 1000 * np.linalg.norm(landings - truth, axis=1)
    hits = [100 * np.mean(np.nan_to_num(error, nan=np.inf) <= r) for r in (0.10, 0.05)]
    apart = apart[np.isfinite(apart)]
    figures = f"{np.median(apart):10.1f}{apart.max():10.1f}" if len(apart) else f"{'':20}"
    return f"{name:46}{len(error):8}{hits[0]:9.1f}{hits[1]:9.1f}{figures}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="RUN folder of a learned policy")
    parser.add_argument("--throws", type=int, default=20)
    parser.add_argument("--delays", default="0,0.05,0.15", help="of the gripper, s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    targets = load_policy(options.run).world.sample_targets(options.throws, unseen(options.seed))
    truth = directly(options.run, targets)
    print(f"{'':46}{'':8}{'% within':>18}{'mm from without ROS':>20}")
    print(f"{'controller, opening delay':46}{'throws':>8}{'10 cm':>9}{'5 cm':>9}{'median':>10}{'most':>10}")
    print(row("without ROS", truth, targets, truth), flush=True)
    with tempfile.TemporaryDirectory() as logs:
        for i, setup in enumerate(setups([float(d) for d in options.delays.split(",")])):
            landings = over_topics(options.run, setup, targets, Path(logs) / str(i))
            print(row(setup.name, landings, targets, truth), flush=True)


if __name__ == "__main__":
    main()
