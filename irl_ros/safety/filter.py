"""The filter every command passes on its way to an arm. Pure: no ROS, no clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from irl_ros.errors import InputError
from irl_ros.safety.latch import StopLatch, StopReason
from irl_ros.safety.reading import JointReader, JointReading, as_vector
from irl_ros.safety.settings import SafetySettings
from irl_ros.safety.step_clock import ClockFault, StepClock
from irl_ros.safety.viability import JointLimits, Viability
from irl_ros.sim.world import World


@dataclass(frozen=True)
class Decision:
    """What may be sent to the arm.

    Attributes:
        velocity: joint velocity command, rad/s, [n].
        position: the same as a position, rad, [n]: where the arm is by now if it did all it was told. None
            before the first motion.
        release: open the gripper.
        action: velocity and release as an action in [-1, 1], [n + 1].
        dt: since the command before, s; its change is limited for that long. 0: the same command again.
        stop: why the arm is being brought to rest, or None where the command passed.
    """

    velocity: np.ndarray
    position: np.ndarray | None
    release: bool
    action: np.ndarray
    dt: float
    stop: StopReason | None


class SafetyFilter:
    """Passes an action as far as limits allow; brings the arm to rest where it cannot be trusted.

    It keeps a commanded state (position, velocity, acceleration), which begins at the measured pose at rest,
    and moves it so that a stop inside all limits always exists (`Viability`), whatever the actions are. The
    first fault starts that stop and is kept as `reason` until `enable`; after `estop` that takes `reset`
    before. The gripper never opens while stopping.

    Args:
        world: limits, control period and joint names.
        settings: what else it must keep.

    Raises:
        InputError: the jerk limits of the settings do not fit the robot.
    """

    def __init__(self, world: World, settings: SafetySettings | None = None) -> None:
        self.world, self.settings = world, settings or SafetySettings()
        s, self._n = self.settings, world.robot.n
        self.period = world.dt if s.period is None else s.period
        lag = self.period if s.lag is None else s.lag
        self.jerk = _jerk_limits(world, s)
        columns = (world.robot.lower, world.robot.upper, world.velocity, world.acceleration, self.jerk)
        self._joints = [
            Viability(JointLimits(*row), self.period, s.lateness, lag)
            for row in np.stack(columns, 1).tolist()
        ]
        self._endless = world.robot.endless.tolist() if world.robot.endless.any() else None
        self._reader, self._latch = JointReader(world.robot.joints), StopLatch()
        self._clock = StepClock(self.period)
        self._v, self._a = [0.0] * self._n, [0.0] * self._n
        self._q: list[float] | None = None
        self._held = -math.inf
        self._drifts = s.interface == "velocity"

    @property
    def reason(self) -> StopReason | None:
        """Why the arm rests or is being brought to rest; None while commands pass."""
        return self._latch.reason

    @property
    def estopped(self) -> bool:
        """An emergency stop waits for `reset`."""
        return self._latch.estopped

    @property
    def at_rest(self) -> bool:
        """The last command was rest, or there was none."""
        return not any(self._v) and not any(self._a)

    def enable(self) -> StopReason | None:
        """Let commands pass from now on, beginning at the measured pose; forgets the reason of the last stop.

        Returns:
            None, or why not: an emergency stop is not reset, or the stop for this reason is not over.
        """
        if not self.at_rest:
            return self.reason
        refused = self._latch.enable()
        if refused is None:
            self._q = None
            self._clock.restart()
        return refused

    def stop(self, reason: StopReason = StopReason.DISABLED) -> None:
        """Bring the arm to rest, by the calls that follow. An earlier fault remains the reason."""
        self._latch.stop(reason)

    def estop(self) -> None:
        """As `stop`, until `reset` and then `enable`. No power cut: the arm slows down inside its limits."""
        self._latch.stop(StopReason.ESTOP)

    def reset(self) -> bool:
        """Clear an emergency stop; the arm stays where it is until `enable`. Only at rest: else False."""
        if self.at_rest:
            self._latch.reset()
        return self.at_rest

    def stop_path(self, motion: tuple[np.ndarray, np.ndarray] | None = None) -> np.ndarray:
        """Velocities of the stop that begins with the next command, one a period, rad/s, [K, n].

        Nothing changes by asking. For a controller that takes whole motions at once.

        Args:
            motion: velocity and acceleration it begins from, rad/s and rad/s², each [n]; None: those of the
                last command.
        """
        v, a = (list(self._v), list(self._a)) if motion is None else (x.tolist() for x in motion)
        path = []
        while any(v) or any(a):
            after = [j.stop(*now, self.period) for j, now in zip(self._joints, zip(v, a))]
            a = [(x - y) / self.period for x, y in zip(after, v)]
            v = after
            path.append(v)
        return np.array(path).reshape(len(path), self._n)

    def deadman(self, held: bool, now: float) -> None:
        """A sign of the deadman at `now`, s: that it is held, or that it was let go, which stops the arm."""
        if held:
            self._held = now
        else:
            self._held = -math.inf
            if self.settings.deadman and self.reason is None:
                self.stop(StopReason.DEADMAN)

    def __call__(self, action: object, reading: JointReading | None, now: float) -> Decision:
        """The command to send at time `now`, s, for an action [n + 1] in [-1, 1]; one call is one command.

        Whatever comes in, what goes out is finite and inside position, velocity, acceleration and jerk
        limits. While stopped the action is not looked at.
        """
        passed, new = self._tick(reading, now)
        checked = self.reason or self._check(action, reading, now, new)
        step = min(passed, self.period)
        if isinstance(checked, StopReason):
            self.stop(checked)
            if step > 0.0:
                self._stop_step(step)
            return self._decision(step, False)
        if step > 0.0:
            self._step(checked, step)
        return self._decision(step, checked[-1] > 0.0)

    def _tick(self, reading: JointReading | None, now: float) -> tuple[float, bool]:
        """Time since the last command, for which the commanded position goes on; if the reading is new."""
        try:
            passed, new = self._clock.tick(None if reading is None else reading.time, now)
        except ClockFault:
            passed, new = self.period, False
            if self.reason is None:
                self.stop(StopReason.CLOCK)
        if passed > self.settings.max_age:
            passed = self.settings.max_age
            if self.reason is None and not self.at_rest:
                self.stop(StopReason.GAP)
        if self._q is not None:
            # an arm that takes positions waits for the next, one that takes velocities goes on meanwhile
            moved = passed if self._drifts else min(passed, self.period)
            self._q = [q + v * moved for q, v in zip(self._q, self._v)]
        return passed, new

    def _check(
        self, action: object, reading: JointReading | None, now: float, new: bool
    ) -> list[float] | StopReason:
        """The action [n + 1], or the first fault."""
        s = self.settings
        if s.deadman and not -s.deadman <= now - self._held <= s.deadman:
            return StopReason.DEADMAN
        if reading is None:
            return StopReason.NO_STATE
        # written so that a NaN age is stale; a state from the future has a clock nobody should trust
        if not -s.max_age <= now - reading.received <= s.max_age:
            return StopReason.STALE
        motion = self._reader.read(reading)
        if isinstance(motion, StopReason):
            return motion
        vector = as_vector(action, self._n + 1)
        wanted = [] if vector is None else vector.tolist()
        if not wanted or not all(map(math.isfinite, wanted)):
            return StopReason.BAD_ACTION
        fault = None
        if self._q is None:
            fault = self._begin(*motion)
        elif new:
            fault = self._compare(motion[0])
        return fault or wanted

    def _begin(self, q: list[float], qd: list[float]) -> StopReason | None:
        """Take the measured pose [n] as the commanded one, at rest."""
        if max(map(abs, qd)) > self.settings.still:
            return StopReason.MOVING
        beyond = max(max(j.limits.lower - x, x - j.limits.upper) for x, j in zip(q, self._joints))
        if beyond > self.settings.tracking:
            return StopReason.OUTSIDE
        self._q, self._moving = q, 0.0
        self._seen(q)
        return None

    def _compare(self, measured: list[float]) -> StopReason | None:
        """Commanded against newly measured positions [n]; joints at rest follow the measurement."""
        assert self._q is not None
        if self._endless:  # a continuous joint may be reported modulo a turn
            columns = zip(measured, self._q, self._endless)
            measured = [q + math.remainder(x - q, 2 * math.pi) if turns else x for x, q, turns in columns]
        if any(abs(x - q) > self.settings.tracking for x, q in zip(measured, self._q)):
            return StopReason.TRACKING
        if self._drifts:
            still = [not v and not a for v, a in zip(self._v, self._a)]
            self._q = [x if rests else q for x, q, rests in zip(measured, self._q, still)]
        self._seen(measured)
        return None

    def _seen(self, measured: list[float]) -> None:
        """Keep what is needed until the next measurement [n]."""
        assert self._q is not None
        self._off = [x - q for x, q in zip(measured, self._q)]
        self._slowest, self._fastest = list(self._v), list(self._v)
        # a joint parked a little outside may come in, but not go farther out
        self._low = [min(q, j.limits.lower) for q, j in zip(self._q, self._joints)]
        self._high = [max(q, j.limits.upper) for q, j in zip(self._q, self._joints)]

    def _step(self, wanted: list[float], dt: float) -> None:
        """One control step of dt s towards an action [n + 1]."""
        assert self._q is not None
        self._moving += dt
        share = min(1.0, self._moving / self.settings.ramp) if self.settings.ramp else 1.0
        for i, joint in enumerate(self._joints):
            v, q, limits = self._v[i], self._q[i], joint.limits
            now = q + self._off[i]  # where the arm should be by now, from where it was measured
            after = joint.next(
                min(max(wanted[i], -share), share) * limits.velocity,
                v,
                self._a[i],
                dt,
                commanded=(q - self._low[i], self._high[i] - q),
                measured=(now - limits.lower, limits.upper - now),
                recent=(self._slowest[i], self._fastest[i]),
            )
            self._v[i], self._a[i] = after, (after - v) / dt
            self._slowest[i] = min(self._slowest[i], after)
            self._fastest[i] = max(self._fastest[i], after)

    def _stop_step(self, dt: float) -> None:
        """One control step of dt s on the way to rest."""
        for i, joint in enumerate(self._joints):
            v = self._v[i]
            after = joint.stop(v, self._a[i], dt)
            self._v[i], self._a[i] = after, (after - v) / dt

    def _decision(self, dt: float, release: bool) -> Decision:
        shares = [v / j.limits.velocity if j.limits.velocity else 0.0 for v, j in zip(self._v, self._joints)]
        return Decision(
            velocity=np.array(self._v),
            position=None if self._q is None else np.array(self._q),
            release=release,
            action=np.array([*shares, 1.0 if release else -1.0]),
            dt=dt,
            stop=self.reason,
        )


def _jerk_limits(world: World, settings: SafetySettings) -> np.ndarray:
    """rad/s³, [n]."""
    if settings.jerk is None:
        return world.robot.jerk
    jerk = np.asarray(settings.jerk, dtype=float)
    if jerk.ndim and jerk.shape != (world.robot.n,):
        raise InputError(
            "safety.jerk", f"has {jerk.size} values", f"robot {world.robot.name} has {world.robot.n} joints"
        )
    if not (jerk > 0).all():
        raise InputError("safety.jerk", f"must be positive, found {settings.jerk}")
    return np.broadcast_to(jerk, world.robot.n)
