"""What a throw world shows and what came of a throw. Batches of tensors, world frame, SI units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from irl_ros.sim.conditions import Conditions

Batch = TypeVar("Batch", bound="TensorBatch")


class TensorBatch:
    """Shared by the dataclasses of tensors below: the same leading dimensions in every field."""

    def map(self: Batch, f: Callable[[Tensor], Tensor]) -> Batch:
        """A copy with `f` applied to every tensor."""
        values = {g.name: getattr(self, g.name) for g in dataclasses.fields(self)}  # type: ignore[arg-type]
        return type(self)(**{k: f(v) for k, v in values.items()})

    def __getitem__(self: Batch, index: Any) -> Batch:
        """The same fields, indexed along the leading dimensions."""
        return self.map(lambda x: x[index])

    def to(self: Batch, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """Moved to a device; floating-point fields cast to `dtype`."""
        return self.map(lambda x: x.to(device=device, dtype=dtype if x.is_floating_point() else None))

    @classmethod
    def stack(cls: type[Batch], items: list[Batch], dim: int = 0) -> Batch:
        """Batches joined along a new dimension."""
        names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(**{n: torch.stack([getattr(i, n) for i in items], dim) for n in names})

    @classmethod
    def cat(cls: type[Batch], items: list[Batch], dim: int = 0) -> Batch:
        """Batches joined along an existing dimension."""
        names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        return cls(**{n: torch.cat([getattr(i, n) for i in items], dim) for n in names})


@dataclass(frozen=True)
class State(TensorBatch):
    """State of N throws (any leading shape; [N] below).

    Attributes:
        q: joint positions, rad, [N, n].
        qd: joint velocities, rad/s, [N, n].
        ball_position: centre of the ball, m, [N, 3].
        ball_velocity: m/s, [N, 3].
        target: m, [N, 3].
        held: the gripper holds the ball, bool [N].
        landed: the ball has reached the target plane, where it rests, bool [N].
        phase: t / T in [0, 1], [N].
    """

    q: Tensor
    qd: Tensor
    ball_position: Tensor
    ball_velocity: Tensor
    target: Tensor
    held: Tensor
    landed: Tensor
    phase: Tensor


@dataclass(frozen=True)
class Outcome(TensorBatch):
    """What came of N throws.

    Attributes:
        landing: where the ball's centre met the plane z = target height, or where it hit a bin's wall or was
            left below the plane, m, [N, 3]; NaN where none of it happened within the horizon.
        error: horizontal distance of the landing from the target, m, [N]; inf where it did not land.
        released: bool [N].
        limit_violations: control steps in which a joint left its position, velocity or acceleration limit,
            [N].
        torque_saturation: share of physics steps in which a joint's torque was clipped, [N]; NaN where the
            world does not compute torque.
        inside: the ball came down on the plane and, of a bin, through its opening, bool [N].
    """

    landing: Tensor
    error: Tensor
    released: Tensor
    limit_violations: Tensor
    torque_saturation: Tensor
    inside: Tensor

    def hits(self, radius: float) -> Tensor:
        """Throws that landed within `radius` (m) of the target, and in the bin if there is one, bool [N]."""
        return (self.error <= radius) & self.inside


@dataclass(frozen=True)
class Throws(TensorBatch):
    """N whole throws.

    Attributes:
        states: State with leading shape [N, T + 1].
        actions: [N, T, n + 1] as commanded, in [-1, 1]; the last one opens the gripper when > 0.
        outcome: Outcome with leading shape [N].
        conditions: what each was made under, [N], where the world draws any and they are known.
    """

    states: State
    actions: Tensor
    outcome: Outcome
    conditions: Conditions | None = None

    def map(self, f: Callable[[Tensor], Tensor]) -> Throws:
        drawn = None if self.conditions is None else self.conditions.map(f)
        return Throws(self.states.map(f), f(self.actions), self.outcome.map(f), drawn)

    @classmethod
    def cat(cls, items: list[Throws], dim: int = 0) -> Throws:
        drawn = [i.conditions for i in items if i.conditions is not None]
        return cls(
            State.cat([i.states for i in items], dim),
            torch.cat([i.actions for i in items], dim),
            Outcome.cat([i.outcome for i in items], dim),
            type(drawn[0]).cat(drawn, dim) if drawn and len(drawn) == len(items) else None,
        )

    def __len__(self) -> int:
        return self.actions.shape[0]
