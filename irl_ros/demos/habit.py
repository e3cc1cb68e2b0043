"""A person's way of throwing with one arm in one world: the habit, found once and used for every target.

A practised person has one throw and varies its strength and direction. So a habit is one family of swings,
smooth in the target's radius and azimuth: found on closed-form swings (`HabitSearch`), then made exact on a
grid of targets in the batched world.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from irl_ros.demos.habit_search import HabitSearch
from irl_ros.demos.swing import Swing
from irl_ros.errors import InputError
from irl_ros.sim import BatchWorld, World

STYLES = {"natural": (-0.4, 1.0), "underhand": (0.35, 1.1), "overhand": (-0.9, 0.05)}
"""Elevation of the ball's velocity at release that a style wants, rad, from and to."""
REACH, SWAY = 0.03, 0.1
"""The grid goes this far past the ring, m, and past the arc, rad: people aim a little off."""
GOOD_ENOUGH, HOPELESS = 0.08, 0.15
"""Landing error on the grid, m, up to which a habit is taken at once, and from which it is refused: the far
end of a ring may ask for a little more than the arm has."""
ROUNDS = 8


@dataclass(frozen=True)
class Habit:
    """One family of swings over a world's targets.

    Attributes:
        home: rad, [n].
        near, far: amplitudes of approach and thrust at strength 0 and 1, rad, [2, n]; between them linear.
        turn: unit vector of the joint that turns towards the target, [n]; zeros if no joint can.
        start, duration: of approach, thrust and turn, s, [3, n].
        release: when the hand opens, s.
        radii, azimuths: grid of targets, m [R] and rad [A], ascending.
        strength, direction: solved on the grid, 1 and rad, [R, A].
        worst_miss: largest landing error on the grid inside the world's ring, m.
    """

    home: Tensor
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
    worst_miss: float = math.inf

    def swing(self, strength: Tensor, direction: Tensor) -> Swing:
        """Swings of leading shape [...] for strengths (1) and directions (rad) of that shape."""
        arm = self.near + strength[..., None, None] * (self.far - self.near)
        amplitude = torch.cat((arm, (self.turn * direction[..., None])[..., None, :]), -2)
        times = (self.start.expand_as(amplitude), self.duration.expand_as(amplitude))
        return Swing(self.home, amplitude, *times, torch.full_like(strength, self.release))

    def aimed(self, target: Tensor) -> Swing:
        """The swings that land on targets [..., 3] (m); beyond the grid, on the nearest place of it."""
        i, x = _between(self.radii, target[..., :2].norm(dim=-1))
        j, y = _between(self.azimuths, torch.atan2(target[..., 1], target[..., 0]))

        def at(grid: Tensor) -> Tensor:
            low = (1 - y) * grid[i, j] + y * grid[i, j + 1]
            return (1 - x) * low + x * ((1 - y) * grid[i + 1, j] + y * grid[i + 1, j + 1])

        return self.swing(at(self.strength), at(self.direction))


def find_habit(world: World, style: str = "natural", tempo: float = 1.0, seed: int = 0) -> Habit:
    """A person's habit in a world: the same for the same arguments. Takes seconds the first time.

    Args:
        world: arm, limits and targets.
        style: one of STYLES.
        tempo: 1 releases about 0.6 s after onset; higher is quicker.
        seed: which person.

    Raises:
        InputError: the arm cannot throw onto this world's targets.
    """
    # practised without surprises and onto an open plane; delays are learned with the swing
    fixed = world.fixed(delays=True)
    target = dataclasses.replace(fixed.settings.target, rim=0.0)
    practised = fixed.changed(dataclasses.replace(fixed.settings, target=target))
    return _found(_WorldKey(practised), style, tempo, seed)


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
    world, target = key.world, key.world.settings.target
    radii = (max(target.radius[0] - REACH, 0.0), target.radius[1] + REACH)
    found = []
    with torch.no_grad(), _one_thread():
        for whole_arm in (False, True):  # the swing stays in the vertical plane if it can
            search = HabitSearch(world, STYLES[style], tempo, radii, seed, whole_arm)
            found.append(_solve_grid(world, _unsolved(search, radii)))
            if found[-1].worst_miss < GOOD_ENOUGH:
                return found[-1]
    best = min(found, key=lambda habit: habit.worst_miss)
    if best.worst_miss < HOPELESS:
        return best
    problem = f"finds no {style} throw of {world.robot.name} onto targets at {target.radius} m"
    raise InputError(
        f"world {world.name}",
        f"the synthetic operator {problem}",
        "move the targets or give the arm more speed",
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small tensors: on a busy machine, threads that wait for each other make this ten times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _unsolved(search: HabitSearch, radii: tuple[float, float]) -> Habit:
    """What the search found, with a first guess on the grid."""
    near, far = search.swings(search.run()[0].expand(2, -1), torch.tensor([0.0, 1.0])).each()
    arc = search.world.settings.target.azimuth
    azimuths = torch.linspace(arc[0] - SWAY, arc[1] + SWAY, 7)
    strength, direction = torch.meshgrid(torch.linspace(0, 1, 7), azimuths, indexing="ij")
    return Habit(
        home=search.home,
        near=near.amplitude[:2],
        far=far.amplitude[:2],
        turn=search.turn,
        start=near.start,
        duration=near.duration,
        release=float(near.release),
        radii=torch.linspace(*radii, 7),
        azimuths=azimuths,
        strength=strength.clone(),
        direction=direction * search.turn.abs().sum(),
    )


def _solve_grid(world: World, habit: Habit) -> Habit:
    """The habit solved on its grid of targets, by Levenberg-Marquardt in the batched world."""
    r, a = (x.flatten() for x in torch.meshgrid(habit.radii, habit.azimuths, indexing="ij"))
    goal = torch.stack((r * a.cos(), r * a.sin()), -1)
    best = x = torch.stack((habit.strength.flatten(), habit.direction.flatten()), -1)
    error, damping = torch.full_like(r, math.inf), torch.full_like(r, 1e-4)
    slope, gap = torch.zeros(len(r), 2, 2), torch.zeros(len(r), 2)
    simulator = BatchWorld(world)
    probe = torch.tensor([[0.0, 0.0], [0.04, 0.0], [0.0, 0.02]])
    for _ in range(ROUNDS):
        tried = (x + probe[:, None]).reshape(-1, 2)
        landing, *moved = practise(simulator, habit.swing(tried[:, 0], tried[:, 1])).reshape(3, -1, 2)
        here = torch.stack([(m - landing) / size for m, size in zip(moved, (0.04, 0.02))], -1)
        now = (landing - goal).norm(dim=-1)
        better = now < error
        best, error = torch.where(better[:, None], x, best), torch.minimum(now, error)
        slope = torch.where(better[:, None, None], here, slope)
        gap = torch.where(better[:, None], goal - landing, gap)
        damping = torch.where(better, damping / 5, damping * 10)
        normal = slope.mT @ slope + damping[:, None, None] * torch.eye(2)
        x = best + torch.linalg.solve(normal, slope.mT @ gap[..., None])[..., 0].clamp(-0.3, 0.3)
        x = torch.stack((x[:, 0].clamp(-0.3, 1.3), x[:, 1]), -1)
    target = world.settings.target
    inside = (r >= target.radius[0] - 1e-6) & (r <= target.radius[1] + 1e-6)
    inside &= (a >= target.azimuth[0] - 1e-6) & (a <= target.azimuth[1] + 1e-6)
    # a ring may be so thin that no grid line runs inside it
    worst = float(error[inside].max() if inside.any() else error.max())
    strength, direction = best.reshape(7, 7, 2).unbind(-1)
    return dataclasses.replace(habit, strength=strength, direction=direction, worst_miss=worst)


def practise(simulator: BatchWorld, swing: Swing) -> Tensor:
    """Where faultless swings [N] land in the batched world, m, [N, 2]."""
    world = simulator.world
    limit = torch.as_tensor(world.velocity, dtype=torch.float32)
    targets = torch.zeros(swing.release.shape[0], 3)
    targets[:, 2] = world.settings.target.height
    state = simulator.reset(targets)
    for k in range(
        world.horizon + round(0.4 / world.dt)
    ):  # a weak throw may still be in the air at the horizon
        now = torch.full_like(swing.release, k * world.dt)
        joints = stick(swing.velocity(now + 0.5 * world.dt), limit)
        release = torch.where(now >= swing.release - 0.5 * world.dt, 1.0, -1.0)
        state = simulator.step(torch.cat((joints.clamp(-1.0, 1.0), release[:, None]), -1))
        if bool(state.landed.all()):
            break
    return state.ball_position[:, :2]


def stick(velocity: Tensor, limit: Tensor) -> Tensor:
    """Joint velocities as a share of their limits, [..., n]; 0 for a joint that does not move."""
    return torch.where(limit > 0, velocity / limit.clamp_min(1e-6), torch.zeros_like(velocity))


def _between(grid: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    i = (torch.searchsorted(grid, value.contiguous()) - 1).clamp(0, len(grid) - 2)
    return i, ((value - grid[i]) / (grid[i + 1] - grid[i])).clamp(0.0, 1.0)
