"""Pictures of a throw, rendered by PyBullet's own software renderer: no display and no GPU needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from irl_ros.robots import Robot
from irl_ros.robots.appearance import drawable_urdf
from irl_ros.sim.engine import load_urdf, pybullet
from irl_ros.sim.state import State, Throws
from irl_ros.sim.world import World
from irl_ros.sim.world_settings import middle

Color = tuple[float, float, float, float]
FLOOR: Color = (0.78, 0.81, 0.84, 1.0)
BALL: Color = (0.95, 0.45, 0.10, 1.0)
TRAIL: Color = (0.98, 0.70, 0.42, 1.0)
RING: Color = (0.13, 0.47, 0.71, 1.0)
SHADE: Color = (0.60, 0.62, 0.65, 1.0)
ROD: Color = (0.25, 0.27, 0.30, 1.0)
SKY = np.array([[0.80, 0.87, 0.94], [0.97, 0.98, 1.0]])  # top and bottom of the background
HIT = 0.10  # m, a throw that lands within this is a hit
SUPERSAMPLING = 2


def render_throw(
    world: World, throws: Throws, index: int, frames: int = 6, size: tuple[int, int] = (320, 240)
) -> list[np.ndarray]:
    """One throw in pictures, evenly spaced from its start until just after the landing.

    Shows the arm, the ball with its trail, and a ring of 0.10 m (a hit) around the target.

    Args:
        world: where the throw was made.
        throws: [N] throws.
        index: which of them.
        frames: how many pictures.
        size: width and height, pixels.

    Returns:
        `frames` arrays, uint8 [height, width, 3].
    """
    states = throws.states[index].to("cpu")
    landed = states.landed.nonzero().flatten()
    last = min(int(landed[0]) + 1, world.horizon) if len(landed) else world.horizon
    scene = _Scene(world, states, last)
    try:
        return [scene.picture(step, size) for step in np.linspace(0, last, frames).round().astype(int)]
    finally:
        scene.close()


class LiveCamera:
    """Pictures of a throw while it goes on.

    Args:
        world: where.
        size: width and height, pixels.
    """

    def __init__(self, world: World, size: tuple[int, int]) -> None:
        self._world, self._size = world, size
        self._states: list[State] = []
        self._scene: _Scene | None = None

    def begin(self, state: State) -> None:
        """Another throw begins, in a State of shape []."""
        self.close()
        self._states = [state]

    def watch(self, state: State) -> None:
        """What came next."""
        self._states.append(state)

    def picture(self) -> np.ndarray:
        """The latest state, uint8 [height, width, 3]."""
        states = State.stack([state.to("cpu") for state in self._states])
        if self._scene is None:
            self._scene = _Scene(self._world, states, len(self._states) - 1)
        self._scene.follow(states)
        return self._scene.picture(len(self._states) - 1, self._size)

    def close(self) -> None:
        """Give PyBullet's client back."""
        if self._scene is not None:
            self._scene.close()
        self._scene = None


class _Scene:
    """A PyBullet client with the arm's meshes, the floor, the target and the ball of one throw."""

    def __init__(self, world: World, states: State, last: int) -> None:
        self._client = pybullet.connect(pybullet.DIRECT)
        self._world, self._trail = world, 0
        self.follow(states)
        radius = self._radius = middle(world.settings.ball.radius)
        self._arm = _Arm(world.robot, radius, self._client)
        target = states.target[0].double().numpy()
        self._add_floor(target)
        self._ball = self._add(self._shape(pybullet.GEOM_SPHERE, BALL, radius=radius), self._path[0])
        self._shadow = self._add(self._ring(0.0, radius, SHADE), (0.0, 0.0, -1.0))
        self._rod = None if self._arm.has_fingers else self._add_rod(world.robot.settings.tool_offset)
        reach = max(float(np.hypot(*target[:2])), float(np.hypot(*self._path[last, :2])), 0.8)
        self._middle = np.array([*(0.45 * target[:2] * reach / max(np.hypot(*target[:2]), 1e-6)), 0.40])
        self._distance = 0.75 + 0.85 * max(reach, float(self._path[: last + 1, 2].max()))

    def follow(self, states: State) -> None:
        """Take up what is known of the throw by now, [K]."""
        self._states, self._path = states, states.ball_position.double().numpy()
        self._trail = max(self._trail, int(states.held.sum()))  # in the hand the ball leaves none

    def picture(self, step: int, size: tuple[int, int]) -> np.ndarray:
        """The scene at a control step, uint8 [height, width, 3]. Steps must not go back: the trail grows."""
        self._arm.pose(self._states.q[step].tolist(), bool(self._states.held[step]))
        ball = self._path[step]
        self._move(self._ball, ball)
        # straight below: the renderer's own shadows cover the whole floor
        self._move(self._shadow, (ball[0], ball[1], self._ground(ball) + 0.006))
        if self._rod is not None:
            self._move(self._rod, *self._arm.hand())
        for k in range(self._trail, step):
            dot = self._shape(pybullet.GEOM_SPHERE, TRAIL, radius=0.4 * self._radius)
            self._add(dot, self._path[k])
        self._trail = max(self._trail, step)
        return self._render(size)

    def close(self) -> None:
        pybullet.disconnect(self._client)

    def _add_rod(self, tool_offset: Sequence[float]) -> int:
        """What holds the ball where there is no gripper, from the end effector's frame to the tool point."""
        along = np.array(tool_offset)
        length = float(np.linalg.norm(along))
        turn = np.cross((0.0, 0.0, 1.0), along / max(length, 1e-9))
        half = np.array([*turn, 1.0 + along[2] / max(length, 1e-9)])
        shape = self._shape(
            pybullet.GEOM_CYLINDER,
            ROD,
            radius=0.012,
            length=length,
            visualFramePosition=along / 2,
            visualFrameOrientation=half / max(np.linalg.norm(half), 1e-9),
        )
        return self._add(shape, (0.0, 0.0, 0.0))

    def _ground(self, point: np.ndarray) -> float:
        """Height of what is below a point: the floor, or the target's stand."""
        target = self._states.target[0].double().numpy()
        return float(target[2]) if np.hypot(*(point - target)[:2]) < 1.2 * HIT else 0.0

    def _move(
        self, body: int, position: Sequence[float], turn: Sequence[float] = (0.0, 0.0, 0.0, 1.0)
    ) -> None:
        pybullet.resetBasePositionAndOrientation(body, position, turn, physicsClientId=self._client)

    def _add_floor(self, target: np.ndarray) -> None:
        self._add(self._shape(pybullet.GEOM_BOX, FLOOR, halfExtents=(25.0, 25.0, 0.01)), (0.0, 0.0, -0.011))
        if target[2] > 0.01:
            stand = self._shape(pybullet.GEOM_CYLINDER, FLOOR, radius=1.2 * HIT, length=target[2] - 0.004)
            self._add(stand, (target[0], target[1], target[2] / 2 - 0.004))
        for inner, outer in ((0.85 * HIT, HIT), (0.0, 0.018)):
            self._add(self._ring(inner, outer, RING), target + np.array([0.0, 0.0, 0.004]))

    def _ring(self, inner: float, outer: float, color: Color, corners: int = 48) -> int:
        angle = np.linspace(0.0, 2 * np.pi, corners, endpoint=False)
        circle = np.stack((np.cos(angle), np.sin(angle), np.zeros(corners)), -1)
        vertices = np.concatenate((inner * circle, outer * circle))
        here, after = np.arange(corners), np.roll(np.arange(corners), -1)
        above = np.stack((here, here + corners, after + corners, here, after + corners, after), -1).flatten()
        return self._shape(
            pybullet.GEOM_MESH,
            color,
            vertices=vertices.tolist(),
            indices=above.tolist(),
            normals=[(0.0, 0.0, 1.0)] * len(vertices),
        )

    def _shape(self, kind: int, color: Color, **form: Any) -> int:
        return pybullet.createVisualShape(
            kind, rgbaColor=color, specularColor=(0.1, 0.1, 0.1), physicsClientId=self._client, **form
        )

    def _add(self, shape: int, position: Sequence[float] | np.ndarray) -> int:
        return pybullet.createMultiBody(
            0.0, baseVisualShapeIndex=shape, basePosition=position, physicsClientId=self._client
        )

    def _render(self, size: tuple[int, int]) -> np.ndarray:
        width, height = SUPERSAMPLING * size[0], SUPERSAMPLING * size[1]
        view = pybullet.computeViewMatrixFromYawPitchRoll(self._middle, self._distance, 28.0, -22.0, 0.0, 2)
        lens = pybullet.computeProjectionMatrixFOV(45.0, width / height, 0.1, 20.0)
        _, _, pixels, _, bodies = pybullet.getCameraImage(
            width,
            height,
            view,
            lens,
            lightDirection=(0.6, -0.9, 1.6),
            lightColor=(1.0, 1.0, 1.0),
            lightAmbientCoeff=0.62,
            lightDiffuseCoeff=0.42,
            lightSpecularCoeff=0.12,
            shadow=0,
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        image = np.reshape(pixels, (height, width, 4))[..., :3].astype(float)
        rows = np.linspace(0.0, 1.0, height)[:, None, None]
        sky = np.broadcast_to(255.0 * (SKY[0] + rows * (SKY[1] - SKY[0])), image.shape)
        image = np.where(np.reshape(bodies, (height, width, 1)) < 0, sky, image)
        blocks = image.reshape(size[1], SUPERSAMPLING, size[0], SUPERSAMPLING, 3)
        return blocks.mean((1, 3)).round().astype(np.uint8)


class _Arm:
    """The robot with its meshes; fingers close around the ball while it is held."""

    def __init__(self, robot: Robot, ball_radius: float, client: int) -> None:
        self._client, self._robot, self._radius = client, robot, ball_radius
        self._body = load_urdf(drawable_urdf(robot), client, robot.urdf)
        count = pybullet.getNumJoints(self._body, physicsClientId=client)
        infos = [pybullet.getJointInfo(self._body, i, physicsClientId=client) for i in range(count)]
        self._joints = {info[1].decode(): info[0] for info in infos}
        links = {info[12].decode(): info[0] for info in infos}
        self._hand = links.get(robot.settings.end_effector, -1)
        self._fingers = [
            (info[0], info[9])
            for info in infos
            if info[2] == pybullet.JOINT_PRISMATIC and info[1].decode() not in robot.joints
        ]

    @property
    def has_fingers(self) -> bool:
        return bool(self._fingers)

    def hand(self) -> tuple[Sequence[float], Sequence[float]]:
        """Position and orientation (quaternion) of the end effector's frame."""
        if self._hand < 0:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        state = pybullet.getLinkState(
            self._body, self._hand, computeForwardKinematics=1, physicsClientId=self._client
        )
        return state[4], state[5]

    def pose(self, q: Sequence[float], held: bool) -> None:
        for name, angle in zip(self._robot.joints, q, strict=True):
            pybullet.resetJointState(self._body, self._joints[name], angle, physicsClientId=self._client)
        for finger, open_at in self._fingers:
            at = min(self._radius, open_at) if held else open_at
            pybullet.resetJointState(self._body, finger, at, physicsClientId=self._client)
