"""Pilot: a policy as compiled throws run it, and what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from irl_ros.sim.reference import Flight
from irl_ros.sim.state import Throws
from irl_ros.sim.throw_layout import MOST_UNITS, SEES_AIR, UNITS


@dataclass(frozen=True)
class Pilot:
    """A network of tanh layers that sees `state_vector`s and answers with an action and a release.

    Joint velocities are the network's first n answers plus `deviation` times noise; the ball is let go where
    `gain` times the last one exceeds the log odds drawn.

    Args:
        mean, scale: of the standardised state vector, clipped at ±6 then, [2n + 14].
        velocity: limits that joint velocities are seen as shares of, rad/s, [n].
        deviation: standard deviations of the joint velocities, as shares, [n].
        gain: of the release.
        flight: by which landings are foreseen; without drawn conditions.
        weights, biases: of each layer, [outputs, inputs] and [outputs].
    """

    mean: Tensor
    scale: Tensor
    velocity: Tensor
    deviation: Tensor
    gain: float
    flight: Flight
    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    @property
    def fits(self) -> bool:
        """Whether the compiled code has room for its layers."""
        return max(len(b) for b in self.biases) <= MOST_UNITS and not isinstance(self.flight.g, Tensor)

    @property
    def flags(self) -> int:
        """For the kernel."""
        return SEES_AIR if self.flight.in_air else 0

    def layers(self, device: torch.device) -> Tensor:
        """Number of layers and the units of each as the kernel counts them, int32."""
        units = [self.weights[0].shape[1], *(_rounded(len(b)) for b in self.biases)]
        return torch.tensor([len(self.biases), *units], dtype=torch.int32, device=device)

    def packed(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Constants and weights as the kernel reads them, one after the other."""
        parts = [self.mean, 1.0 / self.scale, 1.0 / self.velocity, self.deviation]
        parts = [x.to(device, dtype) for x in parts]
        numbers = [self.gain, float(self.flight.g), float(self.flight.drag)]
        parts.append(torch.tensor(numbers, device=device, dtype=dtype))
        inputs = [self.weights[0].shape[1], *(_rounded(len(b)) for b in self.biases)]
        for (size, units), weight, bias in zip(pairwise(inputs), self.weights, self.biases, strict=True):
            wide = torch.zeros(units, size, device=device, dtype=dtype)
            wide[: weight.shape[0], : weight.shape[1]] = weight
            long = torch.zeros(units, device=device, dtype=dtype)
            long[: len(bias)] = bias
            parts += [long, wide.view(units // UNITS, UNITS, size).transpose(1, 2).reshape(-1)]
        return torch.cat(parts)


@dataclass(frozen=True)
class Piloted:
    """N throws that a Pilot made.

    Attributes:
        throws: as any others.
        observations: what it saw, [N, T + 1, 2n + 14].
        logit: of the release, [N, T].
        distance: Σz² of the noise in the joint velocities, [N, T].
    """

    throws: Throws
    observations: Tensor
    logit: Tensor
    distance: Tensor


def _rounded(size: int) -> int:
    return -(-size // UNITS) * UNITS
