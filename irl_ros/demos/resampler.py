"""One resampler for live and recorded data: samples of joints and ball in, states at any times out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from irl_ros.demos.ball_flight import Landing, landing_after, observe_landing, touches_down
from irl_ros.demos.interpolation import BALL_SPAN_S, Track, hermite
from irl_ros.robots import Kinematics, Robot
from irl_ros.sim.state import State
from irl_ros.sim.world import World

_EPS = 1e-6  # s; stamps that differ by rounding are the same
_LOOK_BACK = 0.2  # s before the time asked for, enough for interpolation and differences
_FEW = 6  # samples kept in any case
_SET_BACK = 0.1  # s; a stamp older than that is no late message: the clock was set back


class JointOrder:
    """Picks a robot's joints, by name, out of joint_states in any order and company.

    Positions of continuous joints, which a driver may report modulo a turn, go on from those picked before,
    the first ones from the robot's home.
    """

    def __init__(self, robot: Robot) -> None:
        self.joints = robot.joints
        self._endless, self._before = robot.endless, robot.home
        self._indices: dict[tuple[str, ...], list[int] | None] = {}

    def pick(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """q (rad) and qd (rad/s; NaN where not given), each [n]; None when it is not about this robot."""
        key = tuple(names)
        if key not in self._indices:
            found = {name: i for i, name in enumerate(names)}
            self._indices[key] = [found[j] for j in self.joints] if set(self.joints) <= found.keys() else None
        index = self._indices[key]
        if index is None or len(positions) != len(names):
            return None
        q = np.asarray(positions, dtype=float)[index]
        qd = (
            np.asarray(velocities, dtype=float)[index]
            if len(velocities) == len(names)
            else np.full(len(q), np.nan)
        )
        if self._endless.any():
            turns = np.round((q - self._before) / (2 * np.pi))
            q = np.where(self._endless, q - 2 * np.pi * turns, q)
            self._before = np.where(np.isfinite(q), q, self._before)
        return q, qd


@dataclass(frozen=True)
class Motion:
    """One throw as it was seen.

    Attributes:
        joints: [K, n].
        ball: [L, 3] in the world frame; None when nobody tracked it, then it is where kinematics and `Flight`
            put it.
        target: m, [3].
        released: s; infinite while held.
        landing: None while unknown.
    """

    joints: Track
    ball: Track | None
    target: np.ndarray
    released: float
    landing: Landing | None


class Resampler:
    """States of a Motion at any times.

    Args:
        world: the robot and the flight's rules.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.kinematics: Kinematics = world.robot.kinematics(dtype=torch.float64)

    def tool(self, joints: Track, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (m) and velocity (m/s) of the tool point, each [M, 3]."""
        q, qd = hermite(joints.times, joints.x, joints.v, times)
        p, v = self.kinematics.tool_motion(torch.as_tensor(q), torch.as_tensor(qd))
        return p.numpy(), v.numpy()

    def landing(self, joints: Track, ball: Track | None, released: float, height: float) -> Landing | None:
        """Where a ball released at `released` s lands: as observed; if not tracked, by `Flight`."""
        if not np.isfinite(released):
            return None
        seen = None
        if ball is not None and len(ball):
            seen = observe_landing(self.world, ball.times, ball.x, ball.v, released, height)
        if seen is not None:
            return seen
        position, velocity = self.tool(joints, np.array([released]))
        return landing_after(self.world, released, position[0], velocity[0], height, observed=False)

    def sample(self, motion: Motion, times: np.ndarray) -> dict[str, np.ndarray]:
        """q, qd [M, n], ball_position, ball_velocity [M, 3], held, landed [M] at `times` [M], s.

        Joints are interpolated; outside their samples the nearest one is held. The ball is as recorded until
        the last sample in the air, then falls by `Flight`, then rests where it landed.
        """
        q, qd = hermite(motion.joints.times, motion.joints.x, motion.joints.v, times)
        held = times <= motion.released + _EPS
        landed = (
            np.zeros_like(held) if motion.landing is None else ~held & (times >= motion.landing.time - _EPS)
        )
        if motion.ball is None or not len(motion.ball):
            p, v = self.kinematics.tool_motion(torch.as_tensor(q), torch.as_tensor(qd))
            position, velocity = p.numpy(), v.numpy()
        else:
            position, velocity = hermite(motion.ball.times, motion.ball.x, motion.ball.v, times)
        if motion.landing is not None:
            after = times > motion.landing.path_start + _EPS
            elapsed = times[after] - motion.landing.path_start
            position[after], velocity[after] = motion.landing.path.at(elapsed)
            velocity[landed] = 0.0
        ball = {"ball_position": position, "ball_velocity": velocity}
        return {"q": q, "qd": qd, **ball, "held": held, "landed": landed}

    @staticmethod
    def as_state(
        values: dict[str, np.ndarray], target: np.ndarray, phase: np.ndarray, dtype: torch.dtype
    ) -> State:
        """What `sample` gave as a State with leading shape [M]; phase [M], target m [3]."""
        numbers = dict(values, target=np.broadcast_to(target, (len(phase), 3)).copy(), phase=phase)
        tensors = {
            k: torch.as_tensor(v, dtype=None if v.dtype == bool else dtype) for k, v in numbers.items()
        }
        return State(**tensors)


@dataclass(frozen=True)
class Staleness:
    """How old a live state is.

    Attributes:
        joints: s since the newest joint state; infinite before the first.
        ball: s since the newest ball sample; infinite when it is not tracked.
        missing: what has never arrived: "joint_states", "target".
    """

    joints: float
    ball: float
    missing: tuple[str, ...]


class LiveState:
    """The state now, from messages as they arrive, by the same rules as from a bag.

    Feed it plain values (times in s on one clock), `begin` a throw, and ask `at` each control step.

    Args:
        world: the robot, the horizon, the flight's rules.
        memory: s of samples kept.
    """

    def __init__(self, world: World, memory: float = 2.0) -> None:
        self.world, self._memory = world, memory
        self._resampler = Resampler(world)
        self._order = JointOrder(world.robot)
        self._joints: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
        self._ball: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
        self._target: np.ndarray | None = None
        self._twist_seen = False
        self.begin(0.0)

    def begin(self, time: float) -> None:
        """A throw begins at `time` with the ball in the hand: phase 0, not released, not landed."""
        self._begun, self._released = time, np.inf
        self._landing: Landing | None = None
        self._aloft = -np.inf  # time of the ball sample up to which none shows a landing, s

    def release(self, time: float) -> None:
        """The ball leaves the hand at `time`; only the first one of a throw counts."""
        self._released = min(self._released, time)

    def target(self, position: Sequence[float]) -> None:
        """Target in the world frame, m, [3]."""
        self._target = np.asarray(position, dtype=float)
        self._aloft = -np.inf

    def joint_state(
        self, time: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float] = ()
    ) -> None:
        """One joint_states message; those of other robots are ignored."""
        picked = self._order.pick(names, positions, velocities)
        if picked is not None:
            self._append(self._joints, time, *picked)

    def ball(self, time: float, position: Sequence[float], velocity: Sequence[float] | None = None) -> None:
        """One ball sample in the world frame, m and m/s (`twist_in_world` for an Odometry).

        A tracker that has only ever sent zero velocities measures none; then they are differences. One that
        has lost the ball may send what is not finite: there was no sample.
        """
        x = np.asarray(position, dtype=float)
        if not np.isfinite(x).all():
            return
        v = np.full(3, np.nan) if velocity is None else np.asarray(velocity, dtype=float)
        measured = bool(np.isfinite(v).all())
        self._twist_seen |= measured and bool(v.any())
        self._append(self._ball, time, x, v if measured else np.full(3, np.nan))

    def staleness(self, time: float) -> Staleness:
        """How old the newest samples are at `time`."""
        missing = (("joint_states",) if not self._joints else ()) + (
            ("target",) if self._target is None else ()
        )
        joints, ball = (time - x[-1][0] if x else np.inf for x in (self._joints, self._ball))
        return Staleness(joints, ball, missing)

    def at(self, time: float, dtype: torch.dtype = torch.float32) -> tuple[State | None, Staleness]:
        """The state at `time`, leading shape [1], and how old what it rests on is.

        Newer than the newest joint state it is carried on at that velocity for at most one control step; then
        it is held, and the staleness tells. None while a joint state or the target is missing.
        """
        staleness = self.staleness(time)
        if staleness.missing or self._target is None:
            return None, staleness
        phase = np.clip((time - self._begun) / (self.world.horizon * self.world.dt), 0.0, 1.0)
        values = self._just_measured(time, self._target) or self._sampled(time, self._target)
        return self._resampler.as_state(values, self._target, np.array([phase]), dtype), staleness

    def _just_measured(self, time: float, target: np.ndarray) -> dict[str, np.ndarray] | None:
        """What `_sampled` gives where joints and ball were measured at this very time: there is nothing to
        interpolate, and of the ball's flight only the end matters. None where that is not so.

        It is the case at almost every step of a control loop, and takes a tenth of the time.
        """
        at, q, qd = self._joints[-1]
        if at != time or np.isnan(qd).any():
            return None
        joints = {"q": q[None], "qd": qd[None]}
        if self._landing is None:
            if not self._ball or not self._twist_seen:
                return None
            seen, position, velocity = self._ball[-1]
            if seen != time or np.isnan(velocity).any():
                return None
            held = time <= self._released + _EPS
            if held or self._is_aloft(target[2]):
                ball = {"ball_position": position[None], "ball_velocity": velocity[None]}
                return {**joints, **ball, "held": np.array([held]), "landed": np.array([False])}
        landing = self._landing
        if landing is None or time < landing.time or time <= landing.path_start + _EPS:
            return None
        ball = {"ball_position": landing.path.landing[None], "ball_velocity": np.zeros((1, 3))}
        return {**joints, **ball, "held": np.array([False]), "landed": np.array([True])}

    def _is_aloft(self, height: float) -> bool:
        """No ball sample since the release shows a landing. Looks at each once, and keeps a landing that they
        show, where one before it was in the air."""
        since, rows = max(self._aloft, self._released - 1e-9), []
        for row in reversed(self._ball):
            if row[0] < since:
                break
            rows.append(row)
        if not rows:
            return False
        times, x, v = (np.array(column) for column in zip(*reversed(rows), strict=True))
        if not touches_down(self.world, times, x[:, 2], v[:, 2], height).any():
            self._aloft = times[-1]
            return True
        if self._aloft > -np.inf:
            landing = observe_landing(self.world, times, x, v, times[0], height)
            if landing is not None and self._is_settled(landing, times[-1]):
                self._landing = landing
        return False

    def _sampled(self, time: float, target: np.ndarray) -> dict[str, np.ndarray]:
        since = min(time, self._released) - _LOOK_BACK
        joints = _carried_on(Track.of(*_latest(self._joints, since)), time, self.world.dt)
        ball = self._ball_track(since) if self._ball else None
        if time <= self._released:
            landing = None
            ball = None if ball is None else _carried_on(ball, time, self.world.dt)
        else:
            landing = self._landing or self._resampler.landing(joints, ball, self._released, target[2])
            if landing is not None and self._is_settled(landing, time):
                self._landing = landing
        motion = Motion(joints, ball, target, self._released, landing)
        return self._resampler.sample(motion, np.array([time]))

    def _ball_track(self, since: float) -> Track:
        times, x, v = _latest(self._ball, since)
        return Track.of(times, x, v if self._twist_seen else np.full_like(v, np.nan), BALL_SPAN_S)

    def _is_settled(self, landing: Landing, time: float) -> bool:
        """It will not change with later samples, and must outlive the samples it came from."""
        untracked = not self._ball and self._joints[-1][0] >= self._released
        return untracked or (landing.observed and landing.time <= time)

    def _append(self, samples: deque, time: float, x: np.ndarray, v: np.ndarray) -> None:
        if samples and time <= samples[-1][0]:
            if time > samples[-1][0] - _SET_BACK:
                return  # late or double; the newer one stands
            samples.clear()  # the clock was set back, as when a simulation starts again
        samples.append((time, x, v))
        while samples[0][0] < time - self._memory:
            samples.popleft()


def _latest(samples: deque, since: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples from `since` on and a few before, in order: all that a state after it rests on."""
    rows = []
    for row in reversed(samples):
        rows.append(row)
        if row[0] < since and len(rows) >= _FEW:
            break
    times, x, v = zip(*reversed(rows), strict=True)
    return np.array(times), np.stack(x), np.stack(v)


def _carried_on(track: Track, time: float, reach: float) -> Track:
    """With one more sample at `time`, moved there at the last velocity for at most `reach` s."""
    ahead = min(time - track.times[-1], reach)
    if ahead <= _EPS:
        return track
    x = track.x[-1] + ahead * track.v[-1]
    return Track(np.append(track.times, time), np.vstack((track.x, x)), np.vstack((track.v, track.v[-1])))


def twist_in_world(orientation: Sequence[float], velocity: Sequence[float]) -> np.ndarray:
    """Linear velocity of an Odometry in the world frame, m/s [3]: its twist is given in the body's own frame.

    Args:
        orientation: of the body, x, y, z, w; all zero (never filled in) counts as not turned.
        velocity: twist.linear, m/s, [3].
    """
    x, y, z, w = map(float, orientation)
    linear = np.asarray(velocity, dtype=float)
    norm = x * x + y * y + z * z + w * w
    if norm < 1e-12 or not (x or y or z):
        return linear
    axis = np.array([x, y, z])
    return linear + 2.0 / norm * np.cross(axis, np.cross(axis, linear) + w * linear)
