"""The formulas of a throw's control step, named like the compiled code's registers, to be traced.

Each takes and returns lists of numbers, one a throw: its parameters are the registers that are read, its keys
those that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from irl_ros.robots.kinematics import Kinematics
from irl_ros.sim.arm_step import ArmStep, Load
from irl_ros.sim.flight_step import FlightStep, touches
from irl_ros.sim.joint_limits import TOLERANCE, JointLimits
from irl_ros.sim.state_vector import MISS


class ThrowFormulas:
    """Of one arm.

    Args:
        kinematics: of the tool.
        step: of the arm's motion.
    """

    def __init__(self, kinematics: Kinematics, step: ArmStep) -> None:
        self.kinematics, self.step, self.n = kinematics, step, step.dynamics.n

    def plan(self, q: Any, qd: Any, action: Any, **limits: Any) -> dict[str, Any]:
        joints = _joints(self.n, **limits)
        return {"command": [j.command(*m) for j, *m in zip(joints, q, qd, action[:-1], strict=True)]}

    def turns(self, q: Any) -> dict[str, Any]:
        turns = self.step.dynamics.turns(q)
        return {"sine": [0.0 if t is None else t[0] for t in turns]} | {
            "cosine": [1.0 if t is None else t[1] for t in turns]
        }

    def turned(self, q: Any, aim: Any, h: Any) -> dict[str, Any]:
        """Sines and cosines after a physics step."""
        return self.turns([p + h[0] * v for p, v in zip(q, aim, strict=True)])

    @staticmethod
    def turned_on(aim: Any, h: Any, sine: Any, cosine: Any) -> dict[str, Any]:
        """As `turned`, by the angle of the step: enough for float32, as each control step begins anew."""
        found: dict[str, Any] = {"sine": [], "cosine": []}
        for v, s, c in zip(aim, sine, cosine, strict=True):
            angle = h[0] * v
            square = angle * angle
            sin = angle + angle * square * (square * (1 / 120) - 1 / 6)
            less = square * (0.5 - square * (1 / 24 - square * (1 / 720)))  # 1 − cosine
            found["sine"].append(s + (c * sin - s * less))
            found["cosine"].append(c - (s * sin + c * less))
        return found

    def pairs(self, sine: Any, cosine: Any) -> list[Any]:
        links = self.step.dynamics.links
        return [None if x.slides else (s, c) for x, s, c in zip(links, sine, cosine, strict=True)]

    def _aim(self, start: Any, command: Any, acceleration: Any, now: Any) -> list[Any]:
        """Velocities that a physics step should end with."""
        joints = _joints(self.n, acceleration=acceleration)
        return [j.ramp(v, c, now[0]) for j, v, c in zip(joints, start, command, strict=True)]

    def servo(
        self,
        q: Any,
        qd: Any,
        start: Any,
        command: Any,
        acceleration: Any,
        now: Any,
        sine: Any,
        cosine: Any,
        **load: Any,
    ) -> dict[str, Any]:
        aim = self._aim(start, command, acceleration, now)
        numbers = _load_of(**load)
        torque = self.step.servo(q, qd, aim, numbers, self.pairs(sine, cosine))
        return {"aim": aim, "torque": torque, "concern": [self.step.concern(q, torque, numbers)]}

    def driven(
        self,
        q: Any,
        qd: Any,
        start: Any,
        command: Any,
        acceleration: Any,
        now: Any,
        payload: Any,
        gravity: Any,
        rate: Any,
        sine: Any,
        cosine: Any,
    ) -> dict[str, Any]:
        """`servo` without a look at what might keep the arm from it."""
        aim = self._aim(start, command, acceleration, now)
        wanted = [(a - v) * rate[0] for a, v in zip(aim, qd, strict=True)]
        turns = self.pairs(sine, cosine)
        torque = self.step.dynamics.torque_of(q, qd, wanted, payload[0], gravity[0], turns)
        return {"aim": aim, "torque": torque}

    def yielding(self, q: Any, aim: Any, torque: Any, sine: Any, cosine: Any, **load: Any) -> dict[str, Any]:
        numbers, step = _load_of(**load), self.step
        weak = step.weak(torque, numbers)
        mass, impulse, velocity, beyond = step.yielding(q, aim, torque, numbers, self.pairs(sine, cosine))
        return {
            "mass": [x for row in mass for x in row],
            "impulse": impulse,
            "velocity_now": velocity,
            "beyond": [_number(beyond)],
            "weak": [_number(weak)],
            "trouble": [_number(weak | step.kept(q, aim, numbers))],
        }

    def stopped(
        self, q: Any, aim: Any, mass: Any, impulse: Any, velocity_now: Any, beyond: Any, **load: Any
    ) -> dict[str, Any]:
        rows = [mass[i : i + self.n] for i in range(0, self.n**2, self.n)]
        velocity = self.step.stopped(q, aim, rows, impulse, velocity_now, _load_of(**load))
        found = zip(velocity, velocity_now, strict=True)
        return {"velocity_now": [torch.where(beyond[0] > 0.5, v, w) for v, w in found]}

    def finish(
        self, q: Any, qd: Any, start: Any, violated: Any, sine: Any, cosine: Any, **limits: Any
    ) -> dict[str, Any]:
        tool, velocity = self.kinematics.tool_motion_of(q, qd, self.pairs(sine, cosine))
        excess = [j.excess(*m) for j, *m in zip(_joints(self.n, **limits), q, qd, start, strict=True)]
        worst = excess[0]
        for x in excess[1:]:
            worst = torch.maximum(worst, x)
        return {
            "tool": tool,
            "tool_velocity": velocity,
            "violated": [violated[0] + _number(worst > TOLERANCE)],
        }

    @staticmethod
    def fall(ball: Any, speed: Any, target: Any, gravity: Any, h: Any, physics: Any) -> dict[str, Any]:
        k = FlightStep(gravity[0], 0.0, h[0]).fall(ball, speed, target[2])
        return {"k": [torch.minimum(k, physics[0])], "down": [_number(k <= physics[0])]}

    @staticmethod
    def touched_at(
        ball: Any,
        speed: Any,
        target: Any,
        gravity: Any,
        h: Any,
        k: Any,
        at: Any,
        down: Any,
        rim: Any,
        radius: Any,
    ) -> dict[str, Any]:
        place, _ = FlightStep(gravity[0], 0.0, h[0]).after(ball, speed, at[0])
        touched = (at[0] <= k[0]) & touches(place, target, rim[0], radius[0])
        return {"k": [torch.where(touched, at[0], k[0])], "down": [torch.where(touched, 1.0, down[0])]}

    @staticmethod
    def after(ball: Any, speed: Any, k: Any, gravity: Any, h: Any) -> dict[str, Any]:
        moved, moved_speed = FlightStep(gravity[0], 0.0, h[0]).after(ball, speed, k[0])
        return {"moved": moved, "moved_speed": moved_speed}

    @staticmethod
    def through_air(
        moved: Any, moved_speed: Any, down: Any, target: Any, gravity: Any, drag: Any, h: Any
    ) -> dict[str, Any]:
        step = FlightStep(gravity[0], drag[0], h[0])
        place, speed, landed = step.through_air(moved, moved_speed, down[0] > 0.5, target[2])
        return {"moved": place, "moved_speed": speed, "down": [_number(landed)]}

    @staticmethod
    def touched(moved: Any, target: Any, rim: Any, radius: Any, down: Any) -> dict[str, Any]:
        touched = touches(moved, target, rim[0], radius[0])
        return {"down": [torch.where(touched, 1.0, down[0])]}

    @staticmethod
    def miss(
        in_air: bool, ball: Any, speed: Any, target: Any, h: Any, seen_gravity: Any, seen_drag: Any
    ) -> dict[str, Any]:
        step = FlightStep(seen_gravity[0], seen_drag[0], h[0])
        _, place = step.foreseen(ball, speed, target[2], in_air)
        return {"miss": [(p - x).clamp(-MISS, MISS) for p, x in zip(place[:2], target[:2], strict=True)]}

    @staticmethod
    def seen(
        q: Any,
        qd: Any,
        target: Any,
        ball: Any,
        speed: Any,
        miss: Any,
        held: Any,
        landed: Any,
        t: Any,
        mean: Any,
        sharpness: Any,
        share: Any,
    ) -> dict[str, Any]:
        speeds = [v * x for v, x in zip(qd, share, strict=True)]
        raw = [*q, *speeds, *target, *ball, *speed, *miss[:2], *held, *landed, *t]
        scaled = zip(raw, mean, sharpness, strict=True)
        return {"seen_now": [((x - m) * s).clamp(-6.0, 6.0) for x, m, s in scaled]}


def _joints(n: int, period: Any = None, **limits: Sequence[Any]) -> list[JointLimits]:
    """The rules of each joint, of the limits that are needed."""
    names = ("full", "velocity", "acceleration", "lower", "upper")

    def given(j: int) -> dict[str, Any]:
        return {name: limits[name][j] if name in limits else None for name in names}

    return [JointLimits(**given(j), period=period[0] if period else None) for j in range(n)]


def _load_of(
    effort: Any, locked: Any, least: Any, most: Any, payload: Any, gravity: Any, h: Any, rate: Any
) -> Load:
    return Load(effort, locked, least, most, payload[0], gravity[0], h[0], rate[0], 0.0)


def _number(condition: Any) -> Any:
    return torch.where(condition, 1.0, 0.0)
