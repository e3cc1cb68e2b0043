"""Joystick: axes and buttons of sensor_msgs/Joy by a mapping from YAML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from irl_ros.settings import at_least
from irl_ros.teleop.drive import Drive
from irl_ros.teleop.wish import Motion, Wish, check_orders

_NONE = -1


@dataclass(frozen=True)
class Axis(Motion):
    """A joystick's axis and what it moves."""

    axis: int = _NONE
    """Number in Joy.axes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.axis < 0:
            raise ValueError("axis: is missing: its number in Joy.axes")


@dataclass(frozen=True)
class JoystickSettings:
    """The keys of config/teleop/joystick.yaml. Buttons are numbers in Joy.buttons; -1: none."""

    axes: tuple[Axis, ...]
    """What moves."""
    deadman: int
    """Button that must be held for the arm to move."""
    release: int
    """Button that lets go of the ball."""
    home: int = _NONE
    """Button that, held with the deadman, takes the arm home."""
    orders: dict[str, int] = field(default_factory=dict)
    """Order → button: start, keep, success, failure, discard, withdraw, new_ball, quit."""
    dead_zone: float = 0.05
    """Deflection that counts as none."""
    timeout: float = 0.3
    """s without a message after which the deadman counts as let go."""

    def __post_init__(self) -> None:
        at_least(self, 0.0, "dead_zone", "deadman", "release")
        if not self.dead_zone < 1.0:
            raise ValueError(f"dead_zone: must be below 1, the whole way of an axis, found {self.dead_zone}")
        at_least(self, 0.01, "timeout")
        check_orders(self.orders, "orders")


class Joystick:
    """See `Device`. A message that lacks a mapped axis or button is as if that were not touched.

    Args:
        settings: the mapping.
        drive: of the arm.
        where: file that errors name.

    Attributes:
        opened: the ball was let go, and no new one has come.

    Raises:
        InputError: the mapping is for another robot.
    """

    def __init__(self, settings: JoystickSettings, drive: Drive, where: object = "joystick") -> None:
        self.settings, self._drive = settings, drive
        for axis in settings.axes:
            drive.check(axis, where)
        self._axes: Sequence[float] = ()
        self._buttons: Sequence[int] = ()
        self._heard = -math.inf
        self._orders: list[str] = []
        self.opened = False

    def hear(self, axes: Sequence[float], buttons: Sequence[int], now: float) -> None:
        """A Joy message that came at `now`, s."""
        before = self._buttons
        self._axes, self._buttons, self._heard = axes, buttons, now
        for order, button in self.settings.orders.items():
            if _pressed(buttons, button) and not _pressed(before, button):
                self._orders.append(order)
        self.opened |= _pressed(buttons, self.settings.release)

    def wish(self, q: np.ndarray, now: float) -> Wish:
        s = self.settings
        held = now - self._heard <= s.timeout and _pressed(self._buttons, s.deadman)
        motions = [(axis, self._deflection(axis.axis)) for axis in s.axes]
        home = held and _pressed(self._buttons, s.home)
        return Wish(self._drive.velocity(motions, q), held, self.opened, home)

    def orders(self) -> list[str]:
        given, self._orders = self._orders, []
        return given

    def _deflection(self, axis: int) -> float:
        """In [-1, 1], from 0 at the edge of the dead zone."""
        value = float(self._axes[axis]) if axis < len(self._axes) else 0.0
        if not math.isfinite(value):
            return 0.0
        zone = self.settings.dead_zone
        size = (min(abs(value), 1.0) - zone) / (1.0 - zone)
        return math.copysign(size, value) if size > 0.0 else 0.0


def _pressed(buttons: Sequence[int], button: int) -> bool:
    return 0 <= button < len(buttons) and bool(buttons[button])
