"""BulletWorld: one throw in PyBullet, the reference that BatchWorld is held to."""

from __future__ import annotations

from types import TracebackType

import pybullet
import torch
from torch import Tensor

from irl_ros.sim.batch_world import outcome_of
from irl_ros.sim.bullet_arm import BulletArm
from irl_ros.sim.reference import Flight, Reference
from irl_ros.sim.state import Outcome, State
from irl_ros.sim.world import World


class BulletWorld:
    """One arm and one ball in a PyBullet client of their own. Implements `Simulator` with N = 1.

    At each control step the reference motion is planned from the *measured* joint state; at each physics step the
    servo turns it into clipped torques. The ball rides rigidly at the tool point until it is let go, then flies as a
    free body (no contact with the arm: overlapping the gripper it would be kicked); it lands by the rule in `Flight`
    and rests there. Everything inside is float64, and repeats bit by bit after `reset`.

    Steps beyond the horizon are allowed (`phase` stays 1): the arm goes on as before.

    Args:
        world: what is simulated.
        dtype: of the tensors shown.

    Attributes:
        state: the latest State, leading shape [1].
        arm: the arm's joint motion and torques as PyBullet has them.
    """

    def __init__(self, world: World, dtype: torch.dtype = torch.float64) -> None:
        self.world, self.dtype, self.device = world, dtype, torch.device("cpu")
        self.reference = Reference(world, "cpu", torch.float64)
        self.flight = Flight(world)
        self._client = pybullet.connect(pybullet.DIRECT)
        pybullet.setGravity(0.0, 0.0, -world.settings.gravity, physicsClientId=self._client)
        pybullet.setTimeStep(world.physics_dt, physicsClientId=self._client)
        self.arm = BulletArm(world, self._client)
        self._ball = self._create_ball()
        self._down = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        self.reset(torch.zeros(1, 3))

    def reset(self, targets: Tensor, start: tuple[Tensor, Tensor] | None = None) -> State:
        """Begin a throw.

        Args:
            targets: m, [1, 3].
            start: joint positions and velocities to start from, rad and rad/s, each [1, n]; default: home, at rest.

        Returns:
            The state at t = 0, leading shape [1].
        """
        if start is None:
            q, qd = self.world.home.tolist(), [0.0] * self.world.robot.n
        else:
            q, qd = (x.detach().to("cpu", torch.float64).reshape(-1).tolist() for x in start)
        self.arm.reset(q, qd)
        return self.take_ball(targets)

    def take_ball(self, targets: Tensor | None = None) -> State:
        """Begin the next throw from where the arm is: the ball is in the hand again and time is 0.

        Args:
            targets: m, [1, 3]; default: the same again.
        """
        target = self._now.target if targets is None else targets.detach().to("cpu", torch.float64).reshape(1, 3)
        self._t, self._clipped, self._violations = 0, 0, 0
        position, velocity = self.arm.tool_motion()
        self._place_ball(position, velocity)
        yes = torch.ones(1, dtype=torch.bool)
        return self._show(_row(position), _row(velocity), target, yes, ~yes)

    def step(self, action: Tensor) -> State:
        """Advance one control step.

        Args:
            action: [1, n + 1] in [-1, 1]: joint velocities as a share of this world's limits, then release (> 0).

        Returns:
            The next state, leading shape [1].
        """
        s, action = self._now, action.detach().to("cpu", torch.float64)
        held = s.held & (action[..., -1] <= 0)
        flying = not held and not s.landed
        if flying and s.held:
            self._place_ball(s.ball_position[0].tolist(), s.ball_velocity[0].tolist())
        velocities = self.reference.velocities(s.qd, self.reference.command(s.q, s.qd, action[..., :-1]))
        for velocity in velocities[0].tolist():
            self._clipped += self.arm.servo(velocity)
            if flying and self.flight.drag > 0:
                self._push_ball()
            pybullet.stepSimulation(physicsClientId=self._client)
            self.arm.measure()
        self._t += 1
        position, velocity, landed = self._ball_motion(held, flying)
        state = self._show(position, velocity, s.target, held, landed)
        self._violations += int(self.reference.violations(self._now.q, self._now.qd, s.qd))
        return state

    def outcome(self) -> Outcome:
        """What came of the throw so far."""
        steps = max(self._t * self.world.settings.physics_steps, 1)
        violations = torch.tensor([self._violations], dtype=self.dtype)
        return outcome_of(self.state, violations, torch.tensor([self._clipped / steps], dtype=self.dtype))

    def close(self) -> None:
        """Give PyBullet's client back. PyBullet has room for about a thousand."""
        if self._client >= 0:
            pybullet.disconnect(self._client)
            self._client = -1

    def __enter__(self) -> BulletWorld:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _show(self, position: Tensor, velocity: Tensor, target: Tensor, held: Tensor, landed: Tensor) -> State:
        self._now = State(
            q=_row(self.arm.q),
            qd=_row(self.arm.qd),
            ball_position=position,
            ball_velocity=velocity,
            target=target,
            held=held,
            landed=landed,
            phase=torch.tensor([min(self._t / self.world.horizon, 1.0)], dtype=torch.float64),
        )
        self.state = self._now if self.dtype == torch.float64 else self._now.to(dtype=self.dtype)
        return self.state

    def _ball_motion(self, held: Tensor, flying: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The ball after a control step: position, velocity, landed. Puts PyBullet's ball there if it does not fly."""
        before = self._now
        if held:
            position, velocity = self.arm.tool_motion()
            self._place_ball(position, velocity)
            return _row(position), _row(velocity), before.landed
        if flying:
            at, _ = pybullet.getBasePositionAndOrientation(self._ball, physicsClientId=self._client)
            speed, _ = pybullet.getBaseVelocity(self._ball, physicsClientId=self._client)
            if at[2] > before.target[0, 2]:
                return _row(at), _row(speed), before.landed
            # the ball came down within this step: Flight says where
            rest = self.flight.advance(before.ball_position, before.ball_velocity, before.target[..., 2])
            self._place_ball(rest[0][0].tolist(), (0.0, 0.0, 0.0))
            return rest
        self._place_ball(before.ball_position[0].tolist(), (0.0, 0.0, 0.0))
        return before.ball_position, before.ball_velocity, before.landed

    def _create_ball(self) -> int:
        client, ball = self._client, self.world.settings.ball
        shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=ball.radius, physicsClientId=client)
        body = pybullet.createMultiBody(ball.mass, shape, physicsClientId=client)
        pybullet.changeDynamics(body, -1, linearDamping=0.0, angularDamping=0.0, physicsClientId=client)
        pybullet.setCollisionFilterGroupMask(body, -1, 0, 0, physicsClientId=client)
        return body

    def _place_ball(self, position, velocity) -> None:
        upright = (0.0, 0.0, 0.0, 1.0)
        pybullet.resetBasePositionAndOrientation(self._ball, position, upright, physicsClientId=self._client)
        pybullet.resetBaseVelocity(self._ball, velocity, (0.0, 0.0, 0.0), physicsClientId=self._client)

    def _push_ball(self) -> None:
        """Air drag over the coming physics step."""
        position, _ = pybullet.getBasePositionAndOrientation(self._ball, physicsClientId=self._client)
        velocity, _ = pybullet.getBaseVelocity(self._ball, physicsClientId=self._client)
        drag, _ = self.flight.drag_step(torch.tensor(velocity, dtype=torch.float64), self._down)
        force = (drag * self.world.settings.ball.mass).tolist()
        pybullet.applyExternalForce(
            self._ball, -1, force, position, pybullet.WORLD_FRAME, physicsClientId=self._client
        )


def _row(values) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)
