"""A whole throw, thought through before it begins, for controllers that take whole motions. No ROS here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from irl_ros.safety import JointReading, SafetyFilter, SafetySettings, StopReason
from irl_ros.safety.reading import JointReader
from irl_ros.sim.hardware import Trajectory, TrajectoryPoint
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import State
from irl_ros.sim.world import World

_ROUNDING = 1e-6


@dataclass(frozen=True)
class ThrowPlan:
    """Joint motion at the control rate from rest to rest; between its points the acceleration is constant.

    Attributes:
        times: from the start, s, [K].
        q, qd: rad and rad/s, [K, n].
        actions: what the policy wanted in each control step, [T, n + 1]; empty for a plan that only brakes.
        release: when the ball should leave the hand, s; None: never.
        stop: why safety broke the plan off, and it must not be used; None: all is well.
    """

    times: np.ndarray
    q: np.ndarray
    qd: np.ndarray
    actions: np.ndarray
    release: float | None = None
    stop: StopReason | None = None

    @property
    def end(self) -> float:
        """When the arm rests, s."""
        return float(self.times[-1])

    def trajectory(self, joints: Sequence[str], start: float) -> Trajectory:
        """For a joint_trajectory_controller: positions and velocities, so that it puts cubics through them.

        Where velocity goes in a straight line between points, those cubics are the plan itself.
        """
        rows = zip(self.times.tolist(), self.q.tolist(), self.qd.tolist(), strict=True)
        return Trajectory(joints, [TrajectoryPoint(t, q, qd) for t, q, qd in rows], start)

    def at(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities, each [n], at `time` s; at rest before and after."""
        clipped = min(max(time, 0.0), self.end)
        i = min(int(np.searchsorted(self.times, clipped, "right")) - 1, len(self.times) - 2)
        if i < 0:
            return self.q[0], self.qd[0]
        since, span = clipped - self.times[i], self.times[i + 1] - self.times[i]
        a = (self.qd[i + 1] - self.qd[i]) / span
        return self.q[i] + since * (self.qd[i] + 0.5 * since * a), self.qd[i] + since * a

    def acceleration(self, time: float) -> np.ndarray:
        """With which the motion comes to `time` s, rad/s², [n]; 0 at rest before and after."""
        i = int(np.searchsorted(self.times, time - _ROUNDING))
        if not 0 < i < len(self.times):
            return np.zeros_like(self.qd[0])
        return (self.qd[i] - self.qd[i - 1]) / (self.times[i] - self.times[i - 1])

    def excess(self, world: World) -> str:
        """Which limit of the world the motion breaks, in words; "" where it keeps all."""
        robot = world.robot
        a = np.diff(self.qd, axis=0) / np.diff(self.times)[:, None]
        low, high = robot.lower.copy(), robot.upper.copy()
        # a joint parked a little outside may come in
        low, high = np.minimum(low, self.q[0]), np.maximum(high, self.q[0])
        checks = {
            "position": np.maximum(self.q - high, low - self.q),
            "velocity": np.abs(self.qd) - world.velocity,
            "acceleration": np.abs(a) - world.acceleration,
        }
        for name, over in checks.items():
            # written so that a NaN is an excess
            if not (over <= _ROUNDING).all():
                joint = robot.joints[int(np.argmax(np.nan_to_num(over, nan=np.inf).max(axis=0)))]
                return f"{name} of joint '{joint}'"
        return "" if not self.qd[-1].any() else "rest at the end"


def plan_throw(
    act: Callable[[State], Tensor],
    world: World,
    settings: SafetySettings,
    reading: JointReading,
    target: Sequence[float],
    rate: float = 0.0,
) -> ThrowPlan:
    """Throw in mind: the policy's closed loop with a safety filter and an arm that does what it is told.

    Every velocity of the plan has passed a filter, and the arm goes from one to the next in a straight line,
    which is what a joint_trajectory_controller will have it do. So the states the policy answers here are
    those that will come.

    Args:
        act: State with leading shape [1] → action [1, n + 1].
        world: robot, limits, horizon, flight.
        settings: of the filter; its deadman is for real motion only.
        reading: where the arm is now, at rest.
        target: m, [3].
        rate: of the filter and of the plan's points, Hz, a multiple of the control rate; 0: the control rate.
            For arms that look at jerk: at 50 Hz, a jerk limit allows any acceleration in one step.
    """
    each, limiter = _points(world, rate), _limiter(world, settings, rate)
    dt = limiter.period
    limiter.enable()
    motion = JointReader(world.robot.joints).read(reading)
    if isinstance(motion, StopReason):
        nowhere = np.full((1, world.robot.n), np.nan)
        return ThrowPlan(np.zeros(1), nowhere, nowhere, np.zeros((0, world.action_dim)), stop=motion)
    q, measured = (np.array(x) for x in motion)
    arm, wanted = _ImaginedArm(world, q, dt, target), list[np.ndarray]()
    for k in range(world.horizon * each):
        if k % each == 0:
            arm.move_ball(world.dt if k else 0.0)
            wanted.append(act(arm.state(k / each / world.horizon))[0].double().numpy())
        now = JointReading(world.robot.joints, arm.q[-1], arm.qd[-1] if k else measured, k * dt)
        decision = limiter(wanted[-1], now, k * dt)
        if decision.stop is not None:
            break
        if decision.release:
            arm.let_go()
        arm.move(decision.velocity)
    for velocity in limiter.stop_path():
        arm.move(velocity)
    return arm.plan(wanted, limiter.reason)


def plan_stop(
    world: World, settings: SafetySettings, plan: ThrowPlan, since: float, rate: float = 0.0
) -> ThrowPlan:
    """The way to rest from a plan under way.

    Args:
        world, settings, rate: as the plan was made with.
        plan: what the arm follows.
        since: the time in it from which on the stop takes its place, s. At the end of a control step of the
            plan its filter has seen to it that the stop stays inside all limits.
    """
    limiter = _limiter(world, settings, rate)
    q, qd = plan.at(since)
    arm = _ImaginedArm(world, q, limiter.period)
    arm.qd[0] = qd
    for after in limiter.stop_path((qd, plan.acceleration(since))):
        arm.move(after)
    return arm.plan([], None)


def _points(world: World, rate: float) -> int:
    """In a control step."""
    return max(1, round(rate * world.dt))


def _limiter(world: World, settings: SafetySettings, rate: float) -> SafetyFilter:
    """The filter of a plan with so many points a second."""
    dt = world.dt / _points(world, rate)
    return SafetyFilter(world, replace(settings, deadman=0.0, period=dt, lag=settings.lag or dt))


class _ImaginedArm:
    """An arm at rest with a ball in hand, moved from velocity to velocity in straight lines.

    Args:
        dt: from one velocity to the next, s.
    """

    def __init__(self, world: World, q: np.ndarray, dt: float, target: Sequence[float] = (0, 0, 0)) -> None:
        self._world, self._flight, self._dt = world, Flight(world), dt
        self._kinematics = world.robot.kinematics(dtype=torch.float64)
        self.q, self.qd = [q], [np.zeros_like(q)]
        self._target = torch.as_tensor(np.asarray(target, dtype=float))[None]
        self._release: float | None = None
        self._landed = torch.zeros(1, dtype=torch.bool)

    def _motion(self) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(self.q[-1])[None], torch.as_tensor(self.qd[-1])[None]

    def state(self, phase: float) -> State:
        """As a policy sees it, leading shape [1]."""
        held = torch.tensor([self._release is None])
        seen = State(*self._motion(), *self._ball, self._target, held, self._landed, torch.tensor([phase]))
        return seen.to(dtype=torch.float32)

    def move(self, velocity: np.ndarray) -> None:
        """To the next velocity, rad/s, [n]."""
        self.q.append(self.q[-1] + 0.5 * self._dt * (self.qd[-1] + velocity))
        self.qd.append(velocity)

    def let_go(self) -> None:
        """The ball leaves the hand now; only once."""
        if self._release is None:
            self._release = (len(self.q) - 1) * self._dt

    def move_ball(self, passed: float) -> None:
        """The ball after one control step: in hand, in the air or down."""
        if self._release is None or not passed:
            self._ball = self._kinematics.tool_motion(*self._motion())
        elif not self._landed.item():
            position, speed, self._landed = self._flight.advance(*self._ball, self._target)
            self._ball = position, speed

    def plan(self, wanted: list[np.ndarray], stop: StopReason | None) -> ThrowPlan:
        """What has been gone through so far."""
        return ThrowPlan(
            times=np.arange(len(self.q)) * self._dt,
            q=np.array(self.q),
            qd=np.array(self.qd),
            actions=np.array(wanted).reshape(len(wanted), self._world.action_dim),
            release=self._release,
            stop=stop,
        )
