"""Kinematics against PyBullet's own: the robots' full URDFs with their fingers, and one of odd joints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pybullet
import pytest
import torch

from irl_ros.robots import Robot, load_robot

ODD = Path(__file__).parent / "odd"


@pytest.fixture(params=["panda", "iiwa", "xarm6", "odd"])
def robot(request: pytest.FixtureRequest) -> Robot:
    return load_robot(ODD / "odd.yaml" if request.param == "odd" else request.param)


class Truth:
    """The robot's own URDF in PyBullet. Joints and links are found by name."""

    def __init__(self, robot: Robot) -> None:
        self.client = pybullet.connect(pybullet.DIRECT)
        self.body = pybullet.loadURDF(str(robot.urdf), useFixedBase=True, physicsClientId=self.client)
        infos = [
            pybullet.getJointInfo(self.body, i, physicsClientId=self.client)
            for i in range(pybullet.getNumJoints(self.body, physicsClientId=self.client))
        ]
        index = {info[1].decode(): info[0] for info in infos}
        self.joints = [index[name] for name in robot.joints]
        self.link = {info[12].decode(): info[0] for info in infos}[robot.settings.end_effector]
        self.offset = np.array(robot.settings.tool_offset)

    def tool(self, q: np.ndarray, qd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity and angular velocity of the tool point."""
        for joint, position, velocity in zip(self.joints, q, qd, strict=True):
            pybullet.resetJointState(self.body, joint, position, velocity, physicsClientId=self.client)
        state = pybullet.getLinkState(
            self.body,
            self.link,
            computeLinkVelocity=1,
            computeForwardKinematics=1,
            physicsClientId=self.client,
        )
        turn = np.reshape(pybullet.getMatrixFromQuaternion(state[5]), (3, 3))
        position = np.array(state[4]) + turn @ self.offset
        spin = np.array(state[7])
        # Bullet's velocity is that of the centre of mass
        return position, np.array(state[6]) + np.cross(spin, position - np.array(state[0])), spin


@pytest.fixture
def truth(robot: Robot) -> Iterator[Truth]:
    truth = Truth(robot)
    yield truth
    pybullet.disconnect(truth.client)


def configurations(robot: Robot, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    lower, upper = np.maximum(robot.lower, -6.0), np.minimum(robot.upper, 6.0)
    return rng.uniform(lower, upper, (count, robot.n)), rng.uniform(-3.0, 3.0, (count, robot.n))


def test_tool_motion_is_pybullets(robot: Robot, truth: Truth) -> None:
    q, qd = configurations(robot, 100)
    position, velocity = robot.kinematics(dtype=torch.float64).tool_motion(torch.tensor(q), torch.tensor(qd))
    expected = [truth.tool(a, b) for a, b in zip(q, qd, strict=True)]
    np.testing.assert_allclose(position, [e[0] for e in expected], rtol=0, atol=1e-6)
    np.testing.assert_allclose(velocity, [e[1] for e in expected], rtol=0, atol=1e-6)


def test_jacobian_is_pybullets(robot: Robot, truth: Truth) -> None:
    q, _ = configurations(robot, 25)
    jacobian = robot.kinematics(dtype=torch.float64).jacobian(torch.tensor(q))
    assert jacobian.shape == (25, 6, robot.n)
    for k, configuration in enumerate(q):
        for i, unit in enumerate(np.eye(robot.n)):
            _, velocity, spin = truth.tool(configuration, unit)
            np.testing.assert_allclose(jacobian[k, :3, i], velocity, rtol=0, atol=1e-6)
            np.testing.assert_allclose(jacobian[k, 3:, i], spin, rtol=0, atol=1e-6)


def test_any_leading_shape_gives_the_same(robot: Robot) -> None:
    kinematics = robot.kinematics(dtype=torch.float64)
    q, qd = (torch.tensor(x) for x in configurations(robot, 6))
    flat = kinematics.tool_motion(q, qd)
    shaped = kinematics.tool_motion(q.reshape(2, 3, -1), qd.reshape(2, 3, -1))
    single = kinematics.tool_motion(q[0], qd[0])
    for whole, parts, one in zip(flat, shaped, single, strict=True):
        torch.testing.assert_close(parts.reshape(6, 3), whole)
        torch.testing.assert_close(one, whole[0])


def test_single_precision_is_good_to_ten_micrometres(robot: Robot) -> None:
    q, _ = (torch.tensor(x) for x in configurations(robot, 100))
    exact = robot.kinematics(dtype=torch.float64).tool_position(q)
    rough = robot.kinematics(dtype=torch.float32).tool_position(q.float())
    assert (rough - exact).abs().max() < 1e-5


def test_the_tool_point_seen_from_the_last_joint(robot: Robot) -> None:
    q, _ = (torch.tensor(x) for x in configurations(robot, 5))
    kinematics = robot.kinematics(dtype=torch.float64)
    _, origins = kinematics.frames(q)
    axis_frame = np.linalg.norm(kinematics.tool_position(q) - origins[:, -1], axis=-1)
    np.testing.assert_allclose(axis_frame, np.linalg.norm(robot.tool_in_last_link), atol=1e-12)
