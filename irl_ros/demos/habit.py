"""A person's way of throwing with one arm in one world: the habit, found once and used for every target.

A practised person has one throw and varies its strength and direction. So a habit is one family of swings, smooth in
the target's radius and azimuth: found by the cross-entropy method on closed-form swings, then made exact on a grid of
targets in the batched world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from irl_ros.demos.swing import PEAK_ACCELERATION, PEAK_SPEED, Swing
from irl_ros.errors import InputError
from irl_ros.sim import BatchWorld, State, World
from irl_ros.sim.reference import Flight

STYLES = {"natural": (-0.4, 1.0), "underhand": (0.35, 1.1), "overhand": (-0.9, 0.05)}
"""Elevation of the ball's velocity at release that a style wants, rad [from, to]."""

LANDED_BY = 0.95
"""Onset to landing, s: with a late release it still fits into the default horizon."""
GOOD_ENOUGH = 0.08
"""Landing error, m, up to which a habit is taken: the far end of a ring may ask for more than the arm has."""
REACH = 0.03
"""Strengths are found this far, m, past both ends of the target ring: people aim a little off."""
SWAY = 0.1
"""Directions are found this far, rad, past both ends of the target arc."""
USABLE_SPEED, USABLE_ACCELERATION = 0.9, 0.9
"""Share of the joint limits a good throw likes to stay within; the rest is for variation and for the servo's torque."""
FEEDBACK_LEAD = 0.5
"""Velocities are commanded half a control period ahead: a command holds for a whole one."""


@dataclass(frozen=True)
class Habit:
    """One family of swings over a world's targets.

    Attributes:
        home: rad, [n].
        approach: amplitudes of the movement that comes first, rad, [n]; a back-swing where it goes backwards.
        near, far: amplitudes of the thrust for strength 0 and 1, rad, [n]; strengths between are interpolated.
        turn: unit vector of the joint that turns towards the target, [n]; zeros if no joint can.
        start, duration: of approach, thrust and turn, s, [3, n].
        release: when the hand opens, s.
        radii, azimuths: grid of targets, m [R] and rad [A], ascending.
        strength, direction: solved on the grid, 1 and rad, [R, A].
        worst_miss: largest landing error on the grid, m.
    """

    home: Tensor
    approach: Tensor
    near: Tensor
    far: Tensor
    turn: Tensor
    start: Tensor
    duration: Tensor
    release: float
    radii: Tensor
    azimuths: Tensor
    strength: Tensor
    direction: Tensor
    worst_miss: float

    def swing(self, strength: Tensor, direction: Tensor) -> Swing:
        """Swings of leading shape [...] for strengths (1) and directions (rad) of that shape."""
        s = strength[..., None]
        thrust = (1 - s) * self.near + s * self.far
        amplitude = torch.stack(
            (self.approach.expand_as(thrust), thrust, self.turn * direction[..., None]), -2
        )
        shape = amplitude.shape
        release = torch.full_like(strength, self.release)
        return Swing(self.home, amplitude, self.start.expand(shape), self.duration.expand(shape), release)

    def aimed(self, target: Tensor) -> Swing:
        """The swings that land on targets [..., 3] (m); beyond the grid, on the nearest place of it."""
        radius, azimuth = target[..., :2].norm(dim=-1), torch.atan2(target[..., 1], target[..., 0])
        i, x = _between(self.radii, radius)
        j, y = _between(self.azimuths, azimuth)

        def at(grid: Tensor) -> Tensor:
            low = (1 - y) * grid[i, j] + y * grid[i, j + 1]
            return (1 - x) * low + x * ((1 - y) * grid[i + 1, j] + y * grid[i + 1, j + 1])

        return self.swing(at(self.strength), at(self.direction))


def _between(grid: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    i = (torch.searchsorted(grid, value.contiguous()) - 1).clamp(0, len(grid) - 2)
    return i, ((value - grid[i]) / (grid[i + 1] - grid[i])).clamp(0.0, 1.0)


def find_habit(world: World, style: str = "natural", tempo: float = 1.0, seed: int = 0) -> Habit:
    """A person's habit in a world. Takes a few seconds the first time; the same arguments give the same habit.

    Args:
        world: arm, limits and targets.
        style: one of STYLES.
        tempo: 1 for about 0.45 s from onset to release; higher is quicker.
        seed: which person.

    Raises:
        InputError: the arm cannot throw onto this world's targets.
    """
    return _found(_WorldKey(world), style, tempo, seed)


class _WorldKey:
    """A world that hashes by its content, so that equal worlds share their habits."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __hash__(self) -> int:
        return hash(self.world.sha256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WorldKey) and self.world.sha256 == other.world.sha256


@lru_cache(maxsize=64)
def _found(key: _WorldKey, style: str, tempo: float, seed: int) -> Habit:
    with torch.no_grad():
        best, worst = None, math.inf
        for whole_arm in (False, True):  # the swing stays in the vertical plane if it can
            habit = _solve_grid(key.world, _Search(key.world, style, tempo, seed, whole_arm).run())
            if habit.worst_miss < worst:
                best, worst = habit, habit.worst_miss
            if worst < GOOD_ENOUGH:
                return habit
    if best is None or worst > 0.15:
        radius = key.world.settings.target.radius
        raise InputError(
            f"world {key.world.name}",
            f"the synthetic operator finds no {style} throw of robot {key.world.robot.name} onto targets at {radius} m",
            "move the targets, or give the arm more speed",
        )
    return best


class _Search:
    """Cross-entropy search for a habit, on closed-form swings in the plane of the home pose.

    A candidate is a row of numbers: approach amplitude, near and far thrust amplitude of each swing joint, then
    five times (`_timing`).
    """

    candidates, elite, rounds = 320, 32, 50

    def __init__(self, world: World, style: str, tempo: float, seed: int, whole_arm: bool) -> None:
        self.world, self.tempo, self.elevation = world, tempo, STYLES[style]
        self.kinematics = world.robot.kinematics()
        self.flight = Flight(world)
        self.generator = torch.Generator().manual_seed(seed)
        self.home = torch.as_tensor(world.home, dtype=torch.float32)
        self.velocity = torch.as_tensor(world.velocity, dtype=torch.float32)
        self.acceleration = torch.as_tensor(world.acceleration, dtype=torch.float32)
        self.lower = torch.as_tensor(world.robot.lower, dtype=torch.float32) + 0.05
        self.upper = torch.as_tensor(world.robot.upper, dtype=torch.float32) - 0.05
        self._choose_joints(whole_arm)
        self.times = (torch.arange(round(1.1 / world.dt)) + FEEDBACK_LEAD) * world.dt
        r0, r1 = world.settings.target.radius
        self.radii = torch.tensor([r0 - REACH, (r0 + r1) / 2, r1 + REACH])

    def _choose_joints(self, whole_arm: bool) -> None:
        rotations, _ = self.kinematics.frames(self.home)
        axes = rotations[..., 2]
        tool = self.kinematics.tool_position(self.home)
        target = self.world.settings.target
        middle = torch.tensor(sum(target.azimuth) / 2)
        azimuth = torch.atan2(tool[1], tool[0]) if tool[:2].norm() > 0.02 else middle
        self.forward = torch.stack((azimuth.cos(), azimuth.sin()))
        sideways = torch.tensor([-azimuth.sin(), azimuth.cos(), 0.0])
        free = self.velocity > 0
        vertical = free & (axes[:, 2].abs() > 0.95) & ~torch.tensor(self.kinematics.prismatic)
        self.turn = torch.zeros_like(self.home)
        if vertical.any():  # the first one is the base
            first = int(vertical.nonzero()[0])
            self.turn[first] = axes[first, 2].sign()
        in_plane = free & ((axes @ sideways).abs() > 0.95)
        joints = free & (self.turn == 0) if whole_arm or not in_plane.any() else in_plane
        self.joints = joints.nonzero()[:, 0]
        furthest = max(abs(a - float(azimuth)) for a in target.azimuth) if vertical.any() else 0.0
        turning = self.turn != 0
        speed = (self.velocity[turning] * USABLE_SPEED).sum().clamp_min(1e-6)
        push = (self.acceleration[turning] * USABLE_ACCELERATION).sum().clamp_min(1e-6)
        quickest = max(
            float(PEAK_SPEED * furthest / speed), math.sqrt(PEAK_ACCELERATION * furthest / float(push))
        )
        # turning first, then throwing, unless the turn is so long that the throw must come out of it
        self.turn_time = min(max(0.40 / self.tempo, quickest), 0.75)

    def run(self) -> Habit:
        """The best habit found, without its grid."""
        k = len(self.joints)
        # amplitudes a joint can cover in a swing of half a second
        span = 0.35 * self.velocity[self.joints] / PEAK_SPEED
        mean = torch.cat((torch.zeros(3 * k), torch.full((5,), 0.5)))
        spread = torch.cat((0.7 * span, 2.0 * span, 2.0 * span, torch.full((5,), 0.25)))
        least = torch.cat((0.02 * span.repeat(3), torch.full((5,), 0.01)))
        best_cost, best = math.inf, mean
        for _ in range(self.rounds):
            rows = mean + spread * torch.randn(self.candidates, 3 * k + 5, generator=self.generator)
            rows[:, 3 * k :].clamp_(0.0, 1.0)
            cost = self.cost(rows)
            order = cost.argsort()[: self.elite]
            chosen = rows[order]
            if cost[order[0]] < best_cost:
                best_cost, best = float(cost[order[0]]), rows[order[0]]
            mean = 0.2 * mean + 0.8 * chosen.mean(0)
            spread = 0.3 * spread + 0.7 * torch.maximum(chosen.std(0), least)
        return self.habit(best)

    def habit(self, row: Tensor) -> Habit:
        k = len(self.joints)

        def joints(values: Tensor) -> Tensor:
            return torch.zeros_like(self.home).index_put((self.joints,), values)

        swing = self.swings(row[None], torch.zeros(1))
        return Habit(
            home=self.home,
            approach=joints(row[:k]),
            near=joints(row[k : 2 * k]),
            far=joints(row[2 * k : 3 * k]),
            turn=self.turn,
            start=swing.start[0],
            duration=swing.duration[0],
            release=float(swing.release[0]),
            radii=torch.empty(0),
            azimuths=torch.empty(0),
            strength=torch.empty(0),
            direction=torch.empty(0),
            worst_miss=math.inf,
        )

    def swings(self, rows: Tensor, strength: Tensor) -> Swing:
        """Swings [..., 3, n] of candidates [..., 3k + 5] at strengths [...]."""
        k = len(self.joints)
        approach, near, far = rows[..., :k], rows[..., k : 2 * k], rows[..., 2 * k : 3 * k]
        thrust = near + strength[..., None] * (far - near)
        shape = (*thrust.shape[:-1], 3, len(self.home))
        amplitude, start, duration = torch.zeros(shape), torch.zeros(shape), torch.ones(shape)
        begin, length, release, lag, first = self._timing(rows[..., 3 * k :])
        amplitude[..., 0, self.joints], amplitude[..., 1, self.joints] = approach, thrust
        # from shoulder to wrist: each joint begins a little after the one before it
        order = torch.arange(k) / max(k - 1, 1)
        start[..., 1, self.joints] = begin[..., None] + lag[..., None] * order
        duration[..., 1, self.joints] = (length - lag)[..., None].expand_as(thrust)
        duration[..., 0, self.joints] = first[..., None].expand_as(approach)
        duration[..., 2, :] = self.turn_time
        return Swing(self.home, amplitude, start, duration, release)

    def _timing(self, unit: Tensor) -> tuple[Tensor, ...]:
        """Begin and length of the thrust, release, lag from first to last joint, length of the approach, s."""
        begin = (0.08 + 0.24 * unit[..., 0]) / self.tempo
        length = (0.48 + 0.20 * unit[..., 1]) / self.tempo
        share = 0.35 + 0.30 * unit[..., 2]
        # released on a tick of the control clock when the swing begins on one
        release = ((begin + share * length) / self.world.dt).round() * self.world.dt
        return (
            begin,
            length,
            release,
            0.06 * unit[..., 3] / self.tempo,
            (0.35 + 0.25 * unit[..., 4]) / self.tempo,
        )

    def cost(self, rows: Tensor) -> Tensor:
        """How bad candidates [N, 3k + 5] are, [N]: misses, limits, clearance, awkwardness, intolerance."""
        n = rows.shape[0]
        swing = self.swings(rows[:, None].expand(n, 3, -1), torch.tensor([0.0, 0.5, 1.0]).expand(n, 3))
        q, qd = self._motion(swing)
        now = (swing.release / self.world.dt).round().long()
        landing, fly, velocity = self._thrown(q, qd, now)
        ahead = landing @ self.forward
        aside = (landing - ahead[..., None] * self.forward).norm(dim=-1)
        miss = (ahead - self.radii).square() * torch.tensor([1.0, 0.25, 1.0]) + aside.square()
        cost = 8000 * miss.sum(-1)
        elevation = torch.atan2(velocity[..., 2], velocity[..., :2] @ self.forward)
        low, high = self.elevation
        cost += (20 * (_over(low - elevation) + _over(elevation - high))).square().sum(-1)
        cost += (30 * (_over(fly - 0.52) + _over(0.25 - fly))).square().sum(-1)
        cost += (60 * _over(swing.release + fly - LANDED_BY)).square().sum(-1)
        # people settle on throws that forgive a badly timed release
        apart = self._thrown(q, qd, now + 1)[0] - self._thrown(q, qd, now - 1)[0]
        cost += (15 * apart.norm(dim=-1)).square().sum(-1)
        return cost + self._strain(q, qd) + self._effort(rows)

    def _motion(self, swing: Swing) -> tuple[Tensor, Tensor]:
        """Joint positions and velocities at the control ticks, [N, 3, K, n]: the stick ends at the velocity limit."""
        wide = Swing(
            swing.home,
            swing.amplitude[:, :, None],
            swing.start[:, :, None],
            swing.duration[:, :, None],
            swing.release[:, :, None],
        )
        qd = wide.velocity(self.times.expand(*swing.release.shape, -1))
        qd = torch.minimum(torch.maximum(qd, -self.velocity), self.velocity)
        q = self.home + qd.cumsum(-2) * self.world.dt
        # at tick k the arm has been through the commands of the ticks before it
        still = torch.zeros_like(qd[..., :1, :])
        return torch.cat((still + self.home, q), -2), torch.cat((still, qd), -2)

    def _thrown(self, q: Tensor, qd: Tensor, tick: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Landing m [..., 2], flight time s [...] and velocity at release m/s [..., 3] for a release at a tick [...]."""
        index = tick[..., None, None].expand(*tick.shape, 1, q.shape[-1])
        position, velocity = self.kinematics.tool_motion(
            q.gather(-2, index)[..., 0, :], qd.gather(-2, index)[..., 0, :]
        )
        height = torch.full(tick.shape, self.world.settings.target.height)
        k = self.flight.steps_to_plane(position, velocity, height)
        return self.flight.predicted_landing(position, velocity, height), k * self.flight.h, velocity

    def _strain(self, q: Tensor, qd: Tensor) -> Tensor:
        """What limits and obstacles say, [N]: joint limits, and the tool kept off the floor and the base."""
        speed = _over(qd.abs() / self.velocity.clamp_min(1e-6) - USABLE_SPEED).amax(-2)
        push = _over(qd.diff(dim=-2).abs() / self.world.dt / self.acceleration - USABLE_ACCELERATION).amax(-2)
        travel = (_over(q - self.upper) + _over(self.lower - q)).amax(-2)
        tool = self.kinematics.tool_position(q[..., ::4, :])
        floor = self.world.settings.target.height + 0.12
        close = (_over(floor - tool[..., 2]) + _over(0.12 - tool[..., :2].norm(dim=-1))).amax(-1)
        joints = 20 * speed.square() + 400 * push.square() + 4000 * travel.square()
        return joints.sum((-1, -2)) + 4000 * close.square().sum(-1)

    def _effort(self, rows: Tensor) -> Tensor:
        k = len(self.joints)
        approach, near, far = rows[:, :k], rows[:, k : 2 * k], rows[:, 2 * k : 3 * k]
        return (
            0.3 * approach.square().sum(-1)
            + 0.3 * (near.square() + far.square()).sum(-1)
            + (far - near).square().sum(-1)
        )


def _over(x: Tensor) -> Tensor:
    return x.clamp_min(0.0)


def _solve_grid(world: World, habit: Habit, rounds: int = 8) -> Habit:
    """The habit with strength and direction solved on a grid of targets, by damped Newton steps in the batched world."""
    target = world.settings.target
    radii = torch.linspace(target.radius[0] - REACH, target.radius[1] + REACH, 7)
    azimuths = torch.linspace(target.azimuth[0] - SWAY, target.azimuth[1] + SWAY, 7)
    r, a = (x.flatten() for x in torch.meshgrid(radii, azimuths, indexing="ij"))
    goal = torch.stack((r * a.cos(), r * a.sin()), -1)
    x = torch.stack(((r - radii[0]) / (radii[-1] - radii[0]), 0.8 * a * float(habit.turn.abs().sum())), -1)
    best, best_error = x, torch.full_like(r, math.inf)
    slope, gap = torch.zeros(len(r), 2, 2), torch.zeros(len(r), 2)
    damping = torch.full_like(r, 1e-4)
    simulator = BatchWorld(world)
    probe = torch.tensor([[0.0, 0.0], [0.04, 0.0], [0.0, 0.02]])
    for _ in range(rounds):  # Levenberg-Marquardt, all targets at once
        tried = (x[None] + probe[:, None]).reshape(-1, 2)
        landing = practise(simulator, habit.swing(tried[:, 0], tried[:, 1])).reshape(3, -1, 2)
        error = (landing[0] - goal).norm(dim=-1)
        better = error < best_error
        best, best_error = torch.where(better[:, None], x, best), torch.minimum(error, best_error)
        damping = torch.where(better, damping / 5, damping * 10)
        here = torch.stack(((landing[1] - landing[0]) / 0.04, (landing[2] - landing[0]) / 0.02), -1)
        slope = torch.where(better[:, None, None], here, slope)
        gap = torch.where(better[:, None], goal - landing[0], gap)
        normal = slope.mT @ slope + damping[:, None, None] * torch.eye(2)
        step = torch.linalg.solve(normal, (slope.mT @ gap[..., None]))[..., 0]
        x = best + step.clamp(-0.3, 0.3)
        x = torch.stack((x[:, 0].clamp(-0.4, 1.6), x[:, 1]), -1)
    inside = (r >= target.radius[0] - 1e-6) & (r <= target.radius[1] + 1e-6)
    inside &= (a >= target.azimuth[0] - 1e-6) & (a <= target.azimuth[1] + 1e-6)
    return Habit(
        **{
            **habit.__dict__,
            "radii": radii,
            "azimuths": azimuths,
            "strength": best[:, 0].reshape(7, 7),
            "direction": best[:, 1].reshape(7, 7),
            "worst_miss": float(best_error[inside].max()),
        }
    )


def practise(simulator: BatchWorld, swing: Swing) -> Tensor:
    """Where faultless swings [N] land in the batched world, m, [N, 2]."""
    world = simulator.world
    targets = torch.zeros(swing.release.shape[0], 3)
    targets[:, 2] = world.settings.target.height
    state = simulator.reset(targets)
    for k in range(world.horizon + round(0.4 / world.dt)):
        state = simulator.step(faultless_command(world, swing, k * world.dt, state))
    return state.ball_position[:, :2]


def faultless_command(world: World, swing: Swing, t: float, state: State) -> Tensor:
    """Action [N, n + 1] that follows swings [N] without fault at time t (s from onset)."""
    now = torch.full_like(swing.release, t)
    velocity = swing.velocity(now + FEEDBACK_LEAD * world.dt)
    limit = torch.as_tensor(world.velocity, dtype=velocity.dtype)
    joints = torch.where(limit > 0, velocity / limit.clamp_min(1e-6), torch.zeros_like(velocity)).clamp(
        -1.0, 1.0
    )
    release = torch.where(now >= swing.release - 0.5 * world.dt, 1.0, -1.0)
    return torch.cat((joints, release[..., None]), -1)
