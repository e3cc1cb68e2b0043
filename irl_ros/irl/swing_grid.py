"""A grid of swings around the demonstrated ones: strength × shape × turn, each rolled in the world."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.demos.swing import PEAK_SPEED, minimum_jerk_speed
from irl_ros.settings import at_least
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.world import World

CANDIDATES = 2000
"""Random motions that `reaches` chooses from."""
VERTICAL = 0.95
"""From this cosine on, a joint's axis counts as vertical."""


@dataclass(frozen=True)
class SwingGridSettings:
    strengths: int = 15
    """Speeds of a swing, evenly from `weakest` to `strongest`."""
    weakest: float = 0.3
    strongest: float = 1.4
    """Share of the demonstrated joint velocities."""
    shapes: int = 2
    """Demonstrated swings to build on, evenly over their launch angles."""
    reaches: int = 3
    """Motions nobody showed, that carry the ball over the targets and keep it."""
    turns: tuple[float, ...] = (-0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2)
    """Azimuth errors, rad."""

    @property
    def count(self) -> int:
        """Most swings towards a target: with fewer demonstrations than `shapes` there are fewer."""
        return self.strengths * (self.shapes + self.reaches) * len(self.turns)

    def __post_init__(self) -> None:
        at_least(self, 1, "shapes")
        at_least(self, 2, "strengths")
        at_least(self, 0, "weakest", "reaches")
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
        self.simulator, self.start, self.settings = BatchWorld(world.fixed()), start, settings
        self.turn = turning_joint(self.simulator, start[0])
        demonstrated = self._measured(actions[..., :-1].clamp(-1.0, 1.0), release_steps(actions))
        angles = torch.tensor([angle for _, angle in demonstrated])
        chosen = torch.linspace(0, len(angles) - 1, min(settings.shapes, len(angles))).round().long()
        self.shapes = [demonstrated[int(i)][0] for i in angles.argsort()[chosen]]
        if settings.reaches:
            carried = reaches(self.simulator, start, settings.reaches)
            end = torch.full((len(carried),), world.horizon)
            self.shapes += [shape for shape, _ in self._measured(carried, end)]
        self.strengths = torch.linspace(settings.weakest, settings.strongest, settings.strengths)

    def __len__(self) -> int:
        return len(self.strengths) * len(self.shapes) * len(self.settings.turns)

    def towards(self, azimuth: float) -> Tensor:
        """Velocity commands [K, T, n] towards an azimuth (rad); k runs over strength, shape and turn."""
        turns = torch.tensor(self.settings.turns)
        swings = []
        for strength in self.strengths:
            for shape in self.shapes:
                own = strength * shape.velocity
                push = self._turning(azimuth + turns - strength * shape.azimuth, shape)
                swings.append((own + push).clamp(-1.0, 1.0))
        return torch.cat(swings)

    def roll(self, azimuth: float) -> tuple[Tensor, Tensor]:
        """Position (m) and velocity (m/s) of a ball kept in hand at steps 0 … T, each [K, T + 1, 3]."""
        return self._carry(self.towards(azimuth))

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
        """Commands [K, T, n] that turn the base by angles [K] (rad) until the release."""
        world, steps = self.simulator.world, len(shape.velocity)
        duration = max(shape.release, 1)
        profile = minimum_jerk_speed((torch.arange(steps) + 0.5) / duration) / (duration * world.dt)
        limit = torch.as_tensor(world.velocity, dtype=torch.float32)
        share = torch.where(self.turn != 0, self.turn / limit.clamp_min(1e-6), torch.zeros_like(limit))
        return angle[:, None, None] * profile[:, None] * share


def turning_joint(simulator: BatchWorld, q: Tensor) -> Tensor:
    """Unit vector [n] of the first free joint that is vertical at q [n], positive to the left; or zeros."""
    axes = simulator.kinematics.frames(q)[0][..., 2]
    free = torch.as_tensor(simulator.world.velocity > 0) & ~torch.tensor(simulator.kinematics.prismatic)
    vertical = free & (axes[:, 2].abs() > VERTICAL)
    turn = torch.zeros_like(q)
    if vertical.any():
        first = int(vertical.nonzero()[0])
        turn[first] = axes[first, 2].sign()
    return turn


def release_steps(actions: Tensor) -> Tensor:
    """The first step that opens the hand, int64 [M], for actions [M, T, n + 1]; the last one if none does."""
    opens = actions[..., -1] > 0
    last = torch.full_like(opens[:, 0], actions.shape[1] - 1, dtype=torch.long)
    return torch.where(opens.any(1), opens.float().argmax(1), last)


def reaches(simulator: BatchWorld, start: tuple[Tensor, Tensor], count: int, seed: int = 0) -> Tensor:
    """Ways to carry the ball to the targets' ring and keep it there: velocity commands, [count, T, n].

    Of random smooth motions those that end over the ring, evenly over the height they end at.
    """
    world, generator = simulator.world, torch.Generator().manual_seed(seed)
    limit, lower, upper = (
        torch.as_tensor(x, dtype=torch.float32)
        for x in (world.velocity, world.robot.lower, world.robot.upper)
    )
    duration = 0.75 * world.horizon * world.dt
    most = limit * duration / PEAK_SPEED
    # a joint without limits turns as far as there is time for
    lower = torch.where(lower.isfinite(), lower, start[0] - most)
    upper = torch.where(upper.isfinite(), upper, start[0] + most)
    way = (lower + (upper - lower) * torch.rand(CANDIDATES, len(lower), generator=generator)) - start[0]
    way = torch.minimum(torch.maximum(way, -most), most)
    time = (torch.arange(world.horizon) + 0.5) * world.dt
    speed = way[:, None] * minimum_jerk_speed(time / duration)[:, None] / duration
    velocity = torch.where(limit > 0, speed / limit.clamp_min(1e-6), torch.zeros_like(speed))
    end = simulator.kinematics.tool_position(start[0] + way)
    radius, height = end[:, :2].norm(dim=-1), end[:, 2] - world.settings.target.height
    near, far = world.settings.target.radius
    # those that end over the ring come first; of an arm too short for that, those that come nearest
    outside = torch.maximum(near - radius, radius - far).clamp_min(0.0) + (height < 0.05) * 10.0
    over = outside.argsort()[: max(count, int((outside == 0).sum()))]
    chosen = torch.linspace(0, len(over) - 1, count).round().long()
    return velocity[over[height[over].argsort()[chosen]]]
