"""A scripted joystick throws the ball over DDS with sim_arm in lock-step, and the recorder records it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Float64MultiArray

from irl_ros.demos.bag import find_bags
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.recording import read_recording
from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.safety import JointReading, SafetyFilter, SafetySettings
from irl_ros.sim import BatchWorld, load_world
from irl_ros.teleop.hands import load_hands

WORLD = load_world()
DEADMAN, RELEASE, START, SUCCESS, NEW_BALL = 4, 5, 7, 3, 9
SWING, OPENS, STEPS = range(3, 30), 22, 60
PATIENT = """
joystick:
  axes: [{axis: 1, joints: [0, 0.7, 0, 1, 0, 0.8, 0]}]
  deadman: 4
  release: 5
  timeout: 10.0
  orders: {start: 7, success: 3, new_ball: 9}
"""
"""On a busy machine a message may be late; a person's pad would rather stop."""


def hand(step: int) -> tuple[list[float], list[int]]:
    """Axes and buttons of the script: swing forward, let go in mid-swing."""
    pressed = {DEADMAN, RELEASE} if step >= OPENS else {DEADMAN}
    return [0.0, 1.0 if step in SWING else 0.0], [int(i in pressed) for i in range(10)]


def in_this_process(mapping: Path, delay: int) -> tuple[torch.Tensor, float]:
    """Landing of the script, seen `delay` steps late, without ROS; and its largest change of a command."""
    hands = load_hands(WORLD, "joystick", mapping)
    limited = SafetyFilter(WORLD, SafetySettings(max_age=5.0, deadman=10.0))
    simulator, commands = BatchWorld(WORLD, dtype=torch.float64), [np.zeros(WORLD.robot.n)]
    state = simulator.reset(torch.tensor([[0.9, 0.0, 0.0]], dtype=torch.float64))
    limited.enable()
    for k in range(STEPS):
        now, q, qd = k * WORLD.dt, state.q[0].numpy(), state.qd[0].numpy()
        hands.joystick.hear(*hand(max(k - delay, 0)), now)
        action, held = hands.action(q, now, WORLD.dt)
        limited.deadman(held, now)
        decision = limited(action, JointReading(WORLD.robot.joints, q, qd, now), now)
        commands.append(decision.velocity)
        state = simulator.step(torch.as_tensor(decision.action)[None])
    change = np.abs(np.diff(commands, axis=0) / (WORLD.velocity * WORLD.dt)).max()
    return simulator.outcome().landing[0], float(change)


class Pad:
    """The joystick: says what the script says, a step for each command that teleop sends."""

    def __init__(self, session: Session) -> None:
        self.session, node = session, session.node
        self.joints: list[JointState] = []
        self.commands: list[np.ndarray] = []
        self._script: Callable[[int], tuple[list[float], list[int]]] | None = None
        self._step = 0
        self.joy = node.create_publisher(Joy, names.JOY, names.COMMAND)
        node.create_subscription(JointState, names.JOINT_STATES, self.joints.append, names.SENSOR_RECORDED)
        node.create_subscription(
            Float64MultiArray, names.ARM_COMMANDS, self._on_command, names.COMMAND_RECORDED
        )

    def say(self, *pressed: int, stick: float = 0.0) -> None:
        self.joy.publish(Joy(axes=[0.0, stick], buttons=[int(i in pressed) for i in range(10)]))

    def press(self, button: int) -> None:
        self.say(button)
        self.say()

    def play(self, script: Callable[[int], tuple[list[float], list[int]]], steps: int) -> None:
        """From a new ball on, which puts the arm in lock-step; the first command answers it."""
        self._script, self._step = script, 0
        self.say(DEADMAN, NEW_BALL)
        self.session.until(lambda: self._step >= steps, LIMIT, "the script was not played")
        self._script = None

    def chatter(self) -> None:
        """From now on say with every command that the deadman is let go and the stick is not."""
        self._script = lambda _: ([0.0, -0.5], [0] * 10)

    def _on_command(self, message: Float64MultiArray) -> None:
        self.commands.append(np.array(message.data))
        if self._script is not None:
            self._step += 1
            axes, buttons = self._script(self._step)
            self.joy.publish(Joy(axes=axes, buttons=buttons))


@pytest.fixture(scope="module")
def thrown(session: Session, tmp_path_factory: pytest.TempPathFactory):
    """The folder with the bag, the events, the landings it may have, and the pad with all nodes still up."""
    folder, events = tmp_path_factory.mktemp("teleop"), []
    mapping = folder / "patient.yaml"
    mapping.write_text(PATIENT)
    landings, changes = zip(*(in_this_process(mapping, delay) for delay in (0, 1, 2)), strict=True)
    pad = Pad(session)
    session.node.create_subscription(EpisodeEvent, names.EPISODE, events.append, names.EVENT)
    target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    aimed = PointStamped()
    aimed.header.frame_id = names.WORLD_FRAME
    aimed.point.x, aimed.point.y, aimed.point.z = landings[1].tolist()
    target.publish(aimed)
    session.start("sim_arm", real_time_factor=0.0)
    session.start("recorder", out=str(folder / "demos"), operator_name="Ada", max_age=30.0)
    session.start("teleop", input="joystick", mapping=str(mapping), max_age=5.0, deadman=10.0, status_hz=1.0)
    session.until(lambda: bool(pad.joints) and pad.joy.get_subscription_count() > 0, LIMIT, "no teleop")
    while not events:  # refused until every topic has been heard
        heard = len(pad.joints)
        pad.press(START)
        session.until(lambda heard=heard: bool(events) or len(pad.joints) > heard + 20, LIMIT, "no answer")
    pad.play(hand, STEPS + 5)
    pad.say(DEADMAN, RELEASE, SUCCESS)
    session.until(lambda: events[-1].event == EpisodeEvent.STOP, LIMIT, "the episode was not stopped")
    yield folder / "demos", events, landings, changes, pad


def test_the_scripted_joystick_throws_and_the_recorder_has_it(thrown) -> None:
    demos, events, landings, _, _ = thrown
    assert [e.event for e in events] == [EpisodeEvent.START, EpisodeEvent.RELEASE, EpisodeEvent.STOP]
    stop = events[-1]
    assert (stop.outcome, stop.ended_by, stop.operator_name) == ("success", "operator", "Ada")
    loaded = load_demonstrations(demos, WORLD)
    (landing,) = loaded.throws.outcome.landing
    # a message of the pad may be seen one control step sooner or later
    nearest = min(float((landing - expected).norm()) for expected in landings)
    assert nearest < 0.04, (landing, landings)
    assert loaded.labels == ("success",) and bool(loaded.throws.outcome.released[0])


def test_commands_are_smooth_and_come_at_the_control_rate(thrown) -> None:
    demos, _, _, changes, _ = thrown
    recording = read_recording(find_bags(demos)[0], WORLD.robot)
    assert recording.commands is not None
    moving = np.flatnonzero(np.abs(recording.commands.values).max(-1))
    commands = recording.commands.values[moving[0] - 1 : moving[-1] + 2]
    times = recording.commands.times[moving[0] - 1 : moving[-1] + 2]
    np.testing.assert_allclose(np.diff(times), WORLD.dt, atol=1e-6)
    share = np.diff(commands, axis=0) / (WORLD.velocity * WORLD.dt)
    assert np.abs(share).max() <= max(changes) + 1e-6 < 10.0, "a stick that jumps makes no command that does"


def test_letting_go_of_the_deadman_brings_the_arm_to_rest(session, thrown) -> None:
    pad = thrown[-1]
    pad.say(DEADMAN, stick=-0.5)
    session.until(lambda: np.abs(pad.joints[-1].velocity).max() > 0.1, LIMIT, "the arm did not move")
    begun = len(pad.commands)
    pad.chatter()
    pad.say(stick=-0.5)
    session.until(lambda: np.abs(pad.joints[-1].velocity).max() < 1e-3, LIMIT, "the arm did not stop")
    speeds = np.array([np.abs(c).max() for c in pad.commands[begun:] if np.any(c)])
    slowing = speeds[np.flatnonzero(speeds > speeds.max() - 1e-9)[-1] :]
    assert np.diff(slowing).max() < 0, "a command for each state, not for each word of the pad"
