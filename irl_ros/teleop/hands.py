"""Hands: the devices of one person together, and the action they ask for at each control step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from irl_ros.resources import config_file
from irl_ros.settings import at_least, build, load_yaml
from irl_ros.sim.world import World
from irl_ros.teleop.drive import Drive, Smoother
from irl_ros.teleop.joystick import Joystick, JoystickSettings
from irl_ros.teleop.keyboard import Keyboard, KeyboardSettings
from irl_ros.teleop.leader import Leader, LeaderSettings
from irl_ros.teleop.six_axis import SixAxis, SixAxisSettings
from irl_ros.teleop.wish import Device

INPUTS = ("keyboard", "joystick", "leader", "twist")


@dataclass(frozen=True)
class Smoothing:
    """How the corners of a hand's motion are rounded."""

    rise: float = 0.1
    """s from rest to a joint's full velocity."""
    settle: float = 0.03
    """Time constant of the rounding, s."""

    def __post_init__(self) -> None:
        at_least(self, 0.0, "rise", "settle")


@dataclass(frozen=True)
class HandsSettings:
    """A YAML of config/teleop: mappings of the devices it speaks of; others stay as they ship."""

    keyboard: KeyboardSettings | None = None
    joystick: JoystickSettings | None = None
    leader: LeaderSettings | None = None
    twist: SixAxisSettings | None = None
    smoothing: Smoothing = Smoothing()


def load_hands(world: World, moves: str, mapping: str | Path = "") -> Hands:
    """The hands of a person who moves the arm by one of INPUTS and gives orders by all they have.

    Args:
        world: the arm.
        moves: what moves the arm.
        mapping: a YAML, or a shipped name of config/teleop; "": as shipped.

    Raises:
        InputError: a mapping is wrong, or for another robot.
    """
    given = _load(mapping or moves)
    keyboard = given.keyboard or _load("keyboard").keyboard or KeyboardSettings()
    joystick = given.joystick or _load("joystick").joystick
    assert joystick is not None  # ours ships
    where = config_file("teleop", mapping or moves)
    drive = Drive(world)
    # keys and buttons give orders whatever moves the arm; then theirs for motion need not fit this robot
    if moves != "keyboard":
        keyboard = replace(keyboard, motions={})
    if moves != "joystick":
        joystick = replace(joystick, axes=())
    keys, stick = Keyboard(keyboard, drive, where), Joystick(joystick, drive, where)
    leader = Leader(given.leader or LeaderSettings(), world, where)
    six_axis = SixAxis(given.twist or SixAxisSettings(), drive)
    return Hands(world, moves, keys, stick, leader, six_axis, given.smoothing)


class Hands:
    """Every device's word counts for orders, the deadman's release and the ball; one of them moves the arm.

    Attributes:
        keyboard, joystick, leader, six_axis: to be told what they hear.
    """

    def __init__(
        self,
        world: World,
        moves: str,
        keyboard: Keyboard,
        joystick: Joystick,
        leader: Leader,
        six_axis: SixAxis,
        smoothing: Smoothing,
    ) -> None:
        self.keyboard, self.joystick, self.leader, self.six_axis = keyboard, joystick, leader, six_axis
        devices: dict[str, Device] = {
            "keyboard": keyboard,
            "joystick": joystick,
            "leader": leader,
            "twist": six_axis,
        }
        self._mover, self._moves = devices[moves], moves
        self._others: Sequence[Device] = [d for name, d in devices.items() if name != moves]
        self._drive, self._smooth = Drive(world), Smoother(smoothing.rise, smoothing.settle)
        self._n = world.robot.n

    def action(self, q: np.ndarray, now: float, dt: float) -> tuple[np.ndarray, bool]:
        """The action [n + 1] of the next control step of `dt` s, at q, rad [n]; if the deadman is held."""
        self.leader.engaged = self.six_axis.engaged = self.keyboard.engaged or self._button(q, now)
        wish, others = self._mover.wish(q, now), [d.wish(q, now) for d in self._others]
        homing = wish.home or (self._moves in ("leader", "twist") and any(d.home for d in others))
        if homing:
            self.leader.uncouple()
        held = wish.held or homing
        if not held:
            self._smooth.rest(self._n)
        wanted = self._drive.homeward(q) if homing else wish.velocity
        velocity = self._smooth(wanted, dt) if held else np.zeros(self._n)
        release = wish.release or any(d.release for d in others)
        return np.append(velocity, 1.0 if release else -1.0), held

    def orders(self) -> list[str]:
        """What was ordered since the last call."""
        given = [order for device in (self._mover, *self._others) for order in device.orders()]
        if {"start", "new_ball"} & set(given):  # whoever said so: there is a ball in the hand
            self.keyboard.opened = self.joystick.opened = False
        return given

    def _button(self, q: np.ndarray, now: float) -> bool:
        """A joystick's deadman (or a pedal's) couples a leader or a 6-axis device while it is held."""
        return self._moves in ("leader", "twist") and self.joystick.wish(q, now).held


def _load(name: str | Path) -> HandsSettings:
    path = config_file("teleop", name)
    return build(HandsSettings, load_yaml(path), path)
