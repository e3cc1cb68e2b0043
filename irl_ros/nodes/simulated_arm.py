"""SimulatedArm: a throw world behind a real arm's controllers. No ROS here; `sim_arm` puts it on topics."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from irl_ros.errors import InputError, unknown_name
from irl_ros.settings import at_least
from irl_ros.sim.hardware import (
    ControllerStopped,
    DelayLine,
    ForwardController,
    Gripper,
    LinkFaults,
    Setpoint,
    Trajectory,
    TrajectoryController,
)
from irl_ros.sim.reference import Reference
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State
from irl_ros.sim.world import World

CONTROLLERS = ("forward_velocity", "forward_position", "joint_trajectory")
_APPROACH = 0.8  # of the acceleration limit, for a joint that is far from where it should be


@dataclass(frozen=True)
class HardwareSettings:
    """What the arm is like, apart from its motion."""

    controller: str = "forward_velocity"
    """Which controller has the arm: forward_velocity, forward_position or joint_trajectory."""
    gripper_delay: float = 0.0
    """s from the command to open to the ball's leaving."""
    command_timeout: float = 0.0
    """s after which a watchdog forgets a forward command; 0: never, as forward_command_controller."""
    link: LinkFaults = field(default_factory=LinkFaults)

    def __post_init__(self) -> None:
        if self.controller not in CONTROLLERS:
            problem, cure = unknown_name("controller", self.controller, CONTROLLERS)
            raise ValueError(f"controller: {problem}; {cure}")
        at_least(self, 0.0, "gripper_delay", "command_timeout")


class SimulatedArm:
    """One arm, one ball, one target, behind one controller for the arm and one for the gripper.

    What the world delays or disturbs, it does here too: `state` is the truth, `seen` what sensors show of it.
    The arm is stepped by control periods. Velocities that are forwarded act for a whole one, as in training.
    Everything finer (positions, trajectories, delays) needs updates at the physics rate, and gets them: then
    the world runs at that rate. Positions are smoothed over a control period, as drivers do it that take them
    at a lower rate than the arm does.

    Args:
        world: robot, limits and control period.
        simulate: makes the world that moves; given one at the rate of updates.
        settings: controller, delays and faults.

    Attributes:
        time: of the arm's clock, s, from 0.
        state: the newest, N = 1.
        complaint: why a controller stopped; "" while all are active.
    """

    def __init__(
        self, world: World, simulate: Callable[[World], Simulator], settings: HardwareSettings | None = None
    ) -> None:
        self.world, self.settings = world, settings or HardwareSettings()
        s, n = self.settings, world.robot.n
        self.updates = 1 if _coarse(s, world.dt) else world.settings.physics_steps
        self.simulator = simulate(world if self.updates == 1 else at_physics_rate(world))
        self._h = world.dt / self.updates
        self._reference = Reference(world, "cpu", torch.float64)
        self.trajectory = TrajectoryController("joint_trajectory_controller", world.robot.joints)
        self.forward = ForwardController("arm_controller", n, s.command_timeout)
        self.fingers = ForwardController("gripper_controller", 1)
        self.gripper = Gripper(s.gripper_delay)
        self._link: DelayLine[Callable[[], None]] = DelayLine(
            s.link.latency, s.link.lost_commands, s.link.seed
        )
        self.time, self.complaint = 0.0, ""
        self._target = middle_of_targets(world)
        self.reset()

    def reset(self) -> State:
        """Arm at home and at rest, gripper closed around a new ball, every controller activated.

        The world's ranges are drawn anew. Returns the state as sensors show it.
        """
        self._link.clear()
        self.gripper.close()
        self.state = self.simulator.reset(torch.as_tensor(self._target)[None])
        self.activate()
        return self.seen

    @property
    def seen(self) -> State:
        """The state as sensors show it."""
        return self.simulator.observed()

    def activate(self) -> None:
        """Activate the controllers, as a controller manager would: without a command, so the arm stops."""
        self.forward.activate()
        self.fingers.activate()
        self.trajectory.activate(self.q)
        self._lines: _Lines | None = None
        self.complaint = ""

    @property
    def q(self) -> np.ndarray:
        """Measured joint positions, rad, [n]."""
        return self.state.q[0].double().numpy()

    @property
    def qd(self) -> np.ndarray:
        """Measured joint velocities, rad/s, [n]."""
        return self.state.qd[0].double().numpy()

    def command(self, values: Sequence[float]) -> None:
        """A message for the arm's forward controller: velocities, rad/s, or positions, rad, in its order.

        Raises:
            InputError: it is dropped: not finite, or another kind of controller is active.
        """
        if self.settings.controller == "joint_trajectory":
            raise InputError("arm command", "nobody forwards commands", "send a trajectory")
        if not np.isfinite(np.asarray(values, dtype=float)).all():
            raise InputError("arm command", "holds a value that is not finite")
        values = list(values)
        self._link.put(lambda: self.forward.receive(values, self.time), self.time)

    def follow(self, trajectory: Trajectory) -> None:
        """A message for the joint_trajectory_controller; its `start` is on `time`.

        Raises:
            InputError: it is refused, or another kind of controller is active. With latency on the link the
                refusal is in `complaint` later instead.
        """
        if self.settings.controller != "joint_trajectory":
            raise InputError("trajectory", "no joint_trajectory_controller is active", "send commands")
        accept = functools.partial(self._accept, trajectory)
        if self.settings.link.latency:
            self._link.put(accept, self.time)
        elif self._link.put(lambda: None, self.time):
            accept()

    def _accept(self, trajectory: Trajectory) -> None:
        self.trajectory.receive(trajectory, self.time, self.q, self.qd)

    def open_gripper(self, values: Sequence[float]) -> None:
        """A message for the gripper's forward controller: one number, above 0 opens, else closes.

        Raises:
            InputError: it is dropped: not finite.
        """
        if not np.isfinite(np.asarray(values, dtype=float)).all():
            raise InputError("gripper command", "holds a value that is not finite")
        values = list(values)
        self._link.put(lambda: self.fingers.receive(values, self.time), self.time)

    def aim(self, target: Sequence[float]) -> None:
        """Move the target, m, [3] in the world frame; its height is where the ball lands.

        Raises:
            InputError: not three finite numbers.
        """
        point = np.asarray(target, dtype=float)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError("target", f"is {list(target)}", "give three finite coordinates")
        self._target = point
        moved = torch.as_tensor(point, dtype=self.state.q.dtype, device=self.state.q.device)[None]
        self.simulator.state = self.state = dataclasses.replace(self.state, target=moved)

    def step(self) -> State:
        """One control period under the commands given. The state as sensors show it."""
        for _ in range(self.updates):
            self._update()
        return self.seen

    def _update(self) -> None:
        for deliver in self._link.due(self.time):
            try:
                deliver()
            except InputError as error:  # a trajectory that came late is refused late
                self.complaint = str(error)
        velocity = self._velocity()
        self._move_gripper()
        share = np.divide(
            velocity, self.world.velocity, out=np.zeros_like(velocity), where=self.world.velocity > 0
        )
        release = 1.0 if self.gripper.is_open(self.time) else -1.0
        action = torch.as_tensor(np.append(share, release), dtype=self.state.q.dtype)
        self.state = self.simulator.step(action[None])
        self.time += self._h

    def _move_gripper(self) -> None:
        value = self._updated(self.fingers)
        if value is not None:
            # repeated, it is no second command: the fingers are on their way
            self.gripper.command(bool(value[0] > 0.0), self.time)

    def _updated(self, controller: ForwardController) -> np.ndarray | None:
        try:
            return controller.update(self.time)
        except ControllerStopped as error:
            self.complaint = str(error)
            return None

    def _velocity(self) -> np.ndarray:
        """Joint velocities to go for in this update, rad/s, [n]."""
        kind, rest = self.settings.controller, np.zeros(self.world.robot.n)
        if kind == "joint_trajectory":
            # what the arm is told at t is where it should be at the end of the update
            setpoint = self.trajectory.update(self.time + self._h)
            return rest if setpoint is None else self._servo(setpoint)
        command = self._updated(self.forward)
        if kind == "forward_position":
            return rest if command is None else self._servo(self._smoothed(command))
        if command is None:
            return rest
        if self.updates == 1:
            return command
        # near a limit, the braking distance of a whole control period is kept, as where that is one update
        share = self.world.action(command)[None]
        q, qd = (torch.as_tensor(x)[None] for x in (self.q, self.qd))
        return self._reference.command(q, qd, torch.as_tensor(share))[0].numpy()

    def _smoothed(self, position: np.ndarray) -> Setpoint:
        """On straight lines from each command to the next, a control period each, averaged over one."""
        if self._lines is None:
            here = self.q
            self._lines = _Lines(self.time, here, here, position)
        elif not np.array_equal(self._lines.end, position):
            self._lines = self._lines.towards(position, self.time, self.world.dt)
        return self._lines.at(self.time + self._h, self.world.dt)

    def _servo(self, wanted: Setpoint) -> np.ndarray:
        """Velocity, rad/s [n], that has the joints where they should be at the end of this update.

        In the worlds' semi-implicit steps a moving joint is half a step ahead of what its velocity says
        (q_k = q(t_k + h/2) where v_k = v(t_k)), so that is where it is sent. A joint that is far off comes
        near as fast as it can brake.
        """
        assert wanted.position is not None
        h = self._h
        off = wanted.position - 0.5 * h * wanted.velocity - self.q
        most = np.sqrt(2.0 * _APPROACH * self.world.acceleration * np.abs(off))
        return wanted.velocity + np.clip(off / h, -most, most)


@dataclass(frozen=True)
class _Lines:
    """The last two straight lines of a stream of positions, rad, [n], a control period each."""

    begun: float
    """When the second line was begun, s."""
    start: np.ndarray
    bend: np.ndarray
    end: np.ndarray

    def at(self, now: float, period: float) -> Setpoint:
        """The mean of the lines over the period before `now`, and its velocity."""
        first, second = self.bend - self.start, self.end - self.bend
        if not first.any() and not second.any():
            return Setpoint(self.end, np.zeros_like(self.end))
        share = (now - self.begun) / period
        if share > 1.0 + 1e-9:
            return _Lines(self.begun + period, self.bend, self.end, self.end).at(now, period)
        old = (1.0 - share) * (self.start + 0.5 * (1.0 + share) * first)
        new = share * (self.bend + 0.5 * share * second)
        return Setpoint(old + new, ((1.0 - share) * first + share * second) / period)

    def towards(self, position: np.ndarray, now: float, period: float) -> _Lines:
        """A new command comes at `now`; the second line ends where it has got to."""
        share = min((now - self.begun) / period, 1.0)
        reached = self.bend + share * (self.end - self.bend)
        late = now - self.begun > 1.5 * period  # it has rested at the end meanwhile
        return _Lines(now, self.end if late else self.bend, reached, position)


def _coarse(s: HardwareSettings, period: float) -> bool:
    """Whether updates at the control rate show all there is."""
    whole = (s.gripper_delay, s.link.latency, s.command_timeout)
    return s.controller == "forward_velocity" and all(
        abs(x / period - round(x / period)) < 1e-6 for x in whole
    )


def at_physics_rate(world: World) -> World:
    """The same world with a control step for each physics step."""
    s, k = world.settings, world.settings.physics_steps
    # latencies count control steps
    slow_arm, slow_hand = (
        tuple(k * x for x in steps) if isinstance(steps, tuple) else k * steps
        for steps in (s.arm.latency, s.gripper.latency)
    )
    finer = dataclasses.replace(
        s,
        control_hz=s.control_hz * k,
        horizon=s.horizon * k,
        physics_steps=1,
        arm=dataclasses.replace(s.arm, latency=slow_arm),
        gripper=dataclasses.replace(s.gripper, latency=slow_hand),
    )
    return dataclasses.replace(world, settings=finer)


def middle_of_targets(world: World) -> np.ndarray:
    """The centre of the region targets are drawn from, m, [3]."""
    t = world.settings.target
    radius, azimuth = sum(t.radius) / 2, sum(t.azimuth) / 2
    return np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), t.height])
