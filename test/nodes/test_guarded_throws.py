"""What goes wrong during a throw. The policy node is in this process, and the test is its arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Task
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from irl_ros.action import Throw
from irl_ros.nodes import interface as names
from irl_ros.nodes.policy import PolicyNode
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.nodes.trajectory_message import from_message
from irl_ros.safety import StopReason
from irl_ros.sim import load_world

WORLD = load_world()
REST = np.zeros(WORLD.robot.n)
START = 1000  # s, the first stamp
SILENCE = 0.3  # s


class Cell:
    """A policy node that may throw, an arm at home and a target, and what is heard of the node."""

    def __init__(self, session: Session, listen: Callable[..., list], node: PolicyNode) -> None:
        self.session, self.node, self.time = session, node, 0.0
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.arm = listen(Float64MultiArray, names.ARM_COMMANDS, names.COMMAND_RECORDED)
        self.hand = listen(Float64MultiArray, names.GRIPPER_COMMANDS, names.COMMAND_RECORDED)
        self.motions = listen(JointTrajectory, names.ARM_TRAJECTORY, names.COMMAND_RECORDED)
        publisher = session.node.create_publisher
        self._joints = publisher(JointState, names.JOINT_STATES, names.COMMAND)
        self._ball = publisher(Odometry, names.BALL, names.COMMAND)
        self._target = publisher(PointStamped, names.TARGET, names.LATCHED)
        self.until(lambda: self._joints.get_subscription_count() > 0, "no policy")
        self.aim()
        self.feed(0.0)
        self.until(lambda: not node.refusal(), "the node is not ready")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def met() -> bool:
            with suppress(InvalidHandle):  # as `run` does
                self.executor.spin_once(timeout_sec=0.0)
            return condition()

        self.session.until(met, LIMIT, what)

    def aim(self, frame: str = names.WORLD_FRAME, x: float = 0.9) -> None:
        message = PointStamped()
        message.header.frame_id, message.point.x = frame, x
        self._target.publish(message)

    def feed(self, time: float, q: np.ndarray = WORLD.home, qd: np.ndarray = REST) -> None:
        """A joint state at `time`, s after the first; until the node has it."""
        message = JointState(name=WORLD.robot.joints, position=q.tolist(), velocity=qd.tolist())
        seconds, nanoseconds = divmod(round(time * 1e9), 1_000_000_000)
        message.header.stamp.sec, message.header.stamp.nanosec = START + seconds, nanoseconds
        self._joints.publish(message)
        self.until(lambda: self.node.link.time == pytest.approx(time, abs=1e-6), "the state was not heard")
        self.time = time

    def throw(self) -> Task:
        """Begins; done with the throw."""
        task = self.executor.create_task(self.node.throw)
        self.until(lambda: self.node.throwing is not None or task.done(), "no throw")
        return task

    def offer(self, x: float, y: float) -> bool:
        """A goal of the action; whether it is accepted."""
        client = ActionClient(self.session.node, Throw, "policy/throw")
        self.until(client.server_is_ready, "no action")
        answer = client.send_goal_async(Throw.Goal(target=[Point(x=x, y=y)]))
        self.until(answer.done, "the goal was not answered")
        return answer.result().accepted

    def begins(self, motion: JointTrajectory) -> float:
        """When a motion starts, s."""
        return (motion.header.stamp.sec - START) + motion.header.stamp.nanosec * 1e-9

    def follow(self, plan, until: float) -> None:
        """The arm goes along with the plan it was sent, up to `until` s of it."""
        begins = self.begins(self.motions[0])
        while self.time + WORLD.dt < begins + until + 1e-6:
            time = self.time + WORLD.dt
            self.feed(time, *plan.at(time - begins))


@pytest.fixture
def cell(session: Session, listen: Callable[..., list], bundle: Path) -> Iterator[Callable[..., Cell]]:
    """cell(**parameters): a cell whose policy node has these."""

    @contextmanager
    def made(**parameters: object) -> Iterator[Cell]:
        node = PolicyNode()
        given = {"run": str(bundle), "enabled": True, "tracking": 3.0, "max_age": 5.0, **parameters}
        node.set_parameters([Parameter(key, value=value) for key, value in given.items()])
        try:
            node.come_up()
            yield Cell(session, listen, node)
        finally:
            node.close()
            node.destroy_node()

    yield made


def test_an_arm_in_motion_comes_to_rest_even_where_a_callback_breaks_off(cell, monkeypatch):
    with cell() as c:
        c.throw()
        for k in range(1, 20):
            c.feed(k * WORLD.dt)

        def broken(*_: object) -> None:
            raise ValueError("a defect")

        monkeypatch.setattr(c.node.link.live, "at", broken)
        with pytest.raises(ValueError, match="a defect"):
            c.feed(20 * WORLD.dt)
        assert not c.node.link.filter.at_rest, "it moved when the callback broke off"
        c.node.close()  # as `run` does
        assert c.node.link.filter.at_rest
        resting = lambda: bool(c.arm) and not any(c.arm[-1].data)  # noqa: E731
        c.session.until(resting, LIMIT, "the last command moves the arm")
        sent = np.array([m.data for m in c.arm])
        assert np.abs(sent).max() > 0.1
        assert np.all(np.abs(np.diff(sent, axis=0)) <= WORLD.acceleration * WORLD.dt * 1.001)


def test_where_states_fall_silent_a_planned_motion_is_replaced_from_a_control_step_to_come(cell):
    with cell(controller="joint_trajectory", max_age=SILENCE) as c:
        task = c.throw()
        c.until(lambda: len(c.motions) == 1, "no motion was sent")
        plan = c.node.throwing.plan
        c.follow(plan, 0.4)
        assert len(c.motions) == 1, c.node.throwing.fault
        c.until(lambda: len(c.motions) == 2, "the motion was not replaced")
        begins = c.begins(c.motions[0])
        stop = from_message(c.motions[1], 0, 0.0)
        since = c.begins(c.motions[1]) - begins
        assert since > c.time - begins + SILENCE, "a controller would leap onto what began in the past"
        q, qd = plan.at(since)
        assert stop.points[0].positions == pytest.approx(q, abs=1e-6)
        assert stop.points[0].velocities == pytest.approx(qd, abs=1e-6)
        assert np.abs(qd).max() > 0.2, "it moves"
        speeds = np.array([p.velocities for p in stop.points])
        assert not speeds[-1].any()
        assert np.all(np.abs(np.diff(speeds, axis=0)) <= WORLD.acceleration * WORLD.dt * 1.001)
        c.until(task.done, "the throw does not end")
        assert task.result().fault == StopReason.STALE.value


def test_an_emergency_stop_while_it_thinks_sends_nothing(cell):
    with cell(controller="joint_trajectory") as c:
        c.node.link.filter.estop()
        task = c.throw()
        c.until(task.done, "the throw does not end")
        assert task.result().fault == StopReason.ESTOP.value
        assert c.node.link.filter.reset()
        c.feed(0.1)
        c.throw()  # what comes first now would come second if that had sent anything
        c.until(lambda: len(c.motions) == 1, "no motion was sent")
        assert c.begins(c.motions[0]) > 0.1


def test_after_an_emergency_stop_between_two_states_the_hand_stays_closed(cell):
    with cell(controller="joint_trajectory") as c:
        task = c.throw()
        c.until(lambda: len(c.motions) == 1, "no motion was sent")
        plan = c.node.throwing.plan
        assert plan.release is not None, "the bundle is meant to throw"
        c.follow(plan, plan.release - 0.5 * WORLD.dt)
        c.node.link.filter.estop()
        c.follow(plan, plan.release + 1.5 * WORLD.dt)
        c.until(lambda: len(c.motions) == 2, "the motion was not replaced")
        c.follow(plan, plan.end)
        c.until(task.done, "the throw does not end")
        thrown = task.result()
        assert (thrown.fault, thrown.released_at) == (StopReason.ESTOP.value, None)
        assert c.hand and not any(m.data[0] for m in c.hand)


def test_a_deactivated_node_has_no_measurement_under_way(cell):
    with cell() as c:
        ball = Odometry()
        ball.header.stamp.sec = START
        c._ball.publish(ball)
        ask = c.session.node.create_client(Trigger, "policy/measure_gripper")
        c.until(ask.service_is_ready, "no service")
        c.until(lambda: c._ball.get_subscription_count() > 0, "nobody looks at the ball")
        c.feed(0.02)
        ask.call_async(Trigger.Request())
        c.until(lambda: "under way" in c.node.refusal(), "no measurement")
        assert c.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert c.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        c.until(lambda: c._joints.get_subscription_count() > 0, "no policy")
        c.feed(0.0)
        c.until(lambda: not c.node.refusal(), c.node.refusal())


def test_a_refused_goal_aims_at_nothing(cell):
    with cell() as c:

        def aimed() -> list[float]:
            return c.node.link.live.at(0.0)[0].target[0].tolist()

        before = aimed()
        assert not c.offer(0.6, float("inf")) and aimed() == before
        c.node.link.filter.estop()
        assert not c.offer(0.6, 0.0) and aimed() == before


@pytest.mark.parametrize(
    ("frame", "x", "told"),
    [
        ("camera", 0.5, "target in frame 'camera' ignored: give it in 'world'"),
        (names.WORLD_FRAME, float("nan"), "target ignored: it is not finite"),
    ],
)
def test_what_is_no_target_in_the_world_is_ignored_and_told(cell, capfd, frame, x, told):
    log: list[str] = []
    with cell() as c:

        def aimed() -> float:
            return c.node.link.live.at(0.0)[0].target[0, 0].item()

        def is_told() -> bool:
            log.append(capfd.readouterr().err)
            return told in "".join(log)

        c.aim(frame, x)
        c.until(is_told, "it was not told")
        assert aimed() == pytest.approx(0.9)
        c.aim(WORLD.robot.chain[0].parent, 0.85)
        c.until(lambda: aimed() == pytest.approx(0.85), "the base frame is the world's")


def test_where_it_is_told_to_throw_from_home_it_throws_from_there_only(cell):
    with cell(home_tolerance=0.1) as c:
        away = WORLD.home.copy()
        away[3] += 0.2
        c.feed(0.02, away)
        assert (
            c.node.refusal()
            == "joint 'panda_joint4' is 0.20 rad from where throws start: bring the arm there"
        )
        away[3] = WORLD.home[3] - 0.09
        c.feed(0.04, away)
        assert not c.node.refusal()


@pytest.mark.parametrize("offered", [1, names.SENSOR], ids=["reliable", "best effort"])
def test_a_button_that_is_not_latched_is_heard(cell, offered):
    with cell() as c:
        button = c.session.node.create_publisher(Bool, names.EMERGENCY_STOP, offered)
        c.until(lambda: button.get_subscription_count() > 0, "nobody hears the button")
        button.publish(Bool(data=True))
        c.until(lambda: c.node.link.filter.estopped, "the emergency stop was not heard")
