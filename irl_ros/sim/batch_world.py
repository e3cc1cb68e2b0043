"""BatchWorld: N throws at once in torch and compiled code, on the CPU or a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from irl_ros.sim.arm_response import ArmResponse
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Actuators, Readings
from irl_ros.sim.reference import Flight
from irl_ros.sim.state import Outcome, State
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
        self.arm = ArmResponse(world, self.device, dtype, ideal, compiled)
        self.kinematics = self.arm.kinematics
        self.flight = Flight(world)
        self.conditions: Conditions | None = None
        self._home = torch.as_tensor(world.home, device=device, dtype=dtype)

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
            return
        here = self.conditions = conditions.to(self.device)
        self.arm.begin(here)
        self.flight = Flight(self.world, here, self.device, self.dtype)
        self._actuators, self._readings = Actuators(here), Readings(here)

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
        s = self.state
        if self.conditions is not None:
            action = self._actuators(action)
        held = s.held & (action[..., -1] <= 0)
        arm = self.arm.advance(s.q, s.qd, action[..., :-1])
        position, velocity, landed = self.flight.advance(s.ball_position, s.ball_velocity, s.target)
        position = torch.where(s.landed[..., None], s.ball_position, position)
        velocity = torch.where(s.landed[..., None], s.ball_velocity, velocity)
        self._violations = self._violations + arm.violated
        self._clipped = self._clipped + arm.clipped
        self._t += 1
        self.state = State(
            q=arm.q,
            qd=arm.qd,
            ball_position=torch.where(held[..., None], arm.tool, position),
            ball_velocity=torch.where(held[..., None], arm.tool_velocity, velocity),
            target=s.target,
            held=held,
            landed=s.landed | (landed & ~held),
            phase=torch.full_like(s.phase, self._t / self.world.horizon),
        )
        return self.state

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
