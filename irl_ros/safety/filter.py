"""The filter every command passes on its way to an arm. Pure: no ROS, no clock of its own."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from irl_ros.sim.reference import Reference
from irl_ros.sim.world import World


class HoldReason(str, enum.Enum):
    """Why the filter holds the arm instead of passing a command on."""

    NO_STATE = "no joint state yet"
    STALE = "joint state is stale"
    INCOMPLETE = "joint state lacks a joint, its position or its velocity"
    NOT_FINITE = "joint state is not finite"
    BAD_ACTION = "action has the wrong shape or is not finite"
    DISABLED = "not enabled"


@dataclass(frozen=True)
class JointReading:
    """A joint state as it came, in any order, other joints included.

    Attributes:
        names: joint names.
        position, velocity: rad and rad/s, one for each name.
        received: when it arrived, s, on the clock of the filter's `now`.
    """

    names: Sequence[str]
    position: Sequence[float]
    velocity: Sequence[float]
    received: float


@dataclass(frozen=True)
class Decision:
    """What may be sent to the arm.

    Attributes:
        velocity: joint velocity command, rad/s, [n].
        release: open the gripper.
        action: the same as an action in [-1, 1], [n + 1].
        hold: why the arm is being brought to rest, or None where the command passed.
    """

    velocity: np.ndarray
    release: bool
    action: np.ndarray
    hold: HoldReason | None


class SafetyFilter:
    """Passes an action as far as limits allow; brings the arm to rest where its state cannot be trusted.

    Limits are those of `Reference`, the rule the worlds themselves obey, so a legal throw passes unchanged:
    position with braking distance, velocity, and acceleration against the last command (at first the measured
    velocity). Holding means slowing down at the acceleration limit, which ends inside the position limits
    because no command ever leaves less than its braking distance. The gripper never opens while holding.

    Args:
        world: limits, control period and joint names.
        max_age: oldest joint state to act on, s.
    """

    def __init__(self, world: World, max_age: float = 0.1) -> None:
        self.world, self.max_age = world, max_age
        self._reference = Reference(world, "cpu", torch.float64)
        self._reach = world.acceleration * world.dt
        self.reset()

    def reset(self) -> None:
        """Forget the last command: the next one starts from the measured velocity."""
        self._last: np.ndarray | None = None

    def __call__(self, action: object, reading: JointReading | None, now: float) -> Decision:
        """The command to send for `action` ([n + 1] in [-1, 1]) at time `now`, s.

        Whatever comes in, what goes out is finite and inside the velocity and acceleration limits.
        """
        measured = self._measured(reading, now)
        if isinstance(measured, HoldReason):
            return self.hold(measured)
        wanted = _as_vector(action, self.world.action_dim)
        if wanted is None or not np.isfinite(wanted).all():
            return self.hold(HoldReason.BAD_ACTION)
        q, qd = measured
        if self._last is None:
            self._last = np.clip(qd, -self.world.velocity, self.world.velocity)
        command = self._reference.command(
            torch.from_numpy(q), torch.from_numpy(self._last), torch.from_numpy(wanted[:-1])
        ).numpy()
        return self._send(command, bool(wanted[-1] > 0.0), None)

    def hold(self, reason: HoldReason = HoldReason.DISABLED) -> Decision:
        """The next command on the way to rest."""
        return self._send(np.zeros(self.world.robot.n), False, reason)

    @property
    def at_rest(self) -> bool:
        """The last command was zero, or there was none."""
        return self._last is None or not self._last.any()

    def _send(self, wanted: np.ndarray, release: bool, hold: HoldReason | None) -> Decision:
        last = np.zeros_like(wanted) if self._last is None else self._last
        # the limit on the change goes last: a joint found too fast for where it is brakes as hard as it may
        self._last = last + np.clip(wanted - last, -self._reach, self._reach)
        limit = self.world.velocity
        share = np.divide(self._last, limit, out=np.zeros_like(limit), where=limit > 0)
        return Decision(self._last.copy(), release, np.append(share, 1.0 if release else -1.0), hold)

    def _measured(
        self, reading: JointReading | None, now: float
    ) -> tuple[np.ndarray, np.ndarray] | HoldReason:
        """Joint positions and velocities in the robot's order, each [n], or why they cannot be trusted."""
        if reading is None:
            return HoldReason.NO_STATE
        # written so that a NaN age is stale; a state from the future has a clock nobody should trust
        if not -self.max_age <= now - reading.received <= self.max_age:
            return HoldReason.STALE
        names = list(reading.names)
        position = _as_vector(reading.position, len(names))
        velocity = _as_vector(reading.velocity, len(names))
        if position is None or velocity is None or not set(self.world.robot.joints) <= set(names):
            return HoldReason.INCOMPLETE
        order = [names.index(joint) for joint in self.world.robot.joints]
        q, qd = position[order], velocity[order]
        return (q, qd) if np.isfinite(q).all() and np.isfinite(qd).all() else HoldReason.NOT_FINITE


def _as_vector(value: object, size: int) -> np.ndarray | None:
    """`value` as float64 [size], or None where it is no such thing."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.shape == (size,) else None
