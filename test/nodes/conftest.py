"""Nodes as processes, over Fast DDS, in a domain of their own. Tests wait for events and never sleep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.rewards.features import Features
from irl_ros.rl.policy import Policy, PolicySettings
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import BatchWorld, load_world

SAMPLE = Path(__file__).parents[1] / "data" / "sample_throws"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session of this test module's own; whatever it starts is gone afterwards.

    Its nodes are forked; test_endings.py starts some as the programs they are, the verbs' tests all of them.
    """
    with Session("irl_ros_test", tmp_path_factory.mktemp("log"), forked=True) as session:
        yield session


@pytest.fixture(scope="session")
def sample() -> Path:
    """Three throws that our own recorder wrote."""
    return SAMPLE


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RUN with a small clone of the sample throws: not good, but it throws."""
    world, run = load_world(), tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)  # small networks; on a busy machine more are five times slower
    torch.manual_seed(0)
    policy = Policy(world, PolicySettings(hidden=(64, 64)))
    throws = load_demonstrations(SAMPLE, world).throws
    policy.observation.freeze(throws.states)
    task = ThrowTask(BatchWorld(world), policy.observation, Features(world))
    clone(policy, task.trajectories(throws), BCSettings(steps=400, batch=128))
    policy.save(run)
    return run


class Goals:
    """Sends goals to an action of a node, and keeps the feedback of the newest."""

    def __init__(self, session: Session, kind: Any, action: str) -> None:
        self.session, self.feedback = session, []
        self._kind, self._client = kind, ActionClient(session.node, kind, action)

    def send(self, **goal: Any) -> ClientGoalHandle:
        """A goal; its handle, accepted or not."""
        self.session.until(self._client.server_is_ready, LIMIT, "no action server")
        self.feedback = told = []
        answer = self._client.send_goal_async(
            self._kind.Goal(**goal), feedback_callback=lambda m: told.append(m.feedback)
        )
        self.session.until(answer.done, LIMIT, "the goal was not answered")
        return answer.result()

    def outcome(self, handle: ClientGoalHandle) -> tuple[int, Any]:
        """Status and result of a goal, when it has ended."""
        answer = handle.get_result_async()
        self.session.until(answer.done, LIMIT, "the goal does not end")
        return answer.result().status, answer.result().result

    def cancel(self, handle: ClientGoalHandle) -> tuple[int, Any]:
        """Status and result of a goal that is canceled now."""
        self.session.until(handle.cancel_goal_async().done, LIMIT, "cancel was not answered")
        return self.outcome(handle)

    def wait_for(self, condition: Callable[[Any], bool], what: str) -> Any:
        """The newest feedback that fulfils a condition, as soon as there is one."""
        self.session.until(lambda: any(map(condition, self.feedback)), LIMIT, what)
        return next(f for f in reversed(self.feedback) if condition(f))


@pytest.fixture(scope="module")
def goals_of(session: Session) -> Callable[[Any, str], Goals]:
    """goals_of(type, action): who sends goals to it."""
    return partial(Goals, session)


class Puppeteer:
    """Drives a sim_arm in lock-step: one command for each state, in the order given."""

    def __init__(self, session: Session) -> None:
        self.session, node = session, session.node
        self.joints: list[JointState] = []
        self.balls: list[Odometry] = []
        self._script: list[tuple[Sequence[float], float | None]] = []
        self.arm = node.create_publisher(Float64MultiArray, names.ARM_COMMANDS, names.COMMAND)
        self.gripper = node.create_publisher(Float64MultiArray, names.GRIPPER_COMMANDS, names.COMMAND)
        node.create_subscription(Odometry, names.BALL, self.balls.append, names.SENSOR_RECORDED)
        node.create_subscription(JointState, names.JOINT_STATES, self._on_joints, names.SENSOR_RECORDED)

    def wait_until_connected(self) -> None:
        both = (self.arm, self.gripper)
        self.session.until(
            lambda: bool(self.joints) and all(p.get_subscription_count() for p in both), LIMIT, "no sim_arm"
        )

    def play(
        self, script: Sequence[tuple[Sequence[float], float | None]]
    ) -> tuple[list[JointState], list[Odometry]]:
        """Reset, then answer each state with (arm velocities, gripper value or None); the states seen."""
        self.session.demand("sim_arm/reset")
        self.session.until(lambda: np.abs(self.joints[-1].velocity).max() == 0, LIMIT, "no reset")
        begun = self.stamp(self.joints[-1])
        # a topic's first message may be on its way longer than the arm's; the release must not be that one
        self.gripper.publish(Float64MultiArray(data=[0.0]))
        self._script = list(script)
        self._send()
        self.session.until(lambda: not self._script, LIMIT, "the script was not played")
        last = begun + len(script) * 20_000_000
        self.session.until(lambda: self.stamp(self.joints[-1]) >= last, LIMIT, "no last state")
        joints = [m for m in self.joints if begun <= self.stamp(m) <= last]
        return joints, [m for m in self.balls if begun <= self.stamp(m) <= last]

    @staticmethod
    def stamp(message: JointState | Odometry) -> int:
        """Header stamp, ns."""
        return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec

    def _on_joints(self, message: JointState) -> None:
        self.joints.append(message)
        self._send()

    def _send(self) -> None:
        if self._script:
            velocity, gripper = self._script.pop(0)
            if gripper is not None:
                self.gripper.publish(Float64MultiArray(data=[gripper]))
            self.arm.publish(Float64MultiArray(data=[float(v) for v in velocity]))


@pytest.fixture(scope="module")
def puppeteer(session: Session) -> Iterator[Puppeteer]:
    """A sim_arm (PyBullet, lock-step) and the strings to it."""
    puppeteer = Puppeteer(session)
    arm = session.start("sim_arm", simulated_time=False, real_time_factor=0.0)
    puppeteer.wait_until_connected()
    yield puppeteer
    session.stop(arm)


@pytest.fixture
def listen(session: Session) -> Callable[..., list]:
    """listen(type, topic, qos): a list that fills with the messages of a topic."""

    def begin(kind: type, topic: str, qos: object) -> list:
        heard: list = []
        session.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    return begin
