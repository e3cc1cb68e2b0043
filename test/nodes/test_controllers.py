"""Throws over DDS through each kind of controller, and what is left of them when the policy is gone."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Point, PointStamped
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from irl_ros.action import Throw
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE
from irl_ros.nodes.session import LIMIT, Child, Session
from irl_ros.nodes.throw_plan import plan_throw
from irl_ros.rl.policy import load_policy
from irl_ros.safety import JointReading, SafetySettings
from irl_ros.sim import BulletWorld, load_world, throw
from irl_ros.sim.reference import Flight

WORLD = load_world()
TARGET = (0.9, 0.1, 0.0)
DELAY = 0.05  # s; no multiple of the control period


class Arm:
    """sim_arm and policy behind one kind of controller, in lock-step, and what was heard of them."""

    def __init__(self, session: Session, run: Path, controller: str) -> None:
        self.session, node = session, session.node
        self.joints: list[JointState] = []
        self.balls: list[Odometry] = []
        self._aim = node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        self.aim(TARGET)
        node.create_subscription(JointState, names.JOINT_STATES, self.joints.append, names.SENSOR_RECORDED)
        node.create_subscription(Odometry, names.BALL, self.balls.append, names.SENSOR_RECORDED)
        shared = {"controller": controller, "gripper_delay": DELAY}
        self.sim: Child = session.start("sim_arm", real_time_factor=0.0, **shared)
        self.policy = session.start(
            "policy", run=str(run), enabled=True, max_age=LOCKSTEP_MAX_AGE, tracking=0.2, **shared
        )

    def aim(self, target: tuple[float, float, float]) -> None:
        message = PointStamped()
        message.point.x, message.point.y, message.point.z = target
        self._aim.publish(message)

    def prepare(self) -> None:
        """Arm at home with a new ball, and a policy that knows it."""
        count = len(self.joints)
        self.session.demand("sim_arm/reset")
        self.session.until(lambda: len(self.joints) > count, LIMIT, "no state after the reset")

    def throw(self) -> str:
        answers: list[tuple[bool, str]] = []

        def accepted() -> bool:
            self.prepare()
            answers.append(self.session.ask("policy/throw"))
            return not answers[-1][1].startswith(("waiting", "nobody"))

        self.session.until(accepted, LIMIT, "the policy kept waiting")
        assert answers[-1][0], answers[-1][1]
        return answers[-1][1]

    def wait_for_rest(self) -> None:
        def still() -> bool:
            seen = self.joints[-5:]
            return len(seen) == 5 and max(np.abs(m.velocity).max() for m in seen) < 1e-6

        self.session.until(still, LIMIT, "the arm still moves")

    def landing(self) -> np.ndarray:
        """Where the ball rests, m, [2]."""

        def down() -> bool:
            v = self.balls[-1].twist.twist.linear
            return (v.x, v.y, v.z) == (0.0, 0.0, 0.0)

        self.session.until(down, LIMIT, "the ball did not land")
        p = self.balls[-1].pose.pose.position
        return np.array([p.x, p.y])


def directly(run: Path) -> np.ndarray:
    policy = load_policy(run)
    with BulletWorld(WORLD) as world:
        thrown = throw(world, lambda s: policy.act(s.to(dtype=torch.float32)), torch.tensor([TARGET]))
    assert bool(thrown.outcome.released), "the bundle is meant to throw"
    return thrown.outcome.landing[0, :2].numpy()


def as_planned(run: Path) -> np.ndarray:
    """Where the throw in mind comes down: the plan's release, and the rule of flight."""
    rest = JointReading(WORLD.robot.joints, WORLD.home, np.zeros(WORLD.robot.n), 0.0)
    plan = plan_throw(load_policy(run).act, WORLD, SafetySettings(), rest, TARGET)
    motion = (torch.as_tensor(x)[None] for x in plan.at(plan.release))
    ball = WORLD.robot.kinematics(dtype=torch.float64).tool_motion(*motion)
    return Flight(WORLD).predicted_landing(*ball, torch.zeros(1))[0].numpy()


def assert_inside_limits(joints: list[JointState]) -> None:
    qd = np.array([m.velocity for m in joints])
    assert np.all(np.abs(qd) <= WORLD.velocity * 1.001)
    reset = np.all(qd[1:] == 0.0, axis=1)  # the arm is put, not moved
    changes = np.abs(np.diff(qd, axis=0))[~reset]
    assert np.all(changes <= WORLD.acceleration * WORLD.dt * 1.001)


def test_a_throw_streamed_as_positions_lands_near(session, bundle):
    arm = Arm(session, bundle, "forward_position")
    commands: list[Float64MultiArray] = []
    session.node.create_subscription(
        Float64MultiArray, names.ARM_COMMANDS, commands.append, names.COMMAND_RECORDED
    )
    assert arm.throw().startswith("released at step")
    assert np.abs(arm.landing() - directly(bundle)).max() < 0.1
    sent = np.array([m.data for m in commands])
    assert np.all(sent >= WORLD.robot.lower) and np.all(sent <= WORLD.robot.upper)
    assert_inside_limits(arm.joints)
    session.stop(arm.policy, arm.sim)


@pytest.fixture(scope="module")
def planned(session: Session, bundle: Path) -> Iterator[Arm]:
    arm = Arm(session, bundle, "joint_trajectory")
    yield arm
    session.stop(arm.policy, arm.sim)


def test_a_throw_as_one_trajectory_lands_where_it_was_planned_to(planned, bundle, listen):
    trajectories = listen(JointTrajectory, names.ARM_TRAJECTORY, names.COMMAND_RECORDED)
    assert planned.throw().startswith("released at step")
    assert np.abs(planned.landing() - as_planned(bundle)).max() < 0.02
    assert len(trajectories) == 1 and not any(trajectories[0].points[-1].velocities)
    assert_inside_limits(planned.joints)
    assert planned.joints[-1].position == pytest.approx(trajectories[0].points[-1].positions, abs=1e-3)


class Goal:
    """A goal of the action policy/throw and what comes back."""

    def __init__(self, session: Session, target: tuple[float, float, float]) -> None:
        self.session, self.feedback = session, []
        self.client = ActionClient(session.node, Throw, "policy/throw")
        session.until(self.client.server_is_ready, LIMIT, "no action policy/throw")
        goal = Throw.Goal(target=[Point(x=target[0], y=target[1], z=target[2])])
        sent = self.client.send_goal_async(goal, lambda m: self.feedback.append(m.feedback))
        session.until(sent.done, LIMIT, "the goal was not answered")
        self.handle = sent.result()
        self.accepted = self.handle.accepted
        self.done = self.handle.get_result_async() if self.accepted else None

    def result(self) -> tuple[int, Throw.Result]:
        self.session.until(self.done.done, LIMIT, "no result")
        return self.done.result().status, self.done.result().result


def test_the_action_gives_feedback_and_says_where_the_ball_came_down(planned):
    planned.prepare()
    goal = Goal(planned.session, (0.8, -0.1, 0.0))
    status, result = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED and not result.stop_reason
    assert result.released and result.landed
    p = planned.landing()
    assert (result.landing.x, result.landing.y) == pytest.approx(p, abs=5e-3)
    assert result.error == pytest.approx(np.hypot(*(p - (0.8, -0.1))), abs=5e-3)
    assert [f.step for f in goal.feedback] == sorted({f.step for f in goal.feedback})
    assert len(goal.feedback) > WORLD.horizon // 2 and goal.feedback[-1].released


def test_cancelling_in_mid_throw_replaces_the_motion_by_the_way_to_rest(planned, listen):
    trajectories = listen(JointTrajectory, names.ARM_TRAJECTORY, names.COMMAND_RECORDED)
    planned.prepare()
    goal = Goal(planned.session, TARGET)
    planned.session.until(lambda: len(goal.feedback) > 15, LIMIT, "the throw does not begin")
    goal.handle.cancel_goal_async()
    status, result = goal.result()
    assert (status, result.stop_reason) == (GoalStatus.STATUS_CANCELED, "canceled")
    planned.session.until(lambda: len(trajectories) == 2, LIMIT, "the motion was not replaced")
    assert len(trajectories[1].points) < len(trajectories[0].points)
    planned.wait_for_rest()
    assert_inside_limits(planned.joints)


def test_a_second_goal_replaces_the_first(planned):
    planned.prepare()
    first = Goal(planned.session, TARGET)
    planned.session.until(lambda: len(first.feedback) > 10, LIMIT, "the throw does not begin")
    second = Goal(planned.session, (0.8, 0.0, 0.0))
    assert second.accepted
    assert first.result()[1].stop_reason == "replaced by another goal"
    assert second.result()[0] in (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_ABORTED)
    planned.wait_for_rest()


def test_the_arm_ends_its_motion_at_rest_when_the_policy_is_killed_in_mid_throw(planned, listen):
    trajectories = listen(JointTrajectory, names.ARM_TRAJECTORY, names.COMMAND_RECORDED)
    planned.prepare()
    goal = Goal(planned.session, TARGET)
    planned.session.until(lambda: len(goal.feedback) > 15, LIMIT, "the throw does not begin")
    planned.policy.wanted = False
    os.kill(planned.policy.process.pid, signal.SIGKILL)
    planned.wait_for_rest()
    assert len(trajectories) == 1
    assert planned.joints[-1].position == pytest.approx(trajectories[0].points[-1].positions, abs=1e-3)


@pytest.mark.skipif(
    importlib.util.find_spec("control_msgs") is not None, reason="control_msgs is installed here"
)
@pytest.mark.parametrize(
    "parameter", [{"controller": "follow_joint_trajectory"}, {"gripper": "gripper_command"}], ids=str
)
def test_what_needs_control_msgs_says_so(session: Session, bundle: Path, parameter: dict[str, str]):
    child = session.start("policy", run=str(bundle), **parameter)
    child.wanted = False
    assert child.process.wait(LIMIT) == 2
    assert "needs control_msgs, which is not here" in child.log.read_text()
