"""Settings of the safety filter."""

from __future__ import annotations

from dataclasses import dataclass

from irl_ros.settings import at_least


@dataclass(frozen=True)
class SafetySettings:
    period: float | None = None
    """Planned time between commands, s; None: the world's control period."""
    lateness: float = 0.25
    """How much later than planned every command may come, as a share of the period, with all guarantees."""
    max_age: float = 0.1
    """Oldest joint state to act on, and longest time between two commands of a motion, s."""
    deadman: float = 0.0
    """Longest time between signs that the deadman is held, s; 0: none is needed."""
    tracking: float = 0.1
    """Farthest a joint may be from where it was commanded to be, rad."""
    still: float = 0.05
    """A joint slower than this rests, rad/s; motion begins from rest."""
    lag: float | None = None
    """How much later than commanded the arm may move, s; None: a period, enough where it ramps to each."""
    ramp: float = 0.0
    """Time over which the velocity limit rises from zero after enabling, s."""
    jerk: tuple[float, ...] | float | None = None
    """Jerk limits, rad/s³; None: the robot's."""
    interface: str = "velocity"
    """What the arm takes: `velocity`, which goes on until the next command and drifts in position (so joints
    at rest take their commanded position from the measured one), or `position`, which does neither."""

    def __post_init__(self) -> None:
        if self.interface not in ("velocity", "position"):
            raise ValueError(f"interface: expected velocity or position, found '{self.interface}'")
        at_least(self, 0.0, "lateness", "deadman", "ramp")
        for name in ("max_age", "tracking", "still"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be positive, found {getattr(self, name)}")
        for name in ("period", "lag"):
            value = getattr(self, name)
            if value is not None and not (value > 0 if name == "period" else value >= 0):
                raise ValueError(f"{name}: must be positive, found {value}")
