"""The arm in PyBullet: torque mode, driven along reference velocities by a computed-torque servo."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np

from irl_ros.robots import Robot
from irl_ros.robots.inertia import Inertia, arm_inertias
from irl_ros.robots.urdf import MOVING, rpy_from_rotation
from irl_ros.sim.engine import connect, load_urdf, pybullet, undamp
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends, middle

Vector = Sequence[float]
TOOL = "irl_ros_tool"
BRAKE = 1e5  # N m, what a locked joint holds


class BulletArm:
    """An arm in a PyBullet client of its own, which carries out control steps from any joint state.

    It keeps nothing from one control step to the next, so one arm serves any number of throws: each step
    begins by putting it where that throw's arm was measured last. Then it goes on bit by bit as if it had
    never been elsewhere.

    The body comes from `dynamics_urdf`: the robot's masses without its meshes, fingers folded in. Bullet's
    own joint motors and all damping are off. A locked joint has a brake.

    The servo knows the payload (as real controllers are told theirs) but not the held ball, which is taken to
    weigh nothing in the hand (docs/simulation.md says what that leaves out).

    Args:
        world: robot, limits, payload (of a range, the least), gravity (its middle), time step.

    Attributes:
        client, body: PyBullet's numbers of where it is and what it is.
        effort: torque limits, N m, [n]; infinite for locked joints, whose brakes do what motors cannot.
    """

    def __init__(self, world: World) -> None:
        robot, locked = world.robot, world.locked.tolist()
        self.client = connect(middle(world.settings.gravity), world.physics_dt)
        self._rate = 1.0 / world.physics_dt
        self._payload = self._carried = ends(world.settings.arm.payload)[0]
        self.body = _load(robot, self._payload, self.client)
        # what is drawn comes on top of what the arm is built with
        self._heavier = HeavierArm(world) if "arm.payload" in world.drawn else None
        indices = {}
        for i in range(pybullet.getNumJoints(self.body, self.client)):
            indices[pybullet.getJointInfo(self.body, i, self.client)[1].decode()] = i
            undamp(self.body, i, self.client)
        self.joints = [indices[name] for name in robot.joints]
        self._tool = indices[TOOL]
        self.effort = np.where(locked, np.inf, world.effort)
        # a motor without force is off; with force and no target velocity it is a brake, idle while the servo
        # suffices
        forces = [BRAKE if lock else 0.0 for lock in locked]
        pybullet.setJointMotorControlArray(
            self.body, self.joints, pybullet.VELOCITY_CONTROL, forces=forces, physicsClientId=self.client
        )
        still = [[0.0] * robot.n]
        self.torques(still, still, still)  # Bullet's inverse dynamics keep the masses of their first use

    def become(self, gravity: float, payload: float) -> None:
        """Move under this gravity (m/s²) with this mass (kg, at least the world's) at the tool point."""
        pybullet.setGravity(0.0, 0.0, -gravity, self.client)
        if self._heavier is not None:
            self._heavier.under(gravity)
        if payload != self._carried:
            self._carried = payload
            pybullet.changeDynamics(
                self.body,
                self._tool,
                mass=payload - self._payload,
                localInertiaDiagonal=(0.0, 0.0, 0.0),
                physicsClientId=self.client,
            )

    def place(self, q: Vector, qd: Vector) -> None:
        """Put the arm at joint positions q (rad) with velocities qd (rad/s)."""
        pybullet.resetJointStatesMultiDof(
            self.body, self.joints, [[x] for x in q], [[x] for x in qd], physicsClientId=self.client
        )

    def measure(self) -> tuple[list[float], list[float]]:
        """Joint positions and velocities, rad and rad/s."""
        states = pybullet.getJointStates(self.body, self.joints, self.client)
        return [s[0] for s in states], [s[1] for s in states]

    def torques(self, q: Sequence[Vector], qd: Sequence[Vector], qdd: Sequence[Vector]) -> list[Vector]:
        """What accelerates the arm by qdd (rad/s²) in each of M states, N m, [M][n]."""
        dynamics, body, client = pybullet.calculateInverseDynamics, self.body, self.client
        torques = [dynamics(body, *motion, 0, client) for motion in zip(q, qd, qdd, strict=True)]
        if self._heavier is not None and self._carried > self._payload:
            # they know nothing of what `become` adds; torque is linear in the mass carried
            share = (self._carried - self._payload) / self._heavier.added
            loaded = (self._heavier.torque(*motion) for motion in zip(q, qd, qdd, strict=True))
            return [
                [t + share * (more - t) for t, more in zip(*pair, strict=True)]
                for pair in zip(torques, loaded, strict=True)
            ]
        return torques

    def push(self, torques: Sequence[Vector]) -> None:
        """Physics steps with torques [S][n], N m."""
        apply, step, body, client = (
            pybullet.setJointMotorControlArray,
            pybullet.stepSimulation,
            self.body,
            self.client,
        )
        joints, mode = self.joints, pybullet.TORQUE_CONTROL
        for torque in torques:
            apply(body, joints, mode, forces=torque, physicsClientId=client)
            step(client)

    def servo(self, velocities: Sequence[Vector], effort: Vector) -> tuple[int, Vector]:
        """Physics steps, each with the torque that would end it at the next of `velocities` [S][n], rad/s.

        The joint state is measured before every step and torque is clipped at `effort`, N m, [n].

        Returns:
            In how many of the steps some joint's torque was clipped, and the last torques, N m, [n].
        """
        clipped = 0
        for velocity in velocities:
            q, qd = self.measure()
            wanted = [(v - now) * self._rate for v, now in zip(velocity, qd, strict=True)]
            (asked,) = self.torques([q], [qd], [wanted])
            torque = [min(max(t, -limit), limit) for t, limit in zip(asked, effort, strict=True)]
            clipped += torque != list(asked)
            self.push([torque])
        return clipped, torque

    def tool_motion(self) -> tuple[Vector, Vector]:
        """Position (m) and velocity (m/s) of the tool point.

        Bullet gives a link's velocity at its centre of mass; the tool link's is the tool point itself.
        """
        state = pybullet.getLinkState(self.body, self._tool, 1, 1, self.client)
        return state[0], state[6]

    def close(self) -> None:
        """Give the clients back."""
        pybullet.disconnect(self.client)
        if self._heavier is not None:
            self._heavier.close()


class HeavierArm:
    """The arm with `added` kg more at the tool point: asked for torques, never moved."""

    added = 1.0

    def __init__(self, world: World) -> None:
        self._client = connect(middle(world.settings.gravity), world.physics_dt)
        payload = ends(world.settings.arm.payload)[0] + self.added
        self._body = _load(world.robot, payload, self._client)

    def under(self, gravity: float) -> None:
        """Gravity of the torques asked for next, m/s²."""
        pybullet.setGravity(0.0, 0.0, -gravity, self._client)

    def torque(self, q: Vector, qd: Vector, qdd: Vector) -> Vector:
        """Joint torques of a motion, N m, [n]."""
        torque: Vector = pybullet.calculateInverseDynamics(self._body, q, qd, qdd, 0, self._client)
        return torque

    def close(self) -> None:
        """Give the client back."""
        pybullet.disconnect(self._client)


def _load(robot: Robot, payload: float, client: int) -> int:
    urdf, flags = dynamics_urdf(robot, payload), pybullet.URDF_USE_INERTIA_FROM_FILE
    return load_urdf(urdf, client, robot.urdf, flags)


def dynamics_urdf(robot: Robot, payload: float = 0.0) -> str:
    """A URDF of what the arm's motion depends on: its joints, and one inertia for each.

    Without meshes it loads in a millisecond, from any directory; without fixed links it steps faster.
    A massless last link `irl_ros_tool` marks the tool point.

    Args:
        robot: the arm.
        payload: kg at the tool point.
    """
    root = ElementTree.Element("robot", name=robot.name)
    ElementTree.SubElement(root, "link", name="world")
    parent, rotation, translation = "world", np.eye(3), np.zeros(3)
    bodies = iter(arm_inertias(robot, payload))
    for joint in robot.chain:
        translation, rotation = translation + rotation @ joint.translation, rotation @ joint.rotation
        if joint.kind not in MOVING:
            continue
        _add_link(root, joint.child, next(bodies))
        element = _add_joint(root, joint.name, joint.kind, parent, joint.child, translation, rotation)
        ElementTree.SubElement(element, "axis", xyz=_numbers(joint.axis))
        if joint.kind != "continuous":
            limit = {
                "lower": joint.lower,
                "upper": joint.upper,
                "effort": joint.effort,
                "velocity": joint.velocity,
            }
            ElementTree.SubElement(element, "limit", {k: repr(float(v)) for k, v in limit.items()})
        parent, rotation, translation = joint.child, np.eye(3), np.zeros(3)
    _add_link(root, TOOL, Inertia.point(0.0, np.zeros(3)))
    _add_joint(root, TOOL, "fixed", parent, TOOL, robot.tool_in_last_link, np.eye(3))
    return ElementTree.tostring(root, encoding="unicode")


def _add_link(root: ElementTree.Element, name: str, body: Inertia) -> None:
    # Bullet wants principal axes; finding them here keeps full precision. It drops an inertia whose largest
    # moment exceeds the sum of the others, be it by rounding
    moments, axes = np.linalg.eigh(body.tensor)
    moments[2] = min(moments[2], moments[0] + moments[1])
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    inertial = ElementTree.SubElement(ElementTree.SubElement(root, "link", name=name), "inertial")
    ElementTree.SubElement(
        inertial, "origin", xyz=_numbers(body.centre), rpy=_numbers(rpy_from_rotation(axes))
    )
    ElementTree.SubElement(inertial, "mass", value=repr(float(body.mass)))
    entries = {"ixx": moments[0], "iyy": moments[1], "izz": moments[2], "ixy": 0.0, "ixz": 0.0, "iyz": 0.0}
    ElementTree.SubElement(inertial, "inertia", {k: repr(float(v)) for k, v in entries.items()})


def _add_joint(
    root: ElementTree.Element,
    name: str,
    kind: str,
    parent: str,
    child: str,
    translation: np.ndarray,
    rotation: np.ndarray,
) -> ElementTree.Element:
    joint = ElementTree.SubElement(root, "joint", name=name, type=kind)
    ElementTree.SubElement(
        joint, "origin", xyz=_numbers(translation), rpy=_numbers(rpy_from_rotation(rotation))
    )
    ElementTree.SubElement(joint, "parent", link=parent)
    ElementTree.SubElement(joint, "child", link=child)
    return joint


def _numbers(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)
