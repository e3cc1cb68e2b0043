"""Batched rigid-body dynamics of a serial arm: inverse dynamics, mass matrix, forward dynamics.

Written out in components (`components`), unrolled over the joints, with everything that is fixed folded in.
Two things make it short and quick. A body's inertia is its pseudo-inertia, the 4 × 4 matrix J = ∫ x xᵀ dm of
homogeneous coordinates x = (r, 1), which moves between frames as X J Xᵀ. And mass on a joint's axis is felt
by the joints before it only, as if it were part of the link before (Khalil & Kleinfinger 1987): it is put
there, which leaves seven numbers of ten in a link that turns, four in one that slides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from irl_ros.robots.components import (
    Matrix,
    Number,
    Vector,
    add,
    apply,
    cross,
    dot,
    minus,
    plus,
    scale,
    stacked,
    times,
    transposed,
)
from irl_ros.robots.inertia import Inertia, arm_inertias
from irl_ros.robots.kinematics import Turn, fold_chain, snapped, turned
from irl_ros.robots.robot import Robot


@dataclass(frozen=True)
class Link:
    """A joint and what it moves, in the joint's frame (axis = z), which at rest stands in the frame before
    with this rotation and translation.

    Attributes:
        slides: prismatic.
        rotation, translation: [3][3] and [3], m.
        pseudo: J after regrouping, [4][4]: second moments (kg m²), first moments (kg m), mass (kg).
    """

    slides: bool
    rotation: list[list[float]]
    translation: list[float]
    pseudo: list[list[float]]


class Dynamics:
    """Dynamics of N copies of an arm at once, each with its own payload, in any dtype on any device.

    Methods whose names end in `_of` take and give components: one tensor of any shape for each joint. The
    others take and give tensors [..., n].

    Args:
        robot: masses and joints. Fingers are taken as fixed where they rest.

    Raises:
        InputError: the URDF gives no mass to what a joint moves.
    """

    def __init__(self, robot: Robot) -> None:
        chain = fold_chain(robot.chain, robot.settings.tool_offset)
        self.n, self.tool = robot.n, snapped(chain.tool)
        pseudo = [_pseudo(b, a) for b, a in zip(arm_inertias(robot), chain.alignments, strict=True)]
        for i in reversed(range(self.n)):
            moved = _on_axis(pseudo[i], chain.prismatic[i])
            pseudo[i] = pseudo[i] - moved
            if i:
                pose = np.eye(4)
                pose[:3, :3], pose[:3, 3] = chain.rotations[i], chain.translations[i]
                pseudo[i - 1] = pseudo[i - 1] + pose @ moved @ pose.T
        self.links = [
            Link(slides, snapped(r), snapped(t), snapped(j))
            for slides, r, t, j in zip(chain.prismatic, chain.rotations, chain.translations, pseudo)
        ]

    def inverse_dynamics(
        self,
        q: Tensor,
        qd: Tensor,
        qdd: Tensor,
        payload: Tensor | float = 0.0,
        gravity: Tensor | float = 9.81,
    ) -> Tensor:
        """Joint torques, N m (N for sliding joints), [..., n], that accelerate by qdd.

        Args:
            q, qd, qdd: rad, rad/s, rad/s² (m for sliding joints), [..., n].
            payload: kg at the tool point, [...].
            gravity: m/s² downwards, [...].
        """
        torque = self.torque_of(q.unbind(-1), qd.unbind(-1), qdd.unbind(-1), payload, gravity)
        return stacked(torque, q)

    def mass_matrix(self, q: Tensor, payload: Tensor | float = 0.0) -> Tensor:
        """Joint-space inertia M(q), [..., n, n], for q [..., n] and payload (kg) [...]."""
        rows = self.mass_matrix_of(q.unbind(-1), payload)
        shape = q[..., 0]
        full = [
            [torch.as_tensor(x, dtype=q.dtype, device=q.device).expand_as(shape) for x in r] for r in rows
        ]
        return torch.stack([torch.stack(row, -1) for row in full], -2)

    def forward_dynamics(
        self,
        q: Tensor,
        qd: Tensor,
        torque: Tensor,
        payload: Tensor | float = 0.0,
        gravity: Tensor | float = 9.81,
    ) -> Tensor:
        """Joint accelerations, rad/s² (m/s²), [..., n], under torques [..., n]. Otherwise as above."""
        bias = self.inverse_dynamics(q, qd, torch.zeros_like(q), payload, gravity)
        return torch.linalg.solve(self.mass_matrix(q, payload), torque - bias)

    def torque_of(
        self,
        q: Sequence[Number],
        qd: Sequence[Number],
        qdd: Sequence[Number],
        payload: Number,
        gravity: Number,
        turns: Sequence[Turn] | None = None,
    ) -> list[Number]:
        """As `inverse_dynamics`: recursive Newton–Euler, outwards for the motion, inwards for the forces.

        Here and below `turns` are those of q, for who has them already.
        """
        turns = self.turns(q) if turns is None else turns
        spin: Vector = (0.0, 0.0, 0.0)  # ω of the frame, in the frame
        change = _acceleration_matrix(spin, (0.0, 0.0, 0.0))  # U = [ω̇]× + [ω]×²
        spinning: Vector = (0.0, 0.0, 0.0)  # ω̇
        thrust: Vector = (0.0, 0.0, gravity)  # acceleration of the origin, less gravity's
        forces: list[tuple[list[Number], list[Number]]] = []
        for i, link in enumerate(self.links):
            thrust = add(thrust, apply(change, link.translation))
            spin, spinning, thrust = (_inwards(link, turns[i], v) for v in (spin, spinning, thrust))
            if link.slides:
                change = _acceleration_matrix(spin, spinning)
                out = scale(times(2.0, qd[i]), (spin[1], minus(0.0, spin[0]), 0.0))
                thrust = add(thrust, scale(q[i], [row[2] for row in change]), out, (0.0, 0.0, qdd[i]))
            else:
                turning = (times(spin[1], qd[i]), minus(0.0, times(spin[0], qd[i])), qdd[i])
                spin, spinning = add(spin, (0.0, 0.0, qd[i])), add(spinning, turning)
                change = _acceleration_matrix(spin, spinning)
            forces.append(_wrench(change, thrust, link.pseudo))
        carried = scale(payload, add(thrust, apply(change, self.tool)))
        force, moment = forces[-1]
        forces[-1] = add(force, carried), add(moment, cross(self.tool, carried))
        return self._along_axes(q, turns, forces)

    def mass_matrix_of(
        self, q: Sequence[Number], payload: Number, turns: Sequence[Turn] | None = None
    ) -> list[list[Number]]:
        """As `mass_matrix`, symmetric [n][n]: composite bodies, from the tool inwards."""
        turns = self.turns(q) if turns is None else turns
        tool = (*self.tool, 1.0)
        added = [[times(payload, times(a, b)) for b in tool] for a in tool]
        whole: Matrix = [[0.0] * 4] * 4
        result: list[list[Number]] = [[0.0] * self.n for _ in range(self.n)]
        for i in reversed(range(self.n)):
            whole = [add(a, b) for a, b in zip(whole, self.links[i].pseudo, strict=True)]
            if i == self.n - 1:
                whole = [add(a, b) for a, b in zip(whole, added, strict=True)]
            for j, value in zip(range(i, -1, -1), self._reaction(i, q, turns, whole), strict=True):
                result[i][j] = result[j][i] = value
            whole = _moved(self.links[i], turns[i], q[i], whole)
        return result

    def turns(self, q: Sequence[Number]) -> list[Turn]:
        """Sine and cosine of each turning joint."""
        return [
            None if link.slides else (torch.sin(x), torch.cos(x))
            for link, x in zip(self.links, q, strict=True)
        ]

    def _reaction(self, i: int, q: Sequence[Number], turns: Sequence[Turn], whole: Matrix) -> list[Number]:
        """Torques at joints i, i − 1, … 0 that give joint i a unit acceleration and the others none."""
        if self.links[i].slides:
            force: Vector = (0.0, 0.0, whole[3][3])
            moment: Vector = (whole[1][3], minus(0.0, whole[0][3]), 0.0)
        else:
            force = (minus(0.0, whole[1][3]), whole[0][3], 0.0)
            moment = (minus(0.0, whole[0][2]), minus(0.0, whole[1][2]), plus(whole[0][0], whole[1][1]))
        torques = []
        for j in range(i, -1, -1):
            torques.append(force[2] if self.links[j].slides else moment[2])
            force, moment = _outwards(self.links[j], turns[j], q[j], force, moment)
        return torques

    def _along_axes(
        self,
        q: Sequence[Number],
        turns: Sequence[Turn],
        wrenches: Sequence[tuple[list[Number], list[Number]]],
    ) -> list[Number]:
        torques: list[Number] = [0.0] * self.n
        force: Vector = (0.0, 0.0, 0.0)
        moment: Vector = (0.0, 0.0, 0.0)
        for i in reversed(range(self.n)):
            force, moment = add(force, wrenches[i][0]), add(moment, wrenches[i][1])
            torques[i] = force[2] if self.links[i].slides else moment[2]
            if i:
                force, moment = _outwards(self.links[i], turns[i], q[i], force, moment)
        return torques


def _acceleration_matrix(spin: Vector, spinning: Vector) -> list[list[Number]]:
    """U = [ω̇]× + [ω]×², so that U r is the acceleration of a point r of the body less the origin's."""
    x, y, z = spin
    xx, yy, zz = times(x, x), times(y, y), times(z, z)
    xy, xz, yz = times(x, y), times(x, z), times(y, z)
    a, b, c = spinning
    return [
        [minus(minus(0.0, yy), zz), minus(xy, c), plus(xz, b)],
        [plus(xy, c), minus(minus(0.0, xx), zz), minus(yz, a)],
        [minus(xz, b), plus(yz, a), minus(minus(0.0, xx), yy)],
    ]


def _wrench(u: Matrix, thrust: Vector, pseudo: Matrix) -> tuple[list[Number], list[Number]]:
    """Force and moment about the origin that move a body so: ∫ a dm and ∫ r × a dm with a = thrust + U r."""
    first, mass = [row[3] for row in pseudo[:3]], pseudo[3][3]
    force = add(scale(mass, thrust), apply(u, first))
    # (U Σ)ᵢⱼ, of which the moment is the antisymmetric part
    product = {(i, j): dot(u[i], pseudo[j][:3]) for i, j in ((2, 1), (1, 2), (0, 2), (2, 0), (1, 0), (0, 1))}
    moment = [minus(product[i, j], product[j, i]) for i, j in ((2, 1), (0, 2), (1, 0))]
    return force, add(moment, cross(first, thrust))


def _inwards(link: Link, turn: Turn, v: Vector) -> list[Number]:
    """A direction in the frame before, seen from the link's frame."""
    x, y, z = apply(transposed(link.rotation), v)
    if turn is None:
        return [x, y, z]
    sin, cos = turn
    return [plus(times(cos, x), times(sin, y)), minus(times(cos, y), times(sin, x)), z]


def _outwards(
    link: Link, turn: Turn, q: Number, force: Vector, moment: Vector
) -> tuple[list[Number], list[Number]]:
    """A force at the link's origin and its moment, seen from the frame before."""
    if link.slides:
        moment = add(moment, cross((0.0, 0.0, q), force))
    force = apply(link.rotation, turned(turn, force))
    moment = apply(link.rotation, turned(turn, moment))
    return force, add(moment, cross(link.translation, force))


def _moved(link: Link, turn: Turn, q: Number, pseudo: Matrix) -> list[list[Number]]:
    """A pseudo-inertia in the link's frame, seen from the frame before: X J Xᵀ."""

    def half(matrix: Matrix) -> list[list[Number]]:
        columns = []
        for column in transposed(matrix):
            v, w = list(column[:3]), column[3]
            if link.slides:
                v = add(v, (0.0, 0.0, times(q, w)))
            v = add(apply(link.rotation, turned(turn, v)), scale(w, link.translation))
            columns.append([*v, w])
        return columns  # transposed: X J as rows of columns

    return half(half(pseudo))


def _pseudo(body: Inertia, alignment: np.ndarray) -> np.ndarray:
    """J, [4, 4], of a body given in its link's frame, in the frame turned by `alignment` (axis = z)."""
    centre, tensor = alignment.T @ body.centre, alignment.T @ body.tensor @ alignment
    second = 0.5 * np.trace(tensor) * np.eye(3) - tensor + body.mass * np.outer(centre, centre)
    first = body.mass * centre
    return np.block([[second, first[:, None]], [first[None, :], np.array([[body.mass]])]])


def _on_axis(pseudo: np.ndarray, slides: bool) -> np.ndarray:
    """The part of J that the joint's own motion does not move: what belongs to the link before as well."""
    part = np.zeros((4, 4))
    if slides:
        part[:3, :3] = pseudo[:3, :3]
    else:
        part[2:, 2:] = pseudo[2:, 2:]
    return part
