"""SixAxis: a 6-axis device, such as a SpaceMouse, that gives the velocity of the tool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irl_ros.settings import at_least
from irl_ros.teleop.drive import Drive
from irl_ros.teleop.wish import Wish


@dataclass(frozen=True)
class SixAxisSettings:
    """The keys of config/teleop/twist.yaml."""

    scale: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """m/s and rad/s for one of the device's, along and about x, y, z of the world."""
    speed: tuple[float, float] = (2.0, 3.0)
    """The tool is asked for at most this, m/s and rad/s."""
    timeout: float = 0.2
    """s without a message after which the arm stops."""

    def __post_init__(self) -> None:
        if len(self.scale) != 6:
            raise ValueError(f"scale: has {len(self.scale)} values, needs 6")
        if not all(map(math.isfinite, self.scale)):
            raise ValueError(f"scale: must be finite, found {list(self.scale)}")
        if not all(0.0 < speed < math.inf for speed in self.speed):
            raise ValueError(f"speed: must be above 0, found {list(self.speed)}")
        at_least(self, 0.01, "timeout")


class SixAxis:
    """See `Device`.

    Args:
        settings: the mapping.
        drive: of the arm.

    Attributes:
        engaged: the device moves the arm; a person says so.
    """

    def __init__(self, settings: SixAxisSettings, drive: Drive) -> None:
        self.settings, self._drive, self.engaged = settings, drive, False
        self._twist, self._heard = np.zeros(6), -math.inf

    def hear(self, twist: Sequence[float], now: float) -> None:
        """A twist [6] in the world frame that came at `now`, s; one that is not finite is ignored."""
        value = np.asarray(twist, dtype=float) * np.asarray(self.settings.scale)
        if value.shape == (6,) and np.isfinite(value).all():
            for part, limit in zip((value[:3], value[3:]), self.settings.speed):
                part *= min(1.0, limit / max(float(np.linalg.norm(part)), 1e-9))
            self._twist, self._heard = value, now

    def wish(self, q: np.ndarray, now: float) -> Wish:
        held = self.engaged and now - self._heard <= self.settings.timeout
        velocity = (
            self._drive.share(self._drive.through_jacobian(self._twist, q)) if held else np.zeros(len(q))
        )
        return Wish(velocity, held)

    def orders(self) -> list[str]:
        return []
