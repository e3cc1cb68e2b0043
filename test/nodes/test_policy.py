"""The policy node over DDS: throws as without ROS, stays inside limits, and stops when it is blind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PointStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from irl_ros.demos.audit import describe
from irl_ros.msg import PolicyStep
from irl_ros.nodes import interface as names
from irl_ros.nodes.deployment import deploy
from irl_ros.nodes.recording import LOCKSTEP_MAX_AGE
from irl_ros.nodes.session import LIMIT, Child, Session
from irl_ros.rl.policy import load_policy
from irl_ros.safety import StopReason
from irl_ros.sim import BulletWorld, Throws, load_world, throw

WORLD = load_world()
TARGET = (0.9, 0.1, 0.0)
COMMANDS = names.COMMAND_RECORDED


@pytest.fixture(scope="module")
def nodes(session: Session, bundle: Path) -> Iterator[tuple[Child, Child]]:
    """sim_arm in lock-step and a policy that is not enabled yet, aimed at TARGET.

    The arm has been reset before the policy is there, and stands still: nobody's order of coming counts.
    """
    message = PointStamped()
    message.point.x, message.point.y, message.point.z = TARGET
    aim = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    aim.publish(message)
    arm = session.start("sim_arm", real_time_factor=0.0)
    session.demand("sim_arm/reset")
    policy = session.start("policy", run=str(bundle), max_age=LOCKSTEP_MAX_AGE)
    yield arm, policy
    session.stop(policy, arm)


@pytest.fixture(scope="module")
def enable(session: Session, nodes: object) -> Callable[[bool], None]:
    client = session.node.create_client(SetBool, "policy/enable")

    def switch(on: bool) -> None:
        session.until(client.service_is_ready, LIMIT, "no policy node")
        answer = client.call_async(SetBool.Request(data=on))
        session.until(answer.done, LIMIT, "policy/enable did not answer")
        assert answer.result().success

    return switch


def without_ros(run: Path) -> Throws:
    policy = load_policy(run)
    with BulletWorld(WORLD) as world:
        return throw(world, lambda s: policy.act(s.to(dtype=torch.float32)), torch.tensor([TARGET]))


def throw_once(session: Session) -> tuple[bool, str]:
    """A throw as soon as the node knows arm and target."""
    answers: list[tuple[bool, str]] = []

    def accepted() -> bool:
        # each time anew: a state may grow old while the machine has other things to do
        session.demand("sim_arm/reset")
        answers.append(session.ask("policy/throw"))
        return answers[-1][0] or not answers[-1][1].startswith(("waiting for", StopReason.STALE.value))

    session.until(accepted, LIMIT, "the policy kept waiting")
    return answers[-1]


def test_it_does_not_move_the_arm_before_it_is_enabled(session, nodes, listen):
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    success, message = session.ask("policy/throw")
    assert not success and "enable" in message
    assert not commands


def test_a_throw_over_topics_is_the_throw_without_them(session, enable, bundle, listen):
    enable(True)
    balls = listen(Odometry, names.BALL, names.SENSOR_RECORDED)
    steps = listen(PolicyStep, names.POLICY, names.SENSOR_RECORDED)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    success, message = throw_once(session)
    assert success and message.startswith("released at step")
    session.until(lambda: len(steps) >= WORLD.horizon, LIMIT, "not every step was reported")
    truth = without_ros(bundle)
    assert bool(truth.outcome.released), "the bundle is meant to throw"
    landing = balls[-1].pose.pose.position
    assert (landing.x, landing.y) == pytest.approx(truth.outcome.landing[0, :2].tolist(), abs=2e-3)
    raw = np.array([s.action_raw for s in steps])
    assert raw == pytest.approx(truth.actions[0].numpy(), abs=5e-3)
    assert [s.step for s in steps] == list(range(WORLD.horizon))
    assert [s.phase for s in steps] == pytest.approx(np.arange(WORLD.horizon) / WORLD.horizon, abs=1e-4)
    assert not any(s.held for s in steps)
    assert_inside_limits(session, commands)


def test_a_throw_begins_with_the_newest_state_however_many_wait_to_be_heard(
    session, nodes, enable, bundle, listen
):
    enable(True)
    assert throw_once(session)[0]  # the world waits for commands no longer, soon
    balls = listen(Odometry, names.BALL, names.SENSOR_RECORDED)
    client = session.node.create_client(Trigger, "policy/throw")
    session.until(client.service_is_ready, LIMIT, "no policy node")
    session.demand("sim_arm/activate_controllers")
    os.kill(nodes[1].process.pid, signal.SIGSTOP)  # busy with something else
    try:
        session.until(lambda: len(balls) > 20, LIMIT, "time stands still")
        session.demand("sim_arm/reset")
        answer = client.call_async(Trigger.Request())
    finally:
        os.kill(nodes[1].process.pid, signal.SIGCONT)
    session.until(answer.done, LIMIT, "the throw does not end")
    if not answer.result().success:
        # its state was still on its way when the call came: to refuse is right, to throw from there is not
        assert answer.result().message == "the arm is not where it was commanded to be"
        assert throw_once(session)[0]
    landing = balls[-1].pose.pose.position
    truth = without_ros(bundle).outcome.landing[0, :2].tolist()
    assert (landing.x, landing.y) == pytest.approx(truth, abs=2e-3)


def assert_inside_limits(session: Session, commands: list[Float64MultiArray]) -> None:
    # the answer that a throw is over may overtake the last commands
    session.until(lambda: not any(commands[-1].data), LIMIT, "the arm was not left at rest")
    sent = np.array([c.data for c in commands])
    assert np.all(np.abs(sent) <= WORLD.velocity + 1e-9)
    changes = np.abs(np.diff(np.vstack((np.zeros(WORLD.robot.n), sent)), axis=0))
    assert np.all(changes <= WORLD.acceleration * WORLD.dt + 1e-9)


def begin_throw(session: Session, commands: list, count: int):
    """A throw under way, with `count` commands sent that move the arm: the policy may still be holding it
    after the throw before. Asked again where it is refused, while the policy has not seen the new state."""
    client = session.node.create_client(Trigger, "policy/throw")
    session.until(client.service_is_ready, LIMIT, "no policy node")
    answers = []

    def moves() -> bool:
        return sum(any(c.data) for c in commands) >= count

    def under_way() -> bool:
        session.demand("sim_arm/reset")
        answers.append(client.call_async(Trigger.Request()))
        session.until(lambda: answers[-1].done() or moves(), LIMIT, "no answer")
        return moves()

    session.until(under_way, LIMIT, "the throw did not begin")
    return answers[-1]


def test_it_brings_the_arm_to_rest_when_joint_states_fall_silent(session, nodes, enable, listen):
    enable(True)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    steps = listen(PolicyStep, names.POLICY, names.SENSOR_RECORDED)
    answer = begin_throw(session, commands, 20)
    os.kill(nodes[0].process.pid, signal.SIGSTOP)
    try:
        session.until(answer.done, LIMIT, "the policy waits for a dead arm")
        assert (answer.result().success, answer.result().message) == (False, StopReason.STALE.value)
        session.until(lambda: not any(commands[-1].data), LIMIT, "the last command moves the arm")
        assert_inside_limits(session, commands)
        session.until(lambda: steps[-1].held, LIMIT, "the hold was not reported")
        assert steps[-1].hold_reason == StopReason.STALE.value
    finally:
        os.kill(nodes[0].process.pid, signal.SIGCONT)


def test_disabling_it_in_mid_throw_brings_the_arm_to_rest(session, enable, listen):
    enable(True)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    answer = begin_throw(session, commands, 10)
    enable(False)
    session.until(answer.done, LIMIT, "the throw goes on")
    assert (answer.result().success, answer.result().message) == (False, StopReason.DISABLED.value)
    assert len(commands) < WORLD.horizon
    assert_inside_limits(session, commands)


def test_an_emergency_stop_brings_the_arm_to_rest_until_reset_and_enabled(session, enable, listen):
    enable(True)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    button = session.node.create_publisher(Bool, names.EMERGENCY_STOP, names.LATCHED)
    answer = begin_throw(session, commands, 10)
    button.publish(Bool(data=True))
    session.until(answer.done, LIMIT, "the throw goes on")
    assert (answer.result().success, answer.result().message) == (False, StopReason.ESTOP.value)
    assert_inside_limits(session, commands)
    session.node.destroy_publisher(button)
    assert "call ~/reset" in session.ask("policy/throw")[1]
    session.demand("policy/reset")
    assert "not enabled" in session.ask("policy/throw")[1]


def test_an_arm_that_does_not_follow_is_stopped(session, nodes, enable, listen):
    enable(True)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    stranger = session.node.create_publisher(Float64MultiArray, names.ARM_COMMANDS, names.COMMAND)
    session.until(lambda: stranger.get_subscription_count() > 1, LIMIT, "nobody hears the stranger")
    answer = begin_throw(session, commands, 10)

    def over() -> bool:
        # stops the controller, as on a real arm, unless a right one overtakes it before the next update
        stranger.publish(Float64MultiArray(data=[0.0]))
        return answer.done()

    session.until(over, LIMIT, "the throw goes on")
    session.node.destroy_publisher(stranger)
    assert (answer.result().success, answer.result().message) == (False, StopReason.TRACKING.value)


def test_a_signal_in_mid_throw_leaves_the_arm_at_rest(session, nodes, enable, listen):
    enable(True)
    commands = listen(Float64MultiArray, names.ARM_COMMANDS, COMMANDS)
    begin_throw(session, commands, 20)
    nodes[1].wanted = False
    nodes[1].process.send_signal(signal.SIGINT)
    assert nodes[1].process.wait(LIMIT) == 0
    session.until(lambda: not any(commands[-1].data), LIMIT, "the last command moves the arm")
    assert_inside_limits(session, commands)
    session.stop(nodes[0])


def test_deployment_counts_what_the_bags_show(session, bundle, tmp_path):
    result = deploy(session, bundle, tmp_path / "throws", 2, "default", seed=5)
    facts = describe(tmp_path / "throws", WORLD)
    assert result["throws"] == facts["episodes"] == 2
    assert result["hit_10cm"] == facts["hit_10cm"]
    assert 0 < result["latency_ms_p50"] <= result["latency_ms_p99"]
