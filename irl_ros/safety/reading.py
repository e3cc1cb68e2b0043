"""Joint states as they come: in any order, with other joints, and not always whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irl_ros.safety.latch import StopReason


@dataclass(frozen=True)
class JointReading:
    """A joint state as it came, in any order, other joints included.

    Attributes:
        names: joint names.
        position, velocity: rad and rad/s, one for each name.
        received: when it arrived, s, on the clock of the filter's `now`.
        stamp: when it was measured, s, on the arm's own clock; None: as `received`.
    """

    names: Sequence[str]
    position: Sequence[float]
    velocity: Sequence[float]
    received: float
    stamp: float | None = None

    @property
    def time(self) -> float:
        """When it was measured, s."""
        return self.received if self.stamp is None else self.stamp


class JointReader:
    """Picks an arm's joints, by name, out of readings.

    Args:
        joints: names in the order wanted.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        self._joints = tuple(joints)
        self._names: object = None
        self._order: np.ndarray | None = None

    def read(self, reading: JointReading) -> tuple[list[float], list[float]] | StopReason:
        """Positions and velocities, each [n] and finite, or what is wrong with the reading."""
        order = self._order_of(reading.names)
        if order is None:
            return StopReason.INCOMPLETE
        size = len(reading.names)
        position, velocity = as_vector(reading.position, size), as_vector(reading.velocity, size)
        if position is None or velocity is None:
            return StopReason.INCOMPLETE
        q, qd = position[order].tolist(), velocity[order].tolist()
        return (q, qd) if all(map(math.isfinite, q + qd)) else StopReason.NOT_FINITE

    def _order_of(self, names: object) -> np.ndarray | None:
        """Where each joint is among `names`; None where one is missing or there twice."""
        try:
            listed = list(names)  # type: ignore[call-overload]
            if listed != self._names:
                self._names = listed
                once = all(listed.count(joint) == 1 for joint in self._joints)
                self._order = np.array([listed.index(j) for j in self._joints]) if once else None
        except (
            Exception
        ):  # anything may come over a wire; whatever cannot be listed and compared names no joint
            self._names, self._order = None, None
        return self._order


def as_vector(value: object, size: int) -> np.ndarray | None:
    """`value` as float64 [size], or None where it is no such thing."""
    try:
        array = np.array(value, dtype=np.float64)
    except Exception:  # whatever numpy cannot read is no vector; nothing a caller hands in may raise here
        return None
    return array if array.shape == (size,) else None
