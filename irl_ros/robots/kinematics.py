"""Batched kinematics of a serial chain in torch: tool position and velocity, frames, Jacobian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from irl_ros.robots.components import Number, Vector, add, apply, minus, plus, stacked, times
from irl_ros.robots.urdf import MOVING, Joint

Turn: TypeAlias = tuple[Number, Number] | None
"""Sine and cosine of a joint's angle; None for a joint that slides."""


class Constants(NamedTuple):
    """A FoldedChain's numbers as nested lists of floats."""

    rotations: list[list[list[float]]]
    translations: list[list[float]]
    tool: list[float]


def snapped(constants: np.ndarray) -> list:
    """Nested lists of floats, with what is a rounding error away from 0 or ±1 there."""
    whole = np.round(constants)
    near = (np.abs(constants - whole) < 1e-10) & (np.abs(whole) <= 1.0)
    result: list = np.where(near, whole + 0.0, constants).tolist()
    return result


@dataclass(frozen=True)
class FoldedChain:
    """A chain's moving joints, each frame turned so that its axis is z, with fixed joints folded in.

    Attributes:
        rotations, translations: of each joint's frame at rest in the frame of the joint before, [n] of
            [3, 3] and m [3].
        alignments: from each joint's frame to that of its URDF link, [n] of [3, 3].
        prismatic: whether each joint slides.
        tool: the tool point in the last joint's frame, m, [3].
    """

    rotations: list[np.ndarray]
    translations: list[np.ndarray]
    alignments: list[np.ndarray]
    prismatic: list[bool]
    tool: np.ndarray

    def snapped(self) -> Constants:
        """As floats, where what is a rounding error away from 0 or ±1 is that."""
        return Constants(
            [snapped(r) for r in self.rotations], [snapped(t) for t in self.translations], snapped(self.tool)
        )


def fold_chain(chain: Sequence[Joint], tool_offset: Sequence[float]) -> FoldedChain:
    """The moving joints of a chain from the base to the end effector, in whose frame the tool point is."""
    rotations, translations, alignments, prismatic = [], [], [], []
    rotation, translation = np.eye(3), np.zeros(3)
    for joint in chain:
        translation = translation + rotation @ joint.translation
        rotation = rotation @ joint.rotation
        if joint.kind in MOVING:
            align = z_to(joint.axis)
            rotations.append(rotation @ align)
            translations.append(translation)
            alignments.append(align)
            prismatic.append(joint.kind == "prismatic")
            rotation, translation = align.T, np.zeros(3)
    tool = translation + rotation @ np.asarray(tool_offset, dtype=float)
    return FoldedChain(rotations, translations, alignments, prismatic, tool)


class Kinematics:
    """Kinematics of N copies of an arm at once.

    Every joint frame is turned so that its axis is z; fixed joints are folded into the constant transforms
    between the moving ones. All results are in the robot's base frame, which is the world frame here
    (REP-103).

    Args:
        chain: joints from the base to the end effector (`read_chain`).
        tool_offset: the carried ball's centre in the end-effector frame, m, [3].
        device, dtype: of the constants and so of every result.
    """

    def __init__(
        self,
        chain: Sequence[Joint],
        tool_offset: Sequence[float],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        folded = fold_chain(chain, tool_offset)
        self.prismatic, self.constants = folded.prismatic, folded.snapped()
        self.n = len(self.prismatic)
        self._rotations = torch.as_tensor(np.stack(folded.rotations), device=device, dtype=dtype)
        self._translations = torch.as_tensor(np.stack(folded.translations), device=device, dtype=dtype)
        self._tool = torch.as_tensor(folded.tool, device=device, dtype=dtype)

    def tool_motion(self, q: Tensor, qd: Tensor) -> tuple[Tensor, Tensor]:
        """Position (m) and velocity (m/s) of the tool point, each [..., 3], for q, qd of shape [..., n]."""
        position, velocity = self.tool_motion_of(q.unbind(-1), qd.unbind(-1))
        return stacked(position, q), stacked(velocity, q)

    def tool_motion_of(
        self, q: Sequence[Number], qd: Sequence[Number], turns: Sequence[Turn] | None = None
    ) -> tuple[list[Number], list[Number]]:
        """As `tool_motion`, of one number or tensor for each joint; three for each result.

        Goes from the tool inwards and carries two vectors instead of matrices, which makes it the cheapest
        thing a world does. `turns` are those of q, for who has them already.
        """
        p: list[Number] = list(self.constants.tool)
        v: list[Number] = [0.0, 0.0, 0.0]
        for i in reversed(range(self.n)):
            if self.prismatic[i]:
                p, v = add(p, (0.0, 0.0, q[i])), add(v, (0.0, 0.0, qd[i]))
            else:
                turn = (torch.sin(q[i]), torch.cos(q[i])) if turns is None else turns[i]
                p, v = turned(turn, p), turned(turn, v)
                v = add(v, (times(-p[1], qd[i]), times(p[0], qd[i]), 0.0))
            rotation = self.constants.rotations[i]
            p, v = add(apply(rotation, p), self.constants.translations[i]), apply(rotation, v)
        return p, v

    def tool_position(self, q: Tensor) -> Tensor:
        """Position of the tool point, m, [..., 3], for q [..., n]."""
        return self.tool_motion(q, torch.zeros_like(q))[0]

    def frames(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation [..., n, 3, 3] and origin [..., n, 3] of each joint frame (after its motion, axis = z)."""
        rotation = torch.eye(3, dtype=q.dtype, device=q.device).expand(*q.shape[:-1], 3, 3)
        origin = torch.zeros(*q.shape[:-1], 3, dtype=q.dtype, device=q.device)
        rotations, origins = [], []
        for i in range(self.n):
            origin = origin + rotation @ self._translations[i]
            rotation = rotation @ self._rotations[i]
            if self.prismatic[i]:
                origin = origin + rotation[..., 2] * q[..., i, None]
            else:
                rotation = rotation @ _about_z(q[..., i])
            rotations.append(rotation)
            origins.append(origin)
        return torch.stack(rotations, -3), torch.stack(origins, -2)

    def jacobian(self, q: Tensor) -> Tensor:
        """Geometric Jacobian of the tool point, [..., 6, n]: linear over angular velocity per unit of qd."""
        rotations, origins = self.frames(q)
        axes = rotations[..., :, :, 2]
        tool = origins[..., -1, :] + rotations[..., -1, :, :] @ self._tool
        linear = torch.linalg.cross(axes, tool[..., None, :] - origins, dim=-1)
        angular = axes
        slides = torch.tensor(self.prismatic, device=q.device)[:, None]
        linear = torch.where(slides, axes, linear)
        angular = torch.where(slides, torch.zeros_like(axes), angular)
        return torch.cat((linear, angular), -1).transpose(-1, -2)


def turned(turn: Turn, v: Vector) -> list[Number]:
    """A vector turned about z by a joint's angle."""
    if turn is None:
        return list(v)
    sin, cos = turn
    return [minus(times(cos, v[0]), times(sin, v[1])), plus(times(sin, v[0]), times(cos, v[1])), v[2]]


def _about_z(angle: Tensor) -> Tensor:
    sin, cos, zero, one = angle.sin(), angle.cos(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = (
        torch.stack((cos, -sin, zero), -1),
        torch.stack((sin, cos, zero), -1),
        torch.stack((zero, zero, one), -1),
    )
    return torch.stack(rows, -2)


def z_to(axis: np.ndarray) -> np.ndarray:
    """A rotation [3, 3] that takes the z axis to `axis`."""
    z = np.array([0.0, 0.0, 1.0])
    v, c = np.cross(z, axis), float(axis @ z)
    if np.linalg.norm(v) < 1e-12:
        return np.eye(3) if c > 0 else np.diag([1.0, -1.0, -1.0])
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)
