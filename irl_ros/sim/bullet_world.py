"""BulletWorld: throws in PyBullet, the reference that BatchWorld is held to."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor

from irl_ros.sim.arm_response import ArmResponse
from irl_ros.sim.batch_world import outcome_of
from irl_ros.sim.bullet_arm import BulletArm
from irl_ros.sim.bullet_ball import BulletBall
from irl_ros.sim.compiled_plan import CPU, compiled_plan
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Actuators, Readings
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import Outcome, State
from irl_ros.sim.world import World

AS_ASKED = 1e-9
"""Of q (rad) and q̇ (rad/s): an arm farther than this from where its torques should have brought it has met
something. Undisturbed it is within 1e-15."""
ZERO = (0.0, 0.0, 0.0)
Start = tuple[list[float], list[float], bool]
"""Joint positions and velocities at the beginning of a control step, and whether the ball is held in it."""


class BulletWorld:
    """N throws by one arm and one ball in PyBullet, which take the throws in turn. Implements `Simulator`.

    At each control step the reference motion is planned from the *measured* joint state; at each physics step
    the servo turns it into clipped torques. The ball rides rigidly at the tool point until it is let go, then
    flies as a free body (no contact with the arm: overlapping the gripper it would be kicked); it lands by
    the rule in `Flight` and rests there. All is float64 on the CPU, and repeats bit by bit whatever was
    thrown before, beside, and in which order.

    While no torque is clipped the servo brings the arm where it was asked to, to rounding. So a control step
    is first tried with the torques that belong to the planned states, and measured at its end alone; only
    where a torque is clipped, or the arm is not where it should be, it is done again with a measurement at
    every physics step.

    Steps beyond the horizon are allowed (`phase` stays 1): the arm goes on as before.

    Args:
        world: what is simulated.

    Attributes:
        state: the latest State, leading shape [N], float64.
        conditions: what the throws since the last reset are made under; None where the world draws nothing.
        torque: joint torques of the last physics step, N m (N for sliding joints), [N, n].
    """

    def __init__(self, world: World) -> None:
        self.world, self.device = world, torch.device("cpu")
        self.state: State
        self.torque: Tensor
        self._response, self._plan = ArmResponse(world, CPU, torch.float64), compiled_plan(world.robot)
        self._limit()
        self.flight = Flight(world)
        self.conditions: Conditions | None = None
        self._arm, self._ball = BulletArm(world), BulletBall(world)
        self._effort = torch.from_numpy(self._arm.effort)

    def reset(
        self,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> State:
        """Begin N throws.

        Args:
            targets: m, [N, 3].
            start: joint positions and velocities to start from, rad and rad/s, each [N, n]; default:
                home, at rest.
            conditions: what the throws are made under, [N]; default: drawn as the world says, by torch's
                global generator.

        Returns:
            The state at t = 0, leading shape [N].
        """
        count, n = targets.shape[0], self.world.robot.n
        self._set_conditions(conditions if conditions is not None else self.world.sample_conditions(count))
        if start is None:
            start = (torch.tensor(self.world.home).expand(count, n), torch.zeros(count, n))
        q, qd = (x.detach().to("cpu", torch.float64) for x in start)
        return self._begin(q, qd, targets.detach().to("cpu", torch.float64))

    def observed(self) -> State:
        """The latest state as sensors show it, leading shape [N]: what a policy may see."""
        return self.state if self.conditions is None else self._readings(self.state, self._t)

    def take_ball(self, targets: Tensor | None = None) -> State:
        """Begin the next throws from where the arms are: the ball is in the hand again and time is 0.

        Args:
            targets: m, [N, 3]; default: the same again.
        """
        s = self.state
        return self._begin(s.q, s.qd, s.target if targets is None else targets.detach().to(s.target))

    def step(self, action: Tensor) -> State:
        """Advance one control step.

        Args:
            action: [N, n + 1] in [-1, 1]: joint velocities as shares of the limits, then release (> 0).

        Returns:
            The next state, leading shape [N].
        """
        s, action = self.state, action.detach().to("cpu", torch.float64)
        if self.conditions is not None:
            action = self._actuators(action)
        held = s.held & (action[..., -1] <= 0)
        q, qd, tool = self._move_arms(action[..., :-1], held)
        position, velocity, landed = self._move_balls(~held & ~s.landed)
        self._t += 1
        self._violations += self.reference.violations(q, qd, s.qd)
        self.state = State(
            q=q,
            qd=qd,
            ball_position=torch.where(held[:, None], tool[0], position),
            ball_velocity=torch.where(held[:, None], tool[1], velocity),
            target=s.target,
            held=held,
            landed=s.landed | landed,
            phase=torch.full_like(s.phase, min(self._t / self.world.horizon, 1.0)),
        )
        return self.state

    def outcome(self) -> Outcome:
        """What came of the throws so far."""
        steps = max(self._t * self.world.settings.physics_steps, 1)
        return outcome_of(self.flight, self.state, self._violations.clone(), self._clipped / steps)

    def close(self) -> None:
        """Give PyBullet's clients back."""
        self._arm.close()
        self._ball.close()

    def __enter__(self) -> BulletWorld:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _set_conditions(self, conditions: Conditions | None) -> None:
        self.conditions = conditions
        if conditions is None:
            return
        here = self.conditions = conditions.to("cpu", torch.float64)
        self._response.begin(here)
        self._limit()
        self.flight = Flight(self.world, here, "cpu", torch.float64)
        self._actuators, self._readings = Actuators(here), Readings(here)
        locked = torch.from_numpy(self.world.locked)
        self._effort = here.effort.masked_fill(locked, torch.inf)
        self._loads = list(zip(here.gravity.tolist(), here.payload.tolist(), strict=True))
        self._balls = list(
            zip(here.gravity.tolist(), here.ball_mass.tolist(), here.drag.tolist(), strict=True)
        )

    def _limit(self) -> None:
        """Plan under the limits and loads of `_response`."""
        self.reference = self._response.reference
        if self._plan is not None:
            self._plan.begin(self._response.constants)

    def _take_arm(self, i: int) -> BulletArm:
        """The arm, under the conditions of throw i."""
        if self.conditions is not None:
            self._arm.become(*self._loads[i])
        return self._arm

    def _begin(self, q: Tensor, qd: Tensor, targets: Tensor) -> State:
        tools = []
        for motion in zip(q.tolist(), qd.tolist(), strict=True):
            self._arm.place(*motion)
            tools.append(self._arm.tool_motion())
        position, velocity = torch.tensor(tools, dtype=torch.float64).unbind(1)
        self._t = 0
        self._clipped, self._violations = torch.zeros(2, len(tools), dtype=torch.float64)
        self.torque = torch.zeros_like(q)
        held = torch.ones(len(tools), dtype=torch.bool)
        self.state = State(q, qd, position, velocity, targets, held, ~held, torch.zeros_like(self._clipped))
        return self.state

    def _move_arms(self, action: Tensor, held: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Arms a control step later under an action's [N, n]: q, q̇, and the tool's motion where held."""
        s, n = self.state, self.world.robot.n
        if self._plan is None:
            plan = self.reference.velocities(s.qd, self.reference.command(s.q, s.qd, action))
            torque, expected = self._foreseen(plan)
        else:
            plan, torque, expected = self._plan(s.q, s.qd, action, self.reference.steps)
        effort = self._effort.expand(len(plan), n)
        free = (torque.abs() <= effort[:, None]).flatten(1).all(1)
        motion = torch.zeros(len(plan), 2 * n + 6, dtype=torch.float64)
        starts = list(zip(s.q.tolist(), s.qd.tolist(), held.tolist(), strict=True))
        self.torque = torque[:, -1].clone()
        self._push(free.nonzero().flatten(), starts, torque, motion)
        as_asked = ((motion[:, : 2 * n] - expected).abs() <= AS_ASKED).all(1)
        self._servo((~(free & as_asked)).nonzero().flatten(), starts, plan, effort, motion)
        q, qd, position, velocity = motion.split((n, n, 3, 3), -1)
        return q, qd, (position, velocity)

    def _foreseen(self, plan: Tensor) -> tuple[Tensor, Tensor]:
        """Torques that follow the plan, N m, [N, S, n], and the joint state [N, 2n] that they lead to.

        What `CompiledPlan` says as well, and here PyBullet's inverse dynamics do.
        """
        s, h = self.state, self.world.physics_dt
        q = torch.cat((s.q[:, None], s.q[:, None] + h * plan.cumsum(1)), 1)
        qd = torch.cat((s.qd[:, None], plan), 1)
        motions = zip(q[:, :-1].tolist(), qd[:, :-1].tolist(), (qd.diff(dim=1) / h).tolist(), strict=True)
        torques = [self._take_arm(i).torques(*motion) for i, motion in enumerate(motions)]
        return torch.tensor(torques, dtype=torch.float64), torch.cat((q[:, -1], qd[:, -1]), -1)

    def _push(self, rows: Tensor, starts: list[Start], torque: Tensor, motion: Tensor) -> None:
        """Carry out the control step of some throws with prepared torques; fills their rows of `motion`."""
        moved = []
        for i, torques in zip(rows.tolist(), torque[rows].tolist(), strict=True):
            arm = self._take_arm(i)
            arm.place(*starts[i][:2])
            arm.push(torques)
            moved.append(_measured(arm, starts[i]))
        motion[rows] = _rows(moved, motion)

    def _servo(self, rows: Tensor, starts: list[Start], plan: Tensor, effort: Tensor, motion: Tensor) -> None:
        """Carry out the control step of some throws by the servo; fills their rows of `motion`."""
        moved = []
        for i, velocities, limit in zip(
            rows.tolist(), plan[rows].tolist(), effort[rows].tolist(), strict=True
        ):
            arm = self._take_arm(i)
            arm.place(*starts[i][:2])
            clipped, torque = arm.servo(velocities, limit)
            moved.append(_measured(arm, starts[i]))
            self.torque[i] = torch.tensor(torque, dtype=torch.float64)
            self._clipped[i] += clipped
        motion[rows] = _rows(moved, motion)

    def _move_balls(self, flying: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Balls a control step later: positions, velocities, and which of them have come down in it.

        Whether and where within the step a ball comes down is for `Flight` to say; the others PyBullet moves.
        """
        s = self.state
        if not flying.any():
            return s.ball_position, s.ball_velocity, flying
        point, rest, down = self.flight.advance(s.ball_position, s.ball_velocity, s.target)
        down = flying & down
        position = torch.where(down[:, None], point, s.ball_position)
        velocity = torch.where(down[:, None], rest, s.ball_velocity)
        rows = (flying & ~down).nonzero().flatten()
        moved = []
        begun = zip(s.ball_position[rows].tolist(), s.ball_velocity[rows].tolist(), strict=True)
        for i, motion in zip(rows.tolist(), begun, strict=True):
            if self.conditions is not None:
                self._ball.become(*self._balls[i])
            moved.append(self._ball.fly(*motion))
        if moved:
            position[rows], velocity[rows] = torch.tensor(moved, dtype=torch.float64).unbind(1)
        return position, velocity, down


def _measured(arm: BulletArm, start: Start) -> list[float]:
    """Joint state, and the tool's motion if the ball is held: 2n + 6 numbers."""
    q, qd = arm.measure()
    position, velocity = arm.tool_motion() if start[2] else (ZERO, ZERO)
    return [*q, *qd, *position, *velocity]


def _rows(values: list[list[float]], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype).reshape(-1, like.shape[-1])
