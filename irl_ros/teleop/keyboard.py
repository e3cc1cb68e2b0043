"""Keyboard: keys of a terminal, which tells presses but never that a key was let go."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from irl_ros.errors import InputError
from irl_ros.settings import at_least
from irl_ros.teleop.drive import Drive
from irl_ros.teleop.wish import Motion, Wish, check_orders

NAMED = {" ": "space", "\r": "enter", "\n": "enter", "\x1b": "escape", "\t": "tab", "\x7f": "backspace"}
"""Characters of a terminal whose keys have names."""


@dataclass(frozen=True)
class KeyboardSettings:
    """The keys of config/teleop/keyboard.yaml. A key is its character, or one of NAMED's names."""

    motions: dict[str, Motion] = field(default_factory=dict)
    """Key → what it moves, at the chosen speed."""
    halt: str = "escape"
    """Stops all motion at once, and lets go of the deadman."""
    release: str = "space"
    """Lets go of the ball."""
    home: str = "h"
    """Takes the arm home until another key comes or it is there."""
    engage: str = "e"
    """Couples a leader arm or a 6-axis device, or uncouples it."""
    faster: str = "+"
    slower: str = "-"
    orders: dict[str, str] = field(default_factory=dict)
    """Order → key: start, keep, success, failure, discard, withdraw, new_ball, quit."""
    hold: float = 0.5
    """How long a motion goes on after a press, s: longer than a terminal waits before it repeats a key."""
    speed: float = 1.0
    """Share of a motion's velocity at first."""

    def __post_init__(self) -> None:
        at_least(self, 0.01, "hold", "speed")
        check_orders(self.orders, "orders")
        single = (self.halt, self.release, self.home, self.engage, self.faster, self.slower)
        keys = [*self.motions, *single, *self.orders.values()]
        if doubled := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"key '{min(doubled)}' has two meanings")


class Keyboard:
    """See `Device`. The deadman is held while a motion key is fresh: whoever falls asleep stops the arm.

    Args:
        settings: the mapping.
        drive: of the arm.
        where: file that errors name.

    Attributes:
        speed: share of a motion's velocity.
        engaged: what the engage key says.
        opened: the ball was let go, and no new one has come.

    Raises:
        InputError: the mapping is for another robot.
    """

    def __init__(self, settings: KeyboardSettings, drive: Drive, where: object = "keyboard") -> None:
        self.settings, self._drive = settings, drive
        for motion in settings.motions.values():
            drive.check(motion, where)
        self._until: dict[str, float] = {}
        self._orders: list[str] = []
        self.opened = self._homing = self.engaged = False
        self.speed = settings.speed
        self._of_key = {key: order for order, key in settings.orders.items()}

    def press(self, character: str, now: float) -> bool:
        """A key that was pressed, or repeated, at `now`, s; whether it means anything."""
        s, key = self.settings, NAMED.get(character, character)
        if key in s.motions:
            self._until[key], self._homing = now + s.hold, False
        elif key == s.release:
            self.opened = True
        elif key == s.home:
            self._homing, self._until = True, {}
        elif key == s.engage:
            self.engaged = not self.engaged
        elif key in (s.faster, s.slower):
            step = 0.1 if key == s.faster else -0.1
            self.speed = round(min(max(self.speed + step, 0.1), 1.0), 1)
        elif key in self._of_key:
            self._orders.append(self._of_key[key])
        elif key == s.halt:
            self.halt()
        else:
            return False
        return True

    def halt(self) -> None:
        """All motion ends, and nothing is coupled any longer."""
        self._until, self._homing, self.engaged = {}, False, False

    def wish(self, q: np.ndarray, now: float) -> Wish:
        fresh = [key for key, until in self._until.items() if until > now]
        motions = [(self.settings.motions[key], self.speed) for key in fresh]
        self._homing &= float(np.abs(q - self._drive.world.home).max()) > 0.005
        return Wish(self._drive.velocity(motions, q), bool(fresh) or self._homing, self.opened, self._homing)

    def orders(self) -> list[str]:
        given, self._orders = self._orders, []
        return given

    def legend(self) -> list[str]:
        """Lines that say which key does what."""
        s = self.settings
        single = {"let go": s.release, "home": s.home, "halt": s.halt, "faster": s.faster, "slower": s.slower}
        orders = {order.replace("_", " "): key for order, key in s.orders.items()}
        lines = [f"move: {' '.join(s.motions)}"] if s.motions else []
        return [
            *lines,
            "  ".join(f"{key}: {meaning}" for meaning, key in single.items()),
            "  ".join(f"{key}: {meaning}" for meaning, key in orders.items()),
        ]


def check_terminal(is_terminal: bool) -> None:
    """Refuse to read keys where there are none.

    Raises:
        InputError: standard input is no terminal.
    """
    if not is_terminal:
        raise InputError(
            "standard input", "is no terminal, so no keys can be read", "start it in one, or use a joystick"
        )
