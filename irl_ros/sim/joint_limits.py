"""Velocity commands under a joint's limits: the rules, element by element, for any shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TOLERANCE = (
    1e-3  # of limit violations: absolute in SI units, on top of the same share of velocity and acceleration
)


@dataclass(frozen=True)
class JointLimits:
    """Limits of joints, tensors that fit those of the motion.

    Attributes:
        full: the velocity that an action of 1 asks for, rad/s (m/s for sliding joints).
        velocity, acceleration: rad/s, rad/s².
        lower, upper: rad.
        period: from one command to the next, s.
    """

    full: Tensor
    velocity: Tensor
    acceleration: Tensor
    lower: Tensor
    upper: Tensor
    period: Any

    def command(self, q: Tensor, qd: Tensor, action: Tensor) -> Tensor:
        """Velocity command, rad/s, for an action in [-1, 1]: scaled, kept within braking distance.

        After one control period towards the command and full braking from there the joint is still inside its
        limit. From any state that can be braked in time, this keeps every later state so.
        """
        wanted = action.clamp(-1.0, 1.0) * self.full
        wanted = torch.minimum(torch.maximum(wanted, -self.velocity), self.velocity)
        up = self._fastest(self.upper - q, qd)
        down = self._fastest(q - self.lower, -qd)
        return torch.minimum(torch.maximum(wanted, -down), up)

    def _fastest(self, room: Tensor, v: Tensor) -> Tensor:
        """Largest command towards a limit `room` rad away while moving towards it at v rad/s.

        A command c above v takes at most c T of the room, then c² / 2a to brake: c T + c² / 2a ≤ room. One
        below v is reached on a ramp that takes (v² - c²) / 2a + c (T - (v - c) / a), more than c T. Where not
        even braking helps the result is 0, and the ramp brakes as hard as the arm can. A joint beyond its
        limit is never sent back: at rest there, the sign of a rounding error would decide.
        """
        a, step = self.acceleration, self.acceleration * self.period
        faster = (step * step + 2 * a * room.clamp_min(0.0)).sqrt() - step
        slack = step - v
        slower = 0.5 * ((slack * slack + 4 * a * room - 2 * v * v).clamp_min(0.0).sqrt() - slack)
        return torch.where(v <= faster, faster, slower.clamp_min(0.0))

    def ramp(self, qd: Tensor, command: Tensor, time: Any) -> Tensor:
        """Velocity, rad/s, `time` s after the command: from qd towards it at the acceleration limit."""
        reach = self.acceleration * time
        return qd + torch.minimum(torch.maximum(command - qd, -reach), reach)

    def excess(self, q: Tensor, qd: Tensor, before: Tensor) -> Tensor:
        """By how much a joint is outside its position, velocity or (mean over the step) acceleration limit.

        Args:
            q, qd: joint motion at the end of a control step.
            before: joint velocity at its beginning, rad/s.

        Returns:
            The largest excess, in SI units; up to TOLERANCE it does not count.
        """
        outside = torch.maximum(self.lower - q, q - self.upper)
        too_fast = abs(qd) - self.velocity * (1 + TOLERANCE)
        too_hard = abs(qd - before) / self.period - self.acceleration * (1 + TOLERANCE)
        return torch.maximum(torch.maximum(outside, too_fast), too_hard)
