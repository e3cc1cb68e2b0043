"""Drive: motions of axes and keys → joint velocities, through the Jacobian where they are the tool's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from irl_ros.errors import InputError
from irl_ros.sim.world import World
from irl_ros.teleop.wish import Motion

_NEAR_SINGULAR = 0.05
"""Smallest singular value of the Jacobian below which motions are damped."""
_DAMPING = 0.05
_HOMING = 3.0  # 1/s: share of the way home covered in a second, at first
_HOMING_SPEED = 0.3  # share of the velocity limits


class Drive:
    """Joint velocities of one arm.

    Args:
        world: robot and velocity limits.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._kinematics = world.robot.kinematics(dtype=torch.float64)

    def check(self, motion: Motion, where: object) -> None:
        """Refuse a motion of another robot.

        Raises:
            InputError: it has not one share for each joint.
        """
        n = self.world.robot.n
        if motion.joints and len(motion.joints) != n:
            problem = f"joints: has {len(motion.joints)} values"
            raise InputError(where, problem, f"robot {self.world.robot.name} has {n} joints")

    def velocity(self, motions: Iterable[tuple[Motion, float]], q: np.ndarray) -> np.ndarray:
        """Share of the velocity limits, [n], for motions at deflections in [-1, 1], at q, rad, [n]."""
        share, twist = np.zeros(self.world.robot.n), np.zeros(6)
        for motion, deflection in motions:
            if motion.joints:
                share += deflection * np.asarray(motion.joints)
            else:
                twist += deflection * np.asarray(motion.twist)
        if twist.any():
            share += self.share(self.through_jacobian(twist, q))
        return within(share)

    def through_jacobian(self, twist: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Joint velocities, rad/s [n], that move the tool point with `twist` [6] at q [n].

        Least squares, damped near singular poses, where an exact answer would be endlessly fast (Nakamura and
        Hanafusa 1986).
        """
        jacobian = self._kinematics.jacobian(torch.as_tensor(q, dtype=torch.float64)).numpy()
        u, s, vt = np.linalg.svd(jacobian, full_matrices=False)
        nearness = np.clip(1.0 - s[-1] / _NEAR_SINGULAR, 0.0, 1.0)
        damped = s / (s**2 + (_DAMPING * nearness) ** 2 + 1e-12)
        return vt.T @ (damped * (u.T @ twist))

    def share(self, velocity: np.ndarray) -> np.ndarray:
        """Joint velocities, rad/s [n], as a share of the limits; all smaller alike where one is above."""
        return within(self.world.action(velocity))

    def homeward(self, q: np.ndarray) -> np.ndarray:
        """Share of the velocity limits, [n], that leads home from q, rad, [n]: gently, straight in joints."""
        share = self.world.action(_HOMING * (self.world.home - q))
        return share * min(1.0, _HOMING_SPEED / max(float(np.abs(share).max()), 1e-9))


def within(share: np.ndarray) -> np.ndarray:
    """The same direction with no joint above its limit."""
    return share / max(1.0, float(np.abs(share).max()))


class Smoother:
    """Takes the corners off: what comes out follows what goes in, at most so fast, and rounded.

    Args:
        rise: s from rest to a joint's full velocity.
        settle: time constant of the rounding, s.
    """

    def __init__(self, rise: float, settle: float) -> None:
        self._rise, self._settle = rise, settle
        self.rest(1)

    def rest(self, n: int) -> None:
        """Begin again from rest, with n joints."""
        self._ramp, self._out = np.zeros(n), np.zeros(n)

    def __call__(self, wanted: np.ndarray, dt: float) -> np.ndarray:
        """The next output, [n], `dt` s after the one before."""
        if len(wanted) != len(self._ramp):
            self.rest(len(wanted))
        reach = dt / self._rise if self._rise else np.inf
        self._ramp = self._ramp + np.clip(wanted - self._ramp, -reach, reach)
        keep = np.exp(-dt / self._settle) if self._settle else 0.0
        self._out = keep * self._out + (1.0 - keep) * self._ramp
        return self._out
