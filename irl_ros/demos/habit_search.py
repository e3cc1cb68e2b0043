"""Search for a habit: the cross-entropy method on closed-form swings in the plane of the home pose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from irl_ros.demos.swing import PEAK_ACCELERATION, PEAK_SPEED, Swing
from irl_ros.sim import World
from irl_ros.sim.reference import Flight

USABLE_SPEED, USABLE_ACCELERATION = 0.9, 0.9
"""Share of the joint limits a good throw stays within where it can."""
LANDED_BY = 0.95
"""Onset to landing, s, in a horizon of 1.2 s: room for a late release and some rest on both sides."""
ROOM = 0.25
"""The same room, s, in a shorter horizon."""
FLIGHT = (0.25, 0.52)
"""How long the ball likes to fly, s."""
CLEARANCE = 0.12
"""How far the tool keeps from the target plane and from the base's axis, m."""


class HabitSearch:
    """Looks for one family of swings that reaches a whole ring of targets.

    A candidate is a row of numbers: for each of the k swing joints the amplitude of approach and thrust, in
    the nearest and in the furthest throw, then five times (`_timing`). It is judged by its throws at the near
    end, the middle and the far end of the ring.

    Args:
        world: arm, limits, targets.
        elevation: wanted elevation of the ball's velocity at release, rad, from and to.
        tempo: 1 releases about 0.6 s after onset; higher is quicker.
        radii: of the nearest and the furthest target, m.
        seed: of the candidates.
        whole_arm: swing with every joint, not only with those that stay in the vertical plane.
    """

    candidates, elite, rounds = 320, 32, 50

    def __init__(
        self,
        world: World,
        elevation: tuple[float, float],
        tempo: float,
        radii: tuple[float, float],
        seed: int,
        whole_arm: bool,
    ) -> None:
        def constant(x: Sequence[float] | np.ndarray) -> Tensor:
            return torch.as_tensor(x, dtype=torch.float32)

        self.world, self.elevation, self.tempo = world, elevation, tempo
        self.kinematics, self.flight = world.robot.kinematics(), Flight(world)
        self.generator = torch.Generator().manual_seed(seed)
        self.home, self.velocity, self.acceleration = map(
            constant, (world.home, world.velocity, world.acceleration)
        )
        self.lower, self.upper = constant(world.robot.lower) + 0.05, constant(world.robot.upper) - 0.05
        self.radii = constant((radii[0], sum(radii) / 2, radii[1]))
        self.landed_by = min(LANDED_BY, world.horizon * world.dt - ROOM)
        self._ticks = (torch.arange(round(1.1 / world.dt)) + 0.5) * world.dt
        self._choose_joints(whole_arm)

    def _choose_joints(self, whole_arm: bool) -> None:
        """The joints that swing (about an axis across the throw; rails: along it) and the one that turns."""
        axes = self.kinematics.frames(self.home)[0][..., 2]
        tool = self.kinematics.tool_position(self.home)
        arc = self.world.settings.target.azimuth
        azimuth = torch.atan2(tool[1], tool[0]) if tool[:2].norm() > 0.02 else torch.tensor(sum(arc) / 2)
        if torch.cos(azimuth - sum(arc) / 2) < 0:  # wound up behind its base, an arm throws over it
            azimuth = azimuth + math.pi
        self.forward = torch.stack((azimuth.cos(), azimuth.sin()))
        sideways = torch.tensor([-azimuth.sin(), azimuth.cos(), 0.0])
        free = self.velocity > 0
        slides = torch.tensor(self.kinematics.prismatic)
        vertical = free & (axes[:, 2].abs() > 0.95) & ~slides
        self.turn = torch.zeros_like(self.home)
        if vertical.any():
            first = int(vertical.nonzero()[0])
            self.turn[first] = axes[first, 2].sign()
        across = (axes @ sideways).abs()
        in_plane = free & torch.where(slides, across < 0.05, across > 0.95)
        swinging = free & (self.turn == 0) if whole_arm or not in_plane.any() else in_plane
        self.joints = swinging.nonzero()[:, 0]
        self.turn_time = self._turn_time(
            max(abs(math.remainder(a - float(azimuth), 2 * math.pi)) for a in arc)
        )

    def _turn_time(self, furthest: float) -> float:
        turning = self.turn != 0
        if not turning.any():
            return 1.0
        speed = USABLE_SPEED * float(self.velocity[turning])
        push = USABLE_ACCELERATION * float(self.acceleration[turning])
        quickest = max(PEAK_SPEED * furthest / speed, math.sqrt(PEAK_ACCELERATION * furthest / push))
        # turned before the ball goes, unless the turn is so long that the throw must come out of it
        return min(max(0.40 / self.tempo, quickest), 0.75)

    def run(self) -> tuple[Tensor, Tensor]:
        """The best candidate and its cost."""
        k = len(self.joints)
        span = 0.35 * self.velocity[self.joints] / PEAK_SPEED  # covered in a third of a second
        middle = torch.full((5,), 0.5)
        mean = torch.cat((torch.zeros(4 * k), middle))
        spread = torch.cat((0.7 * span, 2.0 * span, 0.7 * span, 2.0 * span, 0.5 * middle))
        least = torch.cat((0.02 * span.repeat(4), 0.02 * middle))
        best, best_cost = mean, torch.tensor(math.inf)
        for _ in range(self.rounds):
            noise = torch.randn(self.candidates, len(mean), generator=self.generator)
            rows = mean + spread * noise
            rows[:, 4 * k :].clamp_(0.0, 1.0)
            cost = self.cost(rows)
            order = cost.argsort()[: self.elite]
            chosen = rows[order]
            if cost[order[0]] < best_cost:
                best, best_cost = chosen[0], cost[order[0]]
            mean = 0.2 * mean + 0.8 * chosen.mean(0)
            spread = 0.3 * spread + 0.7 * torch.maximum(chosen.std(0), least)
        return best, best_cost

    def swings(self, rows: Tensor, strength: Tensor) -> Swing:
        """Swings [..., 3, n] of candidates [..., 4k + 5] at strengths [...], in the home plane (no turn)."""
        k = len(self.joints)
        near, far = (rows[..., i : i + 2 * k].unflatten(-1, (2, k)) for i in (0, 2 * k))
        amplitude = torch.zeros(*strength.shape, 3, len(self.home))
        start, duration = torch.zeros_like(amplitude), torch.full_like(amplitude, self.turn_time)
        amplitude[..., :2, self.joints] = near + strength[..., None, None] * (far - near)
        first, begin, length, lag, release = (x[..., None] for x in self._timing(rows[..., 4 * k :]))
        # from shoulder to wrist: each joint begins its thrust a little after the one before it
        start[..., 1, self.joints] = begin + lag * torch.arange(k) / max(k - 1, 1)
        duration[..., 1, self.joints] = (length - lag).expand_as(amplitude[..., 1, self.joints])
        duration[..., 0, self.joints] = first.expand_as(amplitude[..., 0, self.joints])
        return Swing(self.home, amplitude, start, duration, release[..., 0])

    def _timing(self, unit: Tensor) -> tuple[Tensor, ...]:
        """Length of the approach, begin and length of the thrust, lag along the arm, release; s, [...]."""
        first, begin, length, lag, share = unit.unbind(-1)
        begin = (0.08 + 0.24 * begin) / self.tempo
        length = (0.48 + 0.20 * length) / self.tempo
        # released on a tick of the control clock when the swing begins on one
        release = ((begin + (0.35 + 0.30 * share) * length) / self.world.dt).round() * self.world.dt
        return (0.35 + 0.25 * first) / self.tempo, begin, length, 0.06 * lag / self.tempo, release

    def cost(self, rows: Tensor) -> Tensor:
        """How bad candidates [N, 4k + 5] are, [N]: misses, strain, awkwardness, intolerance."""
        count = rows.shape[0]
        strength = torch.tensor([0.0, 0.5, 1.0]).expand(count, 3)
        swing = self.swings(rows[:, None].expand(count, 3, -1), strength)
        q, qd = self._motion(swing)
        now = (swing.release / self.world.dt).round().long()
        landing, fly, velocity = self._thrown(q, qd, now)
        ahead = landing @ self.forward
        aside = (landing - ahead[..., None] * self.forward).norm(dim=-1)
        miss = (ahead - self.radii).square() * torch.tensor([1.0, 0.25, 1.0]) + aside.square()
        cost = 8000 * miss.sum(-1)
        elevation = torch.atan2(velocity[..., 2], velocity[..., :2] @ self.forward)
        cost += (20 * _outside(elevation, *self.elevation)).square().sum(-1)
        cost += (30 * _outside(fly, *FLIGHT)).square().sum(-1)
        cost += (60 * _over(swing.release + fly - self.landed_by)).square().sum(-1)
        # people settle on throws that forgive a badly timed release
        apart = self._thrown(q, qd, now + 1)[0] - self._thrown(q, qd, now - 1)[0]
        cost += (15 * apart.norm(dim=-1)).square().sum(-1)
        near, far = rows[:, : 2 * len(self.joints)], rows[:, 2 * len(self.joints) : 4 * len(self.joints)]
        effort = 0.3 * (near.square() + far.square()).sum(-1) + (far - near).square().sum(-1)
        # where the tool is and how fast, every fourth tick
        place, motion = self.kinematics.tool_motion(q[..., ::4, :], qd[..., ::4, :])
        return cost + self._strain(q, qd, place) + self._slowing(motion, velocity) + effort

    def _motion(self, swing: Swing) -> tuple[Tensor, Tensor]:
        """Joint positions and velocities at the ticks, [N, 3, K, n]: a stick ends at the velocity limit."""
        amplitude, start, duration = (
            x[..., self.joints] for x in (swing.amplitude, swing.start, swing.duration)
        )
        moving = Swing(swing.home, amplitude, start, duration, swing.release)
        qd = torch.zeros(*swing.release.shape, len(self._ticks), len(self.home))
        qd[..., self.joints] = moving.velocities(self._ticks)
        qd = torch.minimum(torch.maximum(qd, -self.velocity), self.velocity)
        still = torch.zeros_like(qd[..., :1, :])
        qd = torch.cat((still, qd), -2)  # at a tick the arm has been through the commands of those before it
        return self.home + qd.cumsum(-2) * self.world.dt, qd

    def _thrown(self, q: Tensor, qd: Tensor, tick: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Released at a tick [...]: landing m [..., 2], flight s [...], the ball's velocity m/s [..., 3]."""
        index = tick[..., None, None].expand(*tick.shape, 1, q.shape[-1])
        here, moving = (x.gather(-2, index)[..., 0, :] for x in (q, qd))
        position, velocity = self.kinematics.tool_motion(here, moving)
        height = torch.full(tick.shape, self.world.settings.target.height)
        k = self.flight.steps_to_plane(position, velocity, height)
        landing = self.flight.predicted_landing(position, velocity, height)
        return landing, k * self.flight.h, velocity

    def _strain(self, q: Tensor, qd: Tensor, tool: Tensor) -> Tensor:
        """What the joints' limits say, and floor and base, off which the tool is kept, [N]."""
        speed = _over(qd.abs() / self.velocity.clamp_min(1e-6) - USABLE_SPEED).amax(-2)
        push = qd.diff(dim=-2).abs() / self.world.dt / self.acceleration
        push = _over(push - USABLE_ACCELERATION).amax(-2)
        travel = (_over(q - self.upper) + _over(self.lower - q)).amax(-2)
        above = tool[..., 2] - self.world.settings.target.height
        close = (_over(CLEARANCE - above) + _over(CLEARANCE - tool[..., :2].norm(dim=-1))).amax(-1)
        joints = 20 * speed.square() + 400 * push.square() + 4000 * travel.square()
        return joints.sum((-1, -2)) + 4000 * close.square().sum(-1)

    @staticmethod
    def _slowing(motion: Tensor, velocity: Tensor) -> Tensor:
        """Releases long after the tool was fastest look like dropping, not throwing, [N]."""
        fastest = motion.norm(dim=-1).amax(-1)
        lost = 1.0 - velocity.norm(dim=-1) / fastest.clamp_min(1e-6)
        return (10 * _over(lost - 0.1)).square().sum(-1)


def _over(x: Tensor) -> Tensor:
    return x.clamp_min(0.0)


def _outside(x: Tensor, low: float, high: float) -> Tensor:
    return _over(low - x) + _over(x - high)
