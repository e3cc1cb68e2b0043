"""The arm in PyBullet: torque mode, driven along reference velocities by a computed-torque servo."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np

from irl_ros.robots import Robot
from irl_ros.robots.inertia import Inertia, arm_inertias
from irl_ros.robots.urdf import MOVING, rpy_from_rotation
from irl_ros.sim.engine import load_urdf, pybullet
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import ends

TOOL = "irl_ros_tool"
BRAKE = 1e5  # N m, what a locked joint holds


class BulletArm:
    """An arm in a PyBullet client that stands still until it is reset and servoed.

    The body comes from `dynamics_urdf`: the robot's masses without its meshes, fingers folded in. Bullet's
    own joint motors and all damping are off. A locked joint has a brake.

    The servo knows the payload (as real controllers are told theirs) but not the held ball, which is taken to
    weigh nothing in the hand: the default 50 g load no joint by more than 1 % of its effort limit.

    Args:
        world: robot, limits, payload (of a range, the least), time step.
        client: a PyBullet client, in which gravity and time step are set already.
        heavier: the same arm with more at the tool point, for what `carry` adds; default: it carries no more.

    Attributes:
        q, qd: measured joint positions and velocities, rad and rad/s, lists of n.
        torque: applied in the last physics step, N m, n of them.
    """

    def __init__(self, world: World, client: int, heavier: HeavierArm | None = None) -> None:
        self._client, self._rate, self._heavier = client, 1.0 / world.physics_dt, heavier
        robot = world.robot
        self._payload = self._carried = ends(world.settings.arm.payload)[0]
        urdf, flags = dynamics_urdf(robot, self._payload), pybullet.URDF_USE_INERTIA_FROM_FILE
        self.body = load_urdf(urdf, client, robot.urdf, flags)
        indices = {}
        for i in range(pybullet.getNumJoints(self.body, physicsClientId=client)):
            indices[pybullet.getJointInfo(self.body, i, physicsClientId=client)[1].decode()] = i
            # Bullet damps by 4 % a second unless told not to
            pybullet.changeDynamics(
                self.body, i, linearDamping=0.0, angularDamping=0.0, physicsClientId=client
            )
        self.joints = [indices[name] for name in robot.joints]
        self._tool = indices[TOOL]
        locked = world.locked.tolist()
        self._locked = locked
        self.limit_effort(world.effort.tolist())
        # a motor without force is off; with force and no target velocity it is a brake, idle while the servo
        # suffices
        forces = [BRAKE if lock else 0.0 for lock in locked]
        pybullet.setJointMotorControlArray(
            self.body, self.joints, pybullet.VELOCITY_CONTROL, forces=forces, physicsClientId=client
        )

        # Bullet computes torques with the masses of the first time it is asked: before `carry` changes them
        still = [0.0] * robot.n
        pybullet.calculateInverseDynamics(self.body, still, still, still, physicsClientId=client)

    def limit_effort(self, effort: Sequence[float]) -> None:
        """Clip torques at these, N m, from now on. A locked joint's brake has no limit."""
        self._effort = [
            float("inf") if lock else limit for limit, lock in zip(effort, self._locked, strict=True)
        ]

    def carry(self, payload: float) -> None:
        """Carry this mass at the tool point, kg, from now on: at least what the world gives."""
        if payload == self._carried:
            return
        self._carried = payload
        pybullet.changeDynamics(
            self.body,
            self._tool,
            mass=payload - self._payload,
            localInertiaDiagonal=(0.0, 0.0, 0.0),
            physicsClientId=self._client,
        )

    def reset(self, q: Sequence[float], qd: Sequence[float]) -> None:
        """Put the arm at joint positions q (rad) with velocities qd (rad/s)."""
        for joint, position, velocity in zip(self.joints, q, qd, strict=True):
            pybullet.resetJointState(self.body, joint, position, velocity, physicsClientId=self._client)
        self.torque: Sequence[float] = [0.0] * len(self.joints)
        self.measure()

    def measure(self) -> None:
        """Read q and qd."""
        states = pybullet.getJointStates(self.body, self.joints, physicsClientId=self._client)
        self.q, self.qd = [s[0] for s in states], [s[1] for s in states]

    def servo(self, velocity: Sequence[float]) -> bool:
        """Apply, for the coming physics step, the torque that would end it at `velocity` (rad/s) from q, qd.

        Returns:
            Whether a joint's torque was clipped at its effort limit.
        """
        rate = self._rate
        wanted = [(v - now) * rate for v, now in zip(velocity, self.qd, strict=True)]
        torque = pybullet.calculateInverseDynamics(
            self.body, self.q, self.qd, wanted, physicsClientId=self._client
        )
        if self._heavier is not None and self._carried > self._payload:
            # Bullet goes on computing with the masses of its first time; torque is linear in the mass carried
            share = (self._carried - self._payload) / self._heavier.added
            loaded = self._heavier.torque(self.q, self.qd, wanted)
            torque = [t + share * (more - t) for t, more in zip(torque, loaded, strict=True)]
        clipped = any(map(_exceeds, torque, self._effort))
        if clipped:
            torque = [min(max(t, -limit), limit) for t, limit in zip(torque, self._effort, strict=True)]
        self.torque = torque
        pybullet.setJointMotorControlArray(
            self.body, self.joints, pybullet.TORQUE_CONTROL, forces=torque, physicsClientId=self._client
        )
        return clipped

    def tool_motion(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Position (m) and velocity (m/s) of the tool point.

        Bullet gives a link's velocity at its centre of mass; the tool link's is the tool point itself.
        """
        state = pybullet.getLinkState(
            self.body,
            self._tool,
            computeLinkVelocity=1,
            computeForwardKinematics=1,
            physicsClientId=self._client,
        )
        return state[0], state[6]


class HeavierArm:
    """The arm with `added` kg more at the tool point: asked for torques, never moved."""

    added = 1.0

    def __init__(self, world: World) -> None:
        self._client, self._gravity = pybullet.connect(pybullet.DIRECT), 0.0
        payload = ends(world.settings.arm.payload)[0] + self.added
        self._body = load_urdf(
            dynamics_urdf(world.robot, payload),
            self._client,
            world.robot.urdf,
            pybullet.URDF_USE_INERTIA_FROM_FILE,
        )

    def under(self, gravity: float) -> None:
        """Gravity of the torques asked for next, m/s²."""
        if gravity != self._gravity:
            self._gravity = gravity
            pybullet.setGravity(0.0, 0.0, -gravity, physicsClientId=self._client)

    def torque(self, q: Sequence[float], qd: Sequence[float], qdd: Sequence[float]) -> Sequence[float]:
        """Joint torques of a motion, N m, [n]."""
        torque: Sequence[float] = pybullet.calculateInverseDynamics(
            self._body, q, qd, qdd, physicsClientId=self._client
        )
        return torque

    def close(self) -> None:
        """Give PyBullet's client back."""
        pybullet.disconnect(self._client)


def _exceeds(torque: float, limit: float) -> bool:
    return torque > limit or torque < -limit


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


def _rpy(rotation: np.ndarray) -> str:
    return _numbers(rpy_from_rotation(rotation))
