"""BulletWorld: throws in PyBullet, the reference that BatchWorld is held to."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from irl_ros.sim.batch_world import outcome_of
from irl_ros.sim.bullet_arm import BulletArm, HeavierArm
from irl_ros.sim.bullet_ball import BulletBall
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Actuators, Readings
from irl_ros.sim.engine import pybullet
from irl_ros.sim.reference import Flight, Reference
from irl_ros.sim.state import Outcome, State
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends

MOST_CLIENTS = 256  # 7 GB; PyBullet itself ends at 1024 in a process


class BulletWorld:
    """N throws, each with an arm and a ball in a PyBullet client of its own. Implements `Simulator`.

    At each control step the reference motion is planned from the *measured* joint state; at each physics step
    the servo turns it into clipped torques. The ball rides rigidly at the tool point until it is let go, then
    flies as a free body (no contact with the arm: overlapping the gripper it would be kicked); it lands by
    the rule in `Flight` and rests there. All is float64 on the CPU, and repeats bit by bit after `reset`.

    Steps beyond the horizon are allowed (`phase` stays 1): the arm goes on as before.

    Args:
        world: what is simulated.

    Attributes:
        state: the latest State, leading shape [N], float64.
    """

    def __init__(self, world: World) -> None:
        self.world, self.device = world, torch.device("cpu")
        self.state: State
        self.reference = Reference(world, "cpu", torch.float64)
        self.flight = Flight(world)
        self.conditions: Conditions | None = None
        # in a world whose payload is drawn, arms carry more than what they are built with
        self._heavier = HeavierArm(world) if "arm.payload" in world.drawn else None
        self._all: list[_Client] = []
        self._clients: list[_Client] = []

    def reset(
        self,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> State:
        """Begin N throws. Clients are made when first needed: 20 ms and 28 MB each.

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
        if count > MOST_CLIENTS:
            raise ValueError(
                f"at most {MOST_CLIENTS} throws at once in PyBullet, asked for {count}: use BulletPool"
            )
        while len(self._all) < count:
            self._all.append(_Client(self.world, self._heavier))
        self._clients = self._all[:count]
        self._set_conditions(conditions if conditions is not None else self.world.sample_conditions(count))
        if start is None:
            start = (torch.tensor(self.world.home).expand(count, n), torch.zeros(count, n))
        q, qd = (x.detach().to("cpu", torch.float64).tolist() for x in start)
        for client, position, velocity in zip(self._clients, q, qd, strict=True):
            client.arm.reset(position, velocity)
        return self.take_ball(targets)

    def _set_conditions(self, conditions: Conditions | None) -> None:
        self.conditions = conditions
        if conditions is None:
            return
        here = self.conditions = conditions.to("cpu", torch.float64)
        self.reference = Reference(self.world, "cpu", torch.float64, here)
        self.flight = Flight(self.world, here, "cpu", torch.float64)
        self._actuators, self._readings = Actuators(here), Readings(here)
        for i, client in enumerate(self._clients):
            client.become(here[i])

    def observed(self) -> State:
        """The latest state as sensors show it, leading shape [N]: what a policy may see."""
        return self.state if self.conditions is None else self._readings(self.state, self._t)

    def take_ball(self, targets: Tensor | None = None) -> State:
        """Begin the next throws from where the arms are: the ball is in the hand again and time is 0.

        Args:
            targets: m, [N, 3]; default: the same again.
        """
        target = self.state.target if targets is None else targets.detach().to("cpu", torch.float64)
        self._t = 0
        self._clipped = torch.zeros(len(self._clients), dtype=torch.float64)
        self._violations = torch.zeros_like(self._clipped)
        tools = [client.arm.tool_motion() for client in self._clients]
        for client, (position, velocity) in zip(self._clients, tools, strict=True):
            client.ball.place(position, velocity)
        held = torch.ones(len(tools), dtype=torch.bool)
        self.state = self._seen(*_stack(tools), target, held, ~held)
        return self.state

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
        flying = ~held & ~s.landed
        velocities = self.reference.velocities(s.qd, self.reference.command(s.q, s.qd, action[..., :-1]))
        self._release(s, flying & s.held)
        clipped, balls = [], []
        for client, plan, hold, fly in zip(
            self._clients, velocities.tolist(), held.tolist(), flying.tolist(), strict=True
        ):
            clipped.append(client.advance(plan, fly))
            balls.append(client.arm.tool_motion() if hold else client.ball.motion())
        self._t += 1
        position, velocity, landed = self._land(s, flying, *_stack(balls))
        self._hold_balls(~flying | landed, position, velocity)
        self.state = self._seen(position, velocity, s.target, held, landed)
        self._clipped += torch.tensor(clipped)
        self._violations += self.reference.violations(self.state.q, self.state.qd, s.qd)
        return self.state

    def outcome(self) -> Outcome:
        """What came of the throws so far."""
        steps = max(self._t * self.world.settings.physics_steps, 1)
        return outcome_of(self.flight, self.state, self._violations.clone(), self._clipped / steps)

    @property
    def torque(self) -> Tensor:
        """Joint torques of the last physics step, N m (N for sliding joints), [N, n]."""
        return torch.tensor([client.arm.torque for client in self._clients], dtype=torch.float64)

    def close(self) -> None:
        """Give PyBullet's clients back."""
        for client in self._all:
            client.close()
        if self._heavier is not None:
            self._heavier.close()
        self._all, self._clients, self._heavier = [], [], None

    def __enter__(self) -> BulletWorld:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _seen(
        self, position: Tensor, velocity: Tensor, target: Tensor, held: Tensor, landed: Tensor
    ) -> State:
        return State(
            q=torch.tensor([client.arm.q for client in self._clients], dtype=torch.float64),
            qd=torch.tensor([client.arm.qd for client in self._clients], dtype=torch.float64),
            ball_position=position,
            ball_velocity=velocity,
            target=target,
            held=held,
            landed=landed,
            phase=torch.full_like(position[:, 0], min(self._t / self.world.horizon, 1.0)),
        )

    def _release(self, s: State, let_go: Tensor) -> None:
        for i in let_go.nonzero().flatten().tolist():
            self._clients[i].ball.place(s.ball_position[i].tolist(), s.ball_velocity[i].tolist())

    def _land(
        self, before: State, flying: Tensor, position: Tensor, velocity: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Ball positions, velocities and landed flags after a control step, given what PyBullet says.

        Whether and where within the step a ball came down is for `Flight` to say, from the step's beginning.
        """
        down = torch.zeros_like(flying)
        if flying.any():
            point, rest, down = self.flight.advance(before.ball_position, before.ball_velocity, before.target)
            down = flying & down
            position = torch.where(down[:, None], point, position)
            velocity = torch.where(down[:, None], rest, velocity)
        position = torch.where(before.landed[:, None], before.ball_position, position)
        velocity = torch.where(before.landed[:, None], before.ball_velocity, velocity)
        return position, velocity, before.landed | down

    def _hold_balls(self, kept: Tensor, position: Tensor, velocity: Tensor) -> None:
        """Put the balls that do not fly where they belong: into the hand, or at rest where they landed."""
        for client, keep, at, speed in zip(
            self._clients, kept.tolist(), position.tolist(), velocity.tolist(), strict=True
        ):
            if keep:
                client.ball.place(at, speed)


class _Client:
    """One PyBullet client: an arm and a ball under gravity."""

    def __init__(self, world: World, heavier: HeavierArm | None) -> None:
        self._id, self._heavier = pybullet.connect(pybullet.DIRECT), heavier
        self._pull(ends(world.settings.gravity)[0])
        pybullet.setTimeStep(world.physics_dt, physicsClientId=self._id)
        self.arm = BulletArm(world, self._id, heavier)
        self.ball = BulletBall(world, self._id)

    def _pull(self, gravity: float) -> None:
        self.gravity = gravity
        pybullet.setGravity(0.0, 0.0, -gravity, physicsClientId=self._id)

    def become(self, c: Conditions) -> None:
        """Take on the conditions of one throw (no leading dimension)."""
        self._pull(float(c.gravity))
        self.ball.become(float(c.ball_mass), float(c.drag))
        self.arm.limit_effort(c.effort.tolist())
        self.arm.carry(float(c.payload))

    def advance(self, velocities: Sequence[Sequence[float]], flying: bool) -> int:
        """One control step along velocities [S][n]; in how many physics steps torque was clipped."""
        if self._heavier is not None:
            self._heavier.under(self.gravity)
        arm, clipped, pushed = self.arm, 0, flying and self.ball.in_air
        for velocity in velocities:
            clipped += arm.servo(velocity)
            if pushed:
                self.ball.push()
            pybullet.stepSimulation(physicsClientId=self._id)
            arm.measure()
        return clipped

    def close(self) -> None:
        pybullet.disconnect(self._id)


def _stack(motions: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[Tensor, Tensor]:
    """Positions and velocities, each [N, 3]."""
    positions, velocities = zip(*motions, strict=True)
    return torch.tensor(positions, dtype=torch.float64), torch.tensor(velocities, dtype=torch.float64)
