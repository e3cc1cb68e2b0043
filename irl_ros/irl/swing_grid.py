"""A grid of swings around the demonstrated ones: strength × shape × turn, each rolled in the world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.demos.swing import PEAK_SPEED, minimum_jerk_speed
from irl_ros.settings import at_least
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.world import World

LIKELY = 49
"""Neighbours on the grid that a chosen swing may slip to."""
VERTICAL = 0.95
"""From this cosine on, a joint's axis counts as vertical."""


@dataclass(frozen=True)
class SwingGridSettings:
    strengths: int = 23
    """Speeds of a swing, evenly from `weakest` to `strongest`."""
    weakest: float = 0.3
    strongest: float = 1.4
    """Share of the demonstrated joint velocities."""
    shapes: int = 2
    """Demonstrated swings to build on, evenly over their launch angles."""
    random_shapes: int = 2
    """Swings nobody showed, of random joints: a reward must know that they are worse."""
    turns: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(-6, 7))
    """Azimuth errors, rad."""

    def __post_init__(self) -> None:
        at_least(self, 1, "shapes")
        at_least(self, 2, "strengths")
        at_least(self, 0, "weakest", "random_shapes")
        if not self.turns:
            raise ValueError("turns: name at least one azimuth error")


@dataclass(frozen=True)
class Shape:
    """One way to move the arm.

    Attributes:
        velocity: joint velocities as a share of the limits, [T, n].
        azimuth: where a ball let go at `release` would land, seen from the base, rad.
        release: the control step in which it is meant to be let go.
    """

    velocity: Tensor
    azimuth: float
    release: int


class SwingGrid:
    """Joint velocity commands of every swing of the grid towards any azimuth.

    Args:
        world: the arm.
        actions: demonstrated actions, [M, T, n + 1].
        start: where the swings start: q and q̇, each [n].
        settings: see SwingGridSettings.
    """

    def __init__(
        self, world: World, actions: Tensor, start: tuple[Tensor, Tensor], settings: SwingGridSettings
    ) -> None:
        self.simulator, self.start, self.settings = BatchWorld(world), start, settings
        self.turn = turning_joint(self.simulator, start[0])
        demonstrated = self._measured(actions[..., :-1].clamp(-1.0, 1.0), release_steps(actions))
        angles = torch.tensor([angle for _, angle in demonstrated])
        chosen = torch.linspace(0, len(angles) - 1, min(settings.shapes, len(angles))).round().long()
        self.shapes = [demonstrated[int(i)][0] for i in angles.argsort()[chosen]]
        if settings.random_shapes:
            velocity, release = random_swings(world, settings.random_shapes)
            self.shapes += [shape for shape, _ in self._measured(velocity, release)]
        self.strengths = torch.linspace(settings.weakest, settings.strongest, settings.strengths)

    def __len__(self) -> int:
        return len(self.strengths) * len(self.shapes) * len(self.settings.turns)

    def towards(self, azimuth: float) -> Tensor:
        """Velocity commands [K, T, n] of all swings at a target's azimuth (rad); K runs over strength, shape, turn."""
        turns = torch.tensor(self.settings.turns)
        swings = []
        for strength in self.strengths:
            for shape in self.shapes:
                own = strength * shape.velocity
                push = self._turning(azimuth + turns - strength * shape.azimuth, shape)
                swings.append((own + push).clamp(-1.0, 1.0))
        return torch.cat(swings)

    def roll(self, azimuth: float) -> tuple[Tensor, Tensor]:
        """Ball position (m) and velocity (m/s) in the hand at steps 0 … T of every swing, each [K, T + 1, 3]."""
        return self._carry(self.towards(azimuth))

    @property
    def spacing(self) -> float:
        """Between two strengths."""
        return float(self.strengths[1] - self.strengths[0])

    def neighbours(self, swing: Tensor) -> tuple[Tensor, Tensor]:
        """The same swings one strength up and one down, int64 [...]; at the edge of the grid the swing itself."""
        others = len(self) // len(self.strengths)
        up, down = swing + others, swing - others
        return torch.where(up < len(self), up, swing), torch.where(down >= 0, down, swing)

    def slips(self, uneven: float, astray: float) -> tuple[Tensor, Tensor]:
        """What a hand makes of a chosen swing: swings, int64 [K, L], and their chances, [K, L].

        Args:
            uneven: standard deviation of the strength, 1.
            astray: standard deviation of the direction, rad.
        """
        turns = torch.tensor(self.settings.turns)
        by_strength = _normal(self.strengths, uneven)
        by_turn = _normal(turns, astray)
        i, j, l = (torch.arange(n) for n in (len(self.strengths), len(self.shapes), len(turns)))
        # [i, j, l, i', l']: the shape stays
        shape = (len(i), len(j), len(l), len(i), len(l))
        swing = (i[:, None] * len(j) + j[:, None, None, None]) * len(l) + l
        chance = by_strength[:, None, None, :, None] * by_turn[:, None, :]
        swing, chance = (
            swing.expand(shape).reshape(len(self), -1),
            chance.expand(shape).reshape(len(self), -1),
        )
        # only the likely ones: the rest are many and together rare
        likely = chance.topk(min(LIKELY, chance.shape[1]), -1)
        return swing.gather(1, likely.indices), likely.values / likely.values.sum(-1, keepdim=True)

    def _carry(self, velocity: Tensor) -> tuple[Tensor, Tensor]:
        count = len(velocity)
        start = tuple(x.expand(count, -1) for x in self.start)
        states = [self.simulator.reset(torch.zeros(count, 3), (start[0], start[1]))]
        for t in range(velocity.shape[1]):
            keep = torch.full((count, 1), -1.0)
            states.append(self.simulator.step(torch.cat((velocity[:, t], keep), -1)))
        position = torch.stack([s.ball_position for s in states], 1)
        return position, torch.stack([s.ball_velocity for s in states], 1)

    def _measured(self, velocity: Tensor, release: Tensor) -> list[tuple[Shape, float]]:
        """Swings [M, T, n] as shapes, each with its launch angle (elevation of the ball's velocity), rad."""
        position, speed = self._carry(velocity)
        row = torch.arange(len(velocity))
        x, v = position[row, release], speed[row, release]
        height = torch.full_like(x[:, 2], self.simulator.world.settings.target.height)
        landing = self.simulator.flight.predicted_landing(x, v, height)
        azimuth = torch.atan2(landing[:, 1], landing[:, 0]).tolist()
        angle = torch.atan2(v[:, 2], v[:, :2].norm(dim=-1)).tolist()
        shapes = [Shape(velocity[i], azimuth[i], int(release[i])) for i in range(len(velocity))]
        return list(zip(shapes, angle))

    def _turning(self, angle: Tensor, shape: Shape) -> Tensor:
        """Commands [K, T, n] that turn the base by angles [K] (rad) until the release, on top of a swing's own."""
        world, steps = self.simulator.world, len(shape.velocity)
        duration = max(shape.release, 1)
        profile = minimum_jerk_speed((torch.arange(steps) + 0.5) / duration) / (duration * world.dt)
        limit = torch.as_tensor(world.velocity, dtype=torch.float32)
        share = torch.where(self.turn != 0, self.turn / limit.clamp_min(1e-6), torch.zeros_like(limit))
        return angle[:, None, None] * profile[:, None] * share


def turning_joint(simulator: BatchWorld, q: Tensor) -> Tensor:
    """Unit vector [n] of the first free joint with a vertical axis at q [n], signed so that + turns left; or zeros."""
    axes = simulator.kinematics.frames(q)[0][..., 2]
    free = torch.as_tensor(simulator.world.velocity > 0) & ~torch.tensor(simulator.kinematics.prismatic)
    vertical = free & (axes[:, 2].abs() > VERTICAL)
    turn = torch.zeros_like(q)
    if vertical.any():
        first = int(vertical.nonzero()[0])
        turn[first] = axes[first, 2].sign()
    return turn


def _normal(grid: Tensor, deviation: float) -> Tensor:
    """P(j | i) on an even grid [n], [n, n]: normally distributed about i."""
    chance = torch.exp(-0.5 * ((grid - grid[:, None]) / max(deviation, 1e-6)).square())
    return chance / chance.sum(-1, keepdim=True)


def release_steps(actions: Tensor) -> Tensor:
    """The first step that opens the hand, int64 [M], for actions [M, T, n + 1]; the last one if none does."""
    opens = actions[..., -1] > 0
    last = torch.full_like(opens[:, 0], actions.shape[1] - 1, dtype=torch.long)
    return torch.where(opens.any(1), opens.float().argmax(1), last)


def random_swings(world: World, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth swings of random joints and times: velocity commands [count, T, n] and release steps [count]."""
    generator = torch.Generator().manual_seed(seed)
    steps = world.horizon
    begin = torch.rand(count, 1, world.robot.n, generator=generator) * 0.3 * steps
    length = (0.3 + 0.4 * torch.rand(count, 1, world.robot.n, generator=generator)) * steps
    speed = 2.0 * torch.rand(count, 1, world.robot.n, generator=generator) - 1.0
    time = torch.arange(steps)[:, None] + 0.5
    velocity = speed * minimum_jerk_speed((time - begin) / length) / PEAK_SPEED
    release = (begin + 0.5 * length)[:, 0].mean(-1).round().long()
    return velocity, release
