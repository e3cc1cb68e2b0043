"""What a recorded ball shows: when it left the hand, where it landed, and its path where nobody looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from irl_ros.demos.interpolation import Track, hermite
from irl_ros.sim.reference import Flight
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends

_PLANE_TOLERANCE = 1e-4  # m; a simulated ball rests on the plane up to rounding
_BOUNCE = 0.5  # a fall that keeps less than this share of its speed has hit something
_FALLING = -0.3  # m/s; slower falls are not judged by their bounce
_FIT_S = 0.3  # s of flight before the landing that the release is traced back from
_FIT_SAMPLES = 5
_MATCH = 0.4  # m/s; at the release ball and tool move alike, up to this
_SHARP = 0.1  # m/s; another time than the command's must match better by this


@dataclass(frozen=True)
class FreeFlight:
    """The path of a ball let go at time 0, by the rules of `Flight`.

    Attributes:
        times: s of the physics steps, the last one at the landing, [K].
        positions, velocities: there, m and m/s, [K, 3].
        time: s from the start to the landing.
        landing: m, [3].
    """

    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    time: float
    landing: np.ndarray

    def at(self, elapsed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (m) and velocity (m/s), each [K, 3], `elapsed` s after the start; at rest once landed."""
        elapsed = np.maximum(elapsed, 0.0)
        position, velocity = hermite(
            self.times, self.positions, self.velocities, np.minimum(elapsed, self.time)
        )
        down = elapsed >= self.time
        return np.where(down[:, None], self.landing, position), np.where(down[:, None], 0.0, velocity)


@dataclass(frozen=True)
class Landing:
    """Where and when a ball came down.

    Attributes:
        time: s, on the samples' clock.
        position: m, [3]; z is the target height.
        path, path_start: how it got there from its last sample in the air (or from the hand, when not
            tracked), and when that was, s.
        observed: the ball was seen to come down; otherwise `path` continues it from where it was last seen.
    """

    time: float
    position: np.ndarray
    path: FreeFlight
    path_start: float
    observed: bool


def free_flight(world: World, position: np.ndarray, velocity: np.ndarray, height: float) -> FreeFlight:
    """The flight from `position` [3] m with `velocity` [3] m/s down to z = `height` m."""
    flight = Flight(world)
    if flight.drag > 0:
        times, positions, velocities = _steps_with_drag(flight, position, velocity, height)
    else:
        p, v = torch.as_tensor(position), torch.as_tensor(velocity)
        k = float(flight.steps_to_plane(p, v, torch.as_tensor(height, dtype=p.dtype)))
        count = np.append(np.arange(np.ceil(k)), k)  # landing is this formula read at a real number of steps
        times = flight.h * count
        drop = 0.5 * flight.g * flight.h**2 * count * (count + 1)
        positions = position + times[:, None] * velocity - drop[:, None] * [0, 0, 1]
        velocities = velocity - flight.g * times[:, None] * [0, 0, 1]
    landing = np.array([positions[-1, 0], positions[-1, 1], min(height, position[2])])
    return FreeFlight(times, positions, velocities, float(times[-1]), landing)


def _steps_with_drag(
    flight: Flight, position: np.ndarray, velocity: np.ndarray, height: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    down = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    p, v = torch.as_tensor(position), torch.as_tensor(velocity)
    times, positions, velocities = [0.0], [p.numpy()], [v.numpy()]
    while p[2] > height:
        v = v + flight.h * (flight.drag_acceleration(v) - flight.g * down)
        moved = p + flight.h * v
        share = 1.0
        if moved[2] <= height:  # as Flight: linear within the step
            share = float((p[2] - height) / (p[2] - moved[2]))
            moved = p + share * (moved - p)
            moved[2] = height
        p = moved
        times.append(times[-1] + share * flight.h)
        positions.append(p.numpy())
        velocities.append(v.numpy())
        if share < 1.0:
            break
    return np.array(times), np.stack(positions), np.stack(velocities)


def observe_landing(
    world: World,
    times: np.ndarray,
    position: np.ndarray,
    velocity: np.ndarray,
    released: float,
    height: float,
) -> Landing | None:
    """The landing that ball samples show, or None when there are none after the release.

    Args:
        times: s [K], ascending.
        position, velocity: m, m/s, [K, 3].
        released: s; samples before it are the hand's.
        height: of the target plane, m.

    The first sample on the plane, or the first that has bounced (a real ball's centre stays a radius above
    the floor), ends the flight; from the last sample before it `Flight` finds the point on the plane.
    """
    first = int(np.searchsorted(times, released - 1e-9))
    if first >= len(times):
        return None
    contact = touches_down(world, times[first:], position[first:, 2], velocity[first:, 2], height)
    observed = bool(contact.any())
    last = max(first + (int(contact.argmax()) if observed else len(contact)) - 1, 0)
    start = float(times[last])
    if last < first and start < released - world.dt:  # the tracker woke up when it was down already
        last, start = first, float(times[first])
    return landing_after(world, start, position[last], velocity[last], height, observed)


def touches_down(world: World, times: np.ndarray, z: np.ndarray, vz: np.ndarray, height: float) -> np.ndarray:
    """Which samples of a free ball, [K], are on the plane at `height` m or have bounced since the one before.

    Args:
        times: s, ascending.
        z, vz: m and m/s.
    """
    on_plane = z <= height + _PLANE_TOLERANCE
    near = z < height + 2 * ends(world.settings.ball.radius)[1] + 0.02
    bounced = np.zeros_like(on_plane)
    fell = np.diff(z) / np.diff(times)  # velocities that are differences see the bounce late
    bounced[1:] = (vz[:-1] < _FALLING) & (np.maximum(vz[1:], fell) > _BOUNCE * vz[:-1]) & near[1:]
    return on_plane | bounced


def landed_inside(world: World, landing: np.ndarray, target: np.ndarray) -> bool:
    """Whether a landing [3] on the plane through the target [3] is in the world's bin, if there is one."""
    return bool(Flight(world).came_down(torch.as_tensor(landing), torch.as_tensor(target)))


def landing_after(
    world: World, start: float, position: np.ndarray, velocity: np.ndarray, height: float, observed: bool
) -> Landing:
    """The landing of a ball that is free at `position` [3] m with `velocity` [3] m/s at `start` s."""
    path = free_flight(world, position, velocity, height)
    return Landing(start + path.time, path.landing, path, start, observed)


def trace_release(
    world: World,
    ball: Track,
    landing: Landing,
    told: float,
    candidates: np.ndarray,
    tool_velocity: np.ndarray,
) -> float | None:
    """When the ball left the hand: where its flight, traced back, has the tool's velocity.

    Args:
        ball: samples, m [K, 3].
        landing: where the flight ends.
        told: s, when the gripper was told to open; the ball left at about this time.
        candidates: s [C], ascending, times that the release may be at.
        tool_velocity: of the tool point at `candidates`, m/s [C, 3].

    Returns:
        s: `told` where that matches as well as any; None when too little of the flight was seen or nothing
            matches.
        Drag is ignored over the fitted flight.
    """
    end = int(np.searchsorted(ball.times, landing.path_start + 1e-9))
    span = min(_FIT_S, 0.6 * (landing.time - told))  # a late gripper still holds the ball at first
    start = int(np.searchsorted(ball.times, landing.time - span))
    if end - start < _FIT_SAMPLES:
        return None
    origin, g = ball.times[end - 1], Flight(world).g
    t = ball.times[start:end] - origin
    straight = ball.x[start:end] + 0.5 * g * (t**2)[:, None] * [0, 0, 1]
    velocity = np.polyfit(t, straight, 1)[0]
    elapsed = candidates - origin
    mismatch = np.linalg.norm(velocity - g * elapsed[:, None] * [0, 0, 1] - tool_velocity, axis=-1)
    best, as_told = int(mismatch.argmin()), int(np.abs(candidates - told).argmin())
    if mismatch[best] > _MATCH:
        return None
    return told if mismatch[as_told] < mismatch[best] + _SHARP else float(candidates[best])
