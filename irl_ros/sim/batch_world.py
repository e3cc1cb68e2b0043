"""BatchWorld: N throws at once in torch and compiled code, on the CPU or a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.sim.arm_response import ArmResponse
from irl_ros.sim.compiled_throws import Clock, CompiledThrows, Run, compiled_throws
from irl_ros.sim.compiler import CannotCompile, say_once
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Actuators, Readings
from irl_ros.sim.pilot import Pilot, Piloted
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.throw_layout import IN_AIR, RIM
from irl_ros.sim.world import World


class BatchWorld:
    """N independent throws advanced together, by the rules of BulletWorld. Implements `Simulator`.

    Args:
        world: what is simulated.
        device: where the tensors live.
        dtype: float32 for learning, float64 for comparisons.
        ideal: give the arm boundless torque. It then follows the `Reference`, and `torque_saturation` is NaN.
        compiled: let machine code move the arm, where a compiler is found; it is kept on disk
            (`compiler.cache_directory`). The same throws repeat bit by bit with it or without it, but from
            one to the other only to rounding.

    Attributes:
        arm: how the arm answers.
        state: the latest State, leading shape [N].
    """

    def __init__(
        self,
        world: World,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        ideal: bool = False,
        compiled: bool = True,
    ) -> None:
        self.world, self.device, self.dtype = world, torch.device(device), dtype
        self.arm = ArmResponse(world, self.device, dtype, ideal)
        self.kinematics = self.arm.kinematics
        self.flight = Flight(world)
        self.conditions: Conditions | None = None
        self._native: CompiledThrows | None = None
        self._shown: State | None = None  # the state that the compiled code left, in rows
        if compiled and not ideal:
            try:
                self._native = compiled_throws(world.robot, self.device, dtype)
            except CannotCompile as reason:
                say_once(f"irl_ros: throws are simulated without compiled code, slower: {reason}")
            self._prepare()
        self._home = torch.as_tensor(world.home, device=device, dtype=dtype)

    @property
    def compiled(self) -> bool:
        """Whether it runs machine code."""
        return self._native is not None

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
        targets = targets.to(device=self.device, dtype=self.dtype)
        count = targets.shape[0]
        self._set_conditions(conditions if conditions is not None else self.world.sample_conditions(count))
        if start is None:
            q = self._home.expand(count, -1).clone()
            qd = torch.zeros_like(q)
        else:
            q, qd = (x.to(device=self.device, dtype=self.dtype) for x in start)
        position, velocity = self.kinematics.tool_motion(q, qd)
        yes = torch.ones(count, dtype=torch.bool, device=self.device)
        self._t = 0
        self._violations = torch.zeros(count, device=self.device, dtype=self.dtype)
        self._clipped = torch.zeros_like(self._violations)
        self.state = State(q, qd, position, velocity, targets, yes, ~yes, torch.zeros_like(self._violations))
        return self.state

    def _set_conditions(self, conditions: Conditions | None) -> None:
        drawn_before, self.conditions = self.conditions, conditions
        if conditions is None:
            if drawn_before is not None:
                self.arm.begin(None)
                self.flight = Flight(self.world)
                self._prepare()
            return
        here = self.conditions = conditions.to(self.device)
        self.arm.begin(here)
        self.flight = Flight(self.world, here, self.device, self.dtype)
        self._actuators, self._readings = Actuators(here), Readings(here)
        self._prepare()

    def _prepare(self) -> None:
        """Tell the compiled code the limits, loads and air of the next throws."""
        if self._native is None:
            return
        f, world = self.flight, self.world
        air = {"drag": f.drag, "radius": f.radius, "rim": f.rim, "physics": world.settings.physics_steps}
        columns = {k: torch.as_tensor(x, device=self.device, dtype=self.dtype) for k, x in air.items()}
        wide = {k: x[:, None] if x.dim() else x[None] for k, x in columns.items()}
        flags = (IN_AIR if f.in_air else 0) | (RIM if f.rim else 0)
        self._native.begin(self.arm.constants | wide, flags)

    def observed(self) -> State:
        """The latest state as sensors show it, leading shape [N]: what a policy may see."""
        return self.state if self.conditions is None else self._readings(self.state, self._t)

    def step(self, action: Tensor) -> State:
        """Advance one control step.

        Args:
            action: [N, n + 1] in [-1, 1]: joint velocities as shares of the limits, then release (> 0).

        Returns:
            The next state, leading shape [N].
        """
        if self.conditions is not None:
            action = self._actuators(action)
        self._t += 1
        if self._native is None:
            self.state = self._stepped(action)
        else:
            run = self._native.run(self._packed(), self._clock(self._t - 1), action[:, None])
            self._take(run)
        return self.state

    def play(
        self,
        actions: Tensor,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> Throws:
        """Whole throws of prepared actions [N, T, n + 1]; otherwise as `rollout.throw`, and quicker."""
        self.reset(targets, start, conditions)
        if self._native is None or self.world.disturbed:
            states = [self.state, *(self.step(action) for action in actions.unbind(1))]
            return Throws(State.stack(states, 1), actions, self.outcome(), self.conditions)
        run = self._native.run(self._packed(), self._clock(0), actions, watch=True)
        self._t = actions.shape[1]
        self._take(run)
        return Throws(self._watched(run), actions, self.outcome(), self.conditions)

    def pilots(self, pilot: Pilot) -> bool:
        """Whether `fly` can be asked: compiled, single precision, nothing disturbed, a network that fits."""
        single = self.dtype == torch.float32
        return self._native is not None and single and pilot.fits and not self.world.disturbed

    def fly(
        self,
        pilot: Pilot,
        noise: Tensor,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> Piloted:
        """Whole throws of a policy that the compiled code runs as well.

        Args:
            pilot: the policy; `pilots` says whether it can be one.
            noise: of its decisions, [B, T, n + 1, 16], B ≥ N / 16, for 16 throws after the other: standard
                normal numbers for the joints' velocities, log odds of uniform ones for the release.
            targets, start, conditions: as in `reset`.
        """
        self.reset(targets, start, conditions)
        assert self._native is not None, "only where `pilots`"
        run = self._native.run(self._packed(), self._clock(0), None, pilot, noise, watch=True)
        self._t = noise.shape[1]
        self._take(run)
        assert run.seen is not None and run.acted is not None and run.chosen is not None
        throws = Throws(self._watched(run), run.acted, self.outcome(), self.conditions)
        return Piloted(throws, run.seen, *run.chosen.unbind(-1))

    def _packed(self) -> Tensor:
        """The state as rows [S, N] for the compiled code."""
        if self._shown is self.state:
            return self._rows
        s = self.state
        columns = (s.q, s.qd, s.ball_position, s.ball_velocity, s.held[:, None], s.landed[:, None], s.target)
        counted = self._violations[:, None], self._clipped[:, None]
        return torch.cat([x.to(self.device, self.dtype) for x in (*columns, *counted)], -1).T

    def _clock(self, time: int) -> Clock:
        return Clock(self.world.settings.physics_steps, time, self.world.horizon)

    def _take(self, run: Run) -> None:
        """Show what the compiled code left."""
        self._rows = run.state
        n = self.world.robot.n
        q, qd, ball, speed, held, landed, _, counted = run.state.split((n, n, 3, 3, 1, 1, 3, 2))
        self._violations, self._clipped = counted
        self.state = self._shown = State(
            q=q.T,
            qd=qd.T,
            ball_position=ball.T,
            ball_velocity=speed.T,
            target=self.state.target,
            held=held[0] > 0.5,
            landed=landed[0] > 0.5,
            phase=torch.full_like(held[0], self._t / self.world.horizon),
        )

    def _watched(self, run: Run) -> State:
        """The states of every control step, [N, T + 1]."""
        assert run.trajectory is not None
        n, count = self.world.robot.n, run.trajectory.shape[1]
        q, qd, ball, speed, held, landed = run.trajectory.split((n, n, 3, 3, 1, 1), -1)
        phase = torch.arange(count, device=self.device, dtype=torch.float64) / self.world.horizon
        return State(
            q=q,
            qd=qd,
            ball_position=ball,
            ball_velocity=speed,
            target=self.state.target[:, None].expand(-1, count, -1),
            held=held[..., 0] > 0.5,
            landed=landed[..., 0] > 0.5,
            phase=phase.to(self.dtype).expand(len(q), -1),
        )

    def _stepped(self, action: Tensor) -> State:
        """`step` in torch."""
        s = self.state
        held = s.held & (action[..., -1] <= 0)
        arm = self.arm.advance(s.q, s.qd, action[..., :-1])
        position, velocity, landed = self.flight.advance(s.ball_position, s.ball_velocity, s.target)
        position = torch.where(s.landed[..., None], s.ball_position, position)
        velocity = torch.where(s.landed[..., None], s.ball_velocity, velocity)
        self._violations = self._violations + arm.violated
        self._clipped = self._clipped + arm.clipped
        return State(
            q=arm.q,
            qd=arm.qd,
            ball_position=torch.where(held[..., None], arm.tool, position),
            ball_velocity=torch.where(held[..., None], arm.tool_velocity, velocity),
            target=s.target,
            held=held,
            landed=s.landed | (landed & ~held),
            phase=torch.full_like(s.phase, self._t / self.world.horizon),
        )

    def outcome(self) -> Outcome:
        """What came of the throws so far."""
        steps = max(self._t * self.world.settings.physics_steps, 1)
        return outcome_of(self.flight, self.state, self._violations, self._clipped / steps)


def outcome_of(flight: Flight, state: State, limit_violations: Tensor, torque_saturation: Tensor) -> Outcome:
    """The outcome that a final state shows, by the rules of `flight`."""
    nan = torch.full_like(state.ball_position, float("nan"))
    landing = torch.where(state.landed[..., None], state.ball_position, nan)
    error = (landing - state.target)[..., :2].norm(dim=-1)
    error = torch.where(state.landed, error, torch.full_like(error, float("inf")))
    inside = state.landed & flight.came_down(state.ball_position, state.target)
    return Outcome(landing, error, ~state.held, limit_violations, torque_saturation, inside)
