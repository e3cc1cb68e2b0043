"""StepPolicy: a policy's decision for one state, as fast as a control loop wants it."""

from __future__ import annotations

import math

import numpy as np
import torch

from irl_ros.rl.policy import Policy
from irl_ros.sim.state import State
from irl_ros.sim.state_vector import MISS

Array = np.ndarray


class StepPolicy:
    """The mode of a Policy for a single state, without torch's cost of dispatching fifty small operations.

    The same numbers as `Policy.act` to float32 rounding, in a small part of its time. The policy's weights
    are copied: later training does not reach here.

    Args:
        policy: on any device.
    """

    def __init__(self, policy: Policy) -> None:
        observation = policy.observation
        self._flight = observation.flight
        self._mean, self._scale, self._velocity = (
            x.detach().cpu().numpy().copy()
            for x in (observation.mean, observation.scale, observation.velocity)
        )
        linear = [layer for layer in policy.net if isinstance(layer, torch.nn.Linear)]
        self._layers = [
            (layer.weight.detach().cpu().numpy().copy(), layer.bias.detach().cpu().numpy().copy())
            for layer in linear
        ]
        self._n = policy.world.robot.n

    def raw(self, state: State) -> Array:
        """`Observation.raw` of the first throw of a State, float32 [2n + 14]."""
        n = self._n
        out = np.empty(2 * n + 14, dtype=np.float32)
        out[:n], out[n : 2 * n] = state.q[0].numpy(), state.qd[0].numpy()
        out[n : 2 * n] /= self._velocity
        target, place, speed = (
            x[0].tolist() for x in (state.target, state.ball_position, state.ball_velocity)
        )
        out[2 * n : 2 * n + 9] = (*target, *place, *speed)
        x, y = self._landing(place, speed, target[2], state)
        out[2 * n + 9] = min(max(x - target[0], -MISS), MISS)
        out[2 * n + 10] = min(max(y - target[1], -MISS), MISS)
        out[2 * n + 11 :] = (state.held.item(), state.landed.item(), state.phase.item())
        return out

    def __call__(self, state: State) -> Array:
        """The likeliest action in the first throw of a State, [n + 1] in [-1, 1]; float32."""
        x = np.clip((self.raw(state) - self._mean) / self._scale, -6.0, 6.0)
        for weight, bias in self._layers[:-1]:
            x = np.tanh(weight @ x + bias)
        weight, bias = self._layers[-1]
        action = weight @ x + bias
        release = 1.0 if action[-1] > 0 else -1.0
        np.clip(action, -1.0, 1.0, out=action)
        action[-1] = release
        return action

    def _landing(
        self, place: list[float], speed: list[float], height: float, state: State
    ) -> tuple[float, float]:
        """Where the ball would come down if let go now, m: `Flight.predicted_landing`."""
        flight = self._flight
        if flight.in_air:
            height_now = state.target[..., 2]
            with torch.inference_mode():
                landing = flight.predicted_landing(state.ball_position, state.ball_velocity, height_now)
            return landing[0, 0].item(), landing[0, 1].item()
        a = 0.5 * flight.g * flight.h * flight.h
        b, above = a - flight.h * speed[2], place[2] - height
        square = b * b + 4 * a * above
        if above <= 0 and (square < 0 or b >= 0):  # below, and will not come over the plane
            k = float(math.ceil(max(speed[2] / (flight.g * flight.h), 0.0)))
        else:
            k = (math.sqrt(max(square, 0.0)) - b) / (2 * a)
        return place[0] + flight.h * k * speed[0], place[1] + flight.h * k * speed[1]
