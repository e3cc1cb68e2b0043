"""What buttons, keys and arms say, and when they count as let go."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.sim import load_world
from irl_ros.teleop.drive import Drive
from irl_ros.teleop.hands import INPUTS, load_hands
from irl_ros.teleop.joystick import Axis, Joystick, JoystickSettings
from irl_ros.teleop.keyboard import Keyboard, KeyboardSettings, check_terminal
from irl_ros.teleop.leader import Leader, LeaderSettings
from irl_ros.teleop.six_axis import SixAxis, SixAxisSettings
from irl_ros.teleop.wish import Motion

WORLD = load_world()
DRIVE, HOME, N = Drive(WORLD), WORLD.home, WORLD.robot.n
TURN = (1.0, 0, 0, 0, 0, 0, 0)


def joystick(**changes: object) -> Joystick:
    settings = JoystickSettings(
        axes=(Axis(axis=1, joints=TURN),), deadman=4, release=5, home=6, orders={"start": 0, "keep": 1}
    )
    return Joystick(dataclasses.replace(settings, **changes), DRIVE)


def buttons(*pressed: int) -> list[int]:
    return [int(i in pressed) for i in range(8)]


def test_a_stick_moves_beyond_its_dead_zone_while_the_deadman_is_held() -> None:
    stick = joystick(dead_zone=0.1)
    for value, share in ((0.05, 0.0), (0.1, 0.0), (0.55, 0.5), (1.0, 1.0), (-1.0, -1.0), (float("nan"), 0.0)):
        stick.hear([0.0, value], buttons(4), 1.0)
        wish = stick.wish(HOME, 1.1)
        assert wish.held and wish.velocity[0] == pytest.approx(share)
    stick.hear([0.0, 1.0], buttons(), 1.0)
    assert not stick.wish(HOME, 1.1).held


def test_a_silent_joystick_counts_as_let_go() -> None:
    stick = joystick(timeout=0.3)
    assert not stick.wish(HOME, 0.0).held
    stick.hear([0.0, 1.0], buttons(4), 1.0)
    assert stick.wish(HOME, 1.29).held and not stick.wish(HOME, 1.31).held


def test_buttons_order_once_when_pressed_and_a_ball_let_go_stays_gone() -> None:
    stick = joystick()
    for pressed in ((), (0,), (0,), (0, 1), (), (0,)):
        stick.hear([], buttons(*pressed), 0.0)
    assert stick.orders() == ["start", "keep", "start"] and stick.orders() == []
    stick.hear([], buttons(5), 0.0)
    stick.hear([], buttons(), 0.0)
    assert stick.wish(HOME, 0.0).release
    stick.hear([], [], 0.0)  # a pad with fewer buttons than mapped
    assert not stick.wish(HOME, 0.0).held


def keyboard(**changes: object) -> Keyboard:
    settings = KeyboardSettings(
        motions={"w": Motion(joints=TURN), "i": Motion(twist=(0.2, 0, 0, 0, 0, 0))},
        orders={"start": "enter", "success": "y"},
    )
    return Keyboard(dataclasses.replace(settings, **changes), DRIVE)


def test_a_press_moves_for_a_while_and_is_the_deadman() -> None:
    keys = keyboard(hold=0.5)
    assert not keys.wish(HOME, 0.0).held
    keys.press("w", 1.0)
    assert keys.wish(HOME, 1.49).held and keys.wish(HOME, 1.49).velocity[0] == 1.0
    assert not keys.wish(HOME, 1.5).held
    keys.press("w", 2.0)
    keys.press("\x1b", 2.1)
    assert not keys.wish(HOME, 2.1).held, "escape halts"


def test_keys_change_the_speed_release_and_order() -> None:
    keys = keyboard()
    for _ in range(3):
        keys.press("-", 0.0)
    keys.press("w", 0.0)
    assert keys.speed == 0.7 and keys.wish(HOME, 0.1).velocity[0] == pytest.approx(0.7)
    assert keys.press(" ", 0.0) and keys.wish(HOME, 0.0).release
    assert keys.press("\r", 0.0) and keys.press("y", 0.0) and not keys.press("?", 0.0)
    assert keys.orders() == ["start", "success"]
    with pytest.raises(ValueError, match="key 'w' has two meanings"):
        keyboard(halt="w")
    with pytest.raises(InputError, match="unknown order 'strat'; did you mean 'start'"):
        keyboard(orders={"strat": "b"})
    with pytest.raises(InputError, match="standard input: is no terminal"):
        check_terminal(False)


def test_homing_goes_on_until_it_is_there_or_another_key_comes() -> None:
    keys, away = keyboard(), HOME + 0.3
    keys.press("h", 0.0)
    assert keys.wish(away, 9.0).home and keys.wish(away, 9.0).held
    assert not keys.wish(HOME, 9.0).home
    keys.press("h", 0.0)
    keys.press("w", 9.0)
    assert not keys.wish(away, 9.1).home


def test_a_leader_is_followed_by_name_from_where_both_are() -> None:
    joint = WORLD.robot.joints[3]
    leader = Leader(LeaderSettings(joints={joint: "elbow"}, scale={joint: -1.0}, gripper="claw"), WORLD)
    names = ["claw", *("elbow" if j == joint else j for j in reversed(WORLD.robot.joints))]

    def hear(q: np.ndarray, now: float, claw: float = 0.0) -> None:
        leader.hear(names, [claw, *q[::-1]], now)

    hear(np.full(N, 2.0), 0.0)
    assert not leader.wish(HOME, 0.0).held, "not coupled"
    leader.engaged = True
    assert np.abs(leader.wish(HOME, 0.0).velocity).max() == 0, "however far apart: no leap"
    q, dt = HOME.copy(), 0.02
    for k in range(1, 101):
        hear(np.full(N, 2.0 + 0.2 * min(k / 50, 1.0)), k * dt)
        q = q + dt * leader.wish(q, k * dt).velocity * WORLD.velocity
    moved = np.full(N, 0.2)
    moved[3] = -0.2
    np.testing.assert_allclose(q, HOME + moved, atol=5e-3)
    hear(np.full(N, 2.2), 2.02, claw=0.05)
    assert leader.wish(q, 2.02).release
    assert not leader.wish(q, 2.5).held, "a silent leader stops the arm"
    leader.hear(["other"], [1.0], 2.6)
    assert not leader.wish(q, 2.6).held, "another robot's joint states are not its"


def test_after_the_way_home_the_arm_stays_where_it_is_until_the_leader_moves() -> None:
    hands, q, dt, fastest = load_hands(WORLD, "leader"), HOME.copy(), 0.02, 0.0
    held = [int(i == 4) for i in range(11)]
    for k in range(700):
        now = k * dt
        hands.leader.hear(WORLD.robot.joints, np.full(N, 0.5 * min(k / 100, 1.0)), now)
        hands.joystick.hear([0.0] * 8, held, now)
        if k == 200:
            assert np.abs(q - HOME).max() > 0.4, "it has followed"
            hands.keyboard.press("h", now)
        action, _ = hands.action(q, now, dt)
        q = q + dt * action[:-1] * WORLD.velocity
        if k > 600:
            fastest = max(fastest, np.abs(action[:-1]).max())
    assert np.abs(q - HOME).max() < 0.02 and fastest < 1e-3


def test_leader_messages_in_a_bunch_are_no_leap() -> None:
    leader = Leader(LeaderSettings(), WORLD)
    leader.engaged = True
    for k, now in enumerate((0.0, 0.02, 0.0202, 0.0598, 0.06)):
        leader.hear(WORLD.robot.joints, np.full(N, 0.005 * k), now)
        velocity = leader.wish(HOME + 0.005 * k, now).velocity * WORLD.velocity
        assert np.abs(velocity).max() < 0.4, "0.25 rad/s are meant"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("joystick: {axes: [], deadman: 4, release: 5, dead_zone: 5}", "dead_zone: must be below 1"),
        ("twist: {speed: [-0.5, 1.0]}", "speed: must be above 0"),
        ("twist: {scale: [.inf, 1, 1, 1, 1, 1]}", "scale: must be finite"),
    ],
)
def test_settings_that_would_move_an_arm_wrongly_are_refused(tmp_path, text: str, told: str) -> None:
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(text)
    with pytest.raises(InputError, match=f"mine.yaml.*{told}"):
        load_hands(WORLD, "twist", mapping)


def test_a_leader_with_joints_the_arm_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="leader: unknown joint of the arm 'panda_joint9'"):
        Leader(LeaderSettings(joints={"panda_joint9": "x"}), WORLD)


def test_a_6_axis_device_moves_the_tool_no_faster_than_asked_for() -> None:
    device = SixAxis(SixAxisSettings(speed=(0.5, 1.0)), DRIVE)
    device.hear([3.0, 0, 0, 0, 0, 0], 0.0)
    assert not device.wish(HOME, 0.0).held
    device.engaged = True
    wish = device.wish(HOME, 0.1)
    tool = DRIVE.world.robot.kinematics().jacobian  # the velocity that comes of it, by the same arm
    twist = tool(torch.as_tensor(HOME, dtype=torch.float32)).numpy() @ (wish.velocity * WORLD.velocity)
    np.testing.assert_allclose(twist, [0.5, 0, 0, 0, 0, 0], atol=1e-4)
    device.hear([float("nan")] * 6, 0.15)
    assert device.wish(HOME, 0.15).velocity[0] == wish.velocity[0], "not a number: as if it had not come"
    assert not device.wish(HOME, 0.35).held


@pytest.mark.parametrize("moves", INPUTS)
def test_shipped_mappings_load_and_any_device_gives_orders(moves: str) -> None:
    hands = load_hands(WORLD, moves)
    hands.keyboard.press("\r", 0.0)
    hands.joystick.hear([0.0] * 8, [int(i == 5) for i in range(11)], 0.0)
    action, held = hands.action(HOME, 0.0, 0.02)
    assert hands.orders() == ["start"] and not held and action[-1] == 1.0 and not action[:-1].any()
    assert hands.action(HOME, 0.0, 0.02)[0][-1] == -1.0, "a new episode starts with the ball in the hand"


def test_shipped_motions_are_a_pandas_others_bring_their_own(tmp_path) -> None:
    six = tmp_path / "keys.yaml"
    six.write_text("keyboard: {motions: {w: {joints: [0.1, 0.1]}}}\n")
    with pytest.raises(InputError, match=r"keys.yaml: joints: has 2 values; robot panda has 7 joints"):
        load_hands(WORLD, "keyboard", six)
    load_hands(load_world("iiwa"), "twist")
    with pytest.raises(InputError, match="unknown key 'joystik'"):
        bad = tmp_path / "bad.yaml"
        bad.write_text("joystik: {}\n")
        load_hands(WORLD, "joystick", bad)
    with pytest.raises(InputError, match="unknown teleop 'keyborad'; did you mean 'keyboard'"):
        load_hands(WORLD, "keyboard", "keyborad")


def test_a_swing_of_a_key_is_smooth_and_comes_to_rest_at_once_when_let_go() -> None:
    hands, q = load_hands(WORLD, "keyboard"), HOME
    hands.keyboard.press("w", 0.0)
    shares = []
    for k in range(40):
        action, held = hands.action(q, 0.02 * k, 0.02)
        shares.append(action[:-1])
        assert held == (0.02 * k < 0.5)
    steps = np.diff([np.zeros(N), *shares[:25]], axis=0)
    assert np.abs(steps).max() < 0.2 and max(np.abs(s).max() for s in shares) == pytest.approx(1.0, abs=0.01)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(np.abs(shares[:25]).max(-1)))
    assert not np.any(shares[25:])
