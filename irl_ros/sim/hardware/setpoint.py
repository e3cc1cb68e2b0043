"""What a controller writes to the command interfaces of an arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Setpoint:
    """Wanted joint motion at the end of an update.

    Attributes:
        position: rad, [n]; None where only velocities are commanded.
        velocity: rad/s, [n].
    """

    position: np.ndarray | None
    velocity: np.ndarray
