"""sim_arm over DDS against BulletWorld in this process: same commands, same motion, same landing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT
from irl_ros.sim import BulletWorld, State, load_world

WORLD = load_world()
N = WORLD.robot.n
TARGET = (0.8, 0.1, 0.15)


def swing(steps: int, release: int | None) -> list[tuple[np.ndarray, float | None]]:
    """A forward swing of shoulder, elbow and wrist, let go at a step."""
    script = []
    for k in range(steps):
        velocity = np.zeros(N)
        velocity[[1, 3, 5]] = np.array([0.5, 0.9, 0.8]) * WORLD.velocity[[1, 3, 5]] * (10 <= k < 30)
        script.append((velocity, 0.0 if k == 0 else 1.0 if k == release else None))
    return script


def expected(
    script: list[tuple[np.ndarray, float | None]], target: tuple[float, float, float]
) -> list[State]:
    with BulletWorld(WORLD) as world:
        states, opened = [world.reset(torch.tensor([target], dtype=torch.float64))], -1.0
        for velocity, gripper in script:
            opened = opened if gripper is None else 2.0 * gripper - 1.0
            action = np.append(velocity / WORLD.velocity, opened)
            states.append(world.step(torch.from_numpy(action)[None]))
    return states


def test_commands_move_arm_and_ball_as_bullet_world_says(puppeteer):
    aim = puppeteer.session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    puppeteer.session.until(lambda: aim.get_subscription_count() > 0, LIMIT, "nobody wants the target")
    message = PointStamped()
    message.point.x, message.point.y, message.point.z = TARGET
    aim.publish(message)
    script = swing(70, release=24)
    truth = expected(script, TARGET)
    joints, balls = puppeteer.play(script)
    assert len(joints) == len(balls) == len(truth)
    assert list(joints[0].name) == list(WORLD.robot.joints)
    assert set(np.diff([puppeteer.stamp(m) for m in joints])) == {20_000_000}
    for joint, ball, state in zip(joints, balls, truth, strict=True):
        p, v = ball.pose.pose.position, ball.twist.twist.linear
        assert np.array(joint.position) == pytest.approx(state.q[0].numpy(), abs=1e-9)
        assert np.array(joint.velocity) == pytest.approx(state.qd[0].numpy(), abs=1e-9)
        assert (p.x, p.y, p.z) == pytest.approx(state.ball_position[0].tolist(), abs=1e-9)
        assert (v.x, v.y, v.z) == pytest.approx(state.ball_velocity[0].tolist(), abs=1e-9)
    assert bool(truth[-1].landed), "the script is meant to throw"
    assert balls[-1].pose.pose.position.z == pytest.approx(TARGET[2], abs=1e-9)


def test_a_throw_repeats_bit_by_bit(puppeteer):
    script = swing(40, release=24)
    first, second = (puppeteer.play(script)[0] for _ in range(2))
    assert [list(m.position) for m in first] == [list(m.position) for m in second]


def test_a_command_of_the_wrong_length_stops_the_controller_until_it_is_activated_again(puppeteer, listen):
    session = puppeteer.session
    reports = listen(DiagnosticArray, names.DIAGNOSTICS, 10)
    session.demand("sim_arm/reset")
    puppeteer.arm.publish(Float64MultiArray(data=[1.0] * (N - 1)))

    def complaint() -> str:
        found = [s.message for r in reports for s in r.status if s.name == "sim_arm"]
        return found[-1] if found else ""

    session.until(lambda: "has stopped" in complaint(), LIMIT, "the controller did not stop")
    puppeteer.arm.publish(Float64MultiArray(data=[0.3] * N))
    seen = len(puppeteer.joints)
    session.until(lambda: len(puppeteer.joints) > seen + 1, LIMIT, "time stands still")
    assert np.abs(puppeteer.joints[-1].velocity).max() < 1e-9, "it ignores what comes"
    session.demand("sim_arm/activate_controllers")
    puppeteer.arm.publish(Float64MultiArray(data=[0.3] * N))
    session.until(lambda: np.abs(puppeteer.joints[-1].velocity).max() > 0.1, LIMIT, "it is not active again")


def test_in_lock_step_a_latecomer_hears_the_state_the_world_stands_still_in(puppeteer, listen):
    session = puppeteer.session
    session.demand("sim_arm/reset")
    session.until(lambda: np.abs(puppeteer.joints[-1].velocity).max() == 0, LIMIT, "no reset")
    late, balls = (
        listen(kind, topic, names.SENSOR_RECORDED)
        for kind, topic in ((JointState, names.JOINT_STATES), (Odometry, names.BALL))
    )
    session.until(lambda: len(late) > 1 and len(balls) > 1, LIMIT, "the state was not said again")
    assert {puppeteer.stamp(m) for m in (*late, *balls)} == {puppeteer.stamp(puppeteer.joints[-1])}


def test_simulated_time_runs_with_the_steps(puppeteer, listen):
    ticks = listen(Clock, names.CLOCK, names.COMMAND_RECORDED)
    joints, _ = puppeteer.play(swing(10, release=None))
    shown = {puppeteer.stamp(m) for m in joints[1:]}

    def told() -> bool:
        return shown <= {m.clock.sec * 1_000_000_000 + m.clock.nanosec for m in ticks}

    puppeteer.session.until(told, LIMIT, "/clock did not say the time of every state")


def test_a_target_in_another_frame_is_refused(puppeteer):
    aim = puppeteer.session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    puppeteer.session.until(lambda: aim.get_subscription_count() > 0, LIMIT, "nobody wants the target")
    message = PointStamped()
    message.header.frame_id, message.point.z = "moon", 0.5
    aim.publish(message)
    _, balls = puppeteer.play(swing(70, release=24))
    assert balls[-1].pose.pose.position.z == pytest.approx(TARGET[2], abs=1e-9)
