"""Dynamics against PyBullet's: the shipped arms, and one of odd joints that turn and slide."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pybullet
import pytest
import torch

from irl_ros.robots import Robot, load_robot
from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.inertia import Inertia, arm_inertias
from irl_ros.sim import load_world
from irl_ros.sim.bullet_arm import BulletArm

ODD = Path(__file__).parent / "odd"
PAYLOAD = 1.3


@pytest.fixture(params=["panda", "iiwa", "odd"])
def robot(request: pytest.FixtureRequest) -> Robot:
    return load_robot(ODD / "odd.yaml" if request.param == "odd" else request.param)


class Truth:
    """The arm in PyBullet, carrying PAYLOAD."""

    def __init__(self, robot: Robot) -> None:
        world = load_world({"robot": str(ODD / "odd.yaml") if robot.name == "odd" else robot.name})
        arm = dataclasses.replace(world.settings.arm, payload=PAYLOAD)
        world = dataclasses.replace(world, settings=dataclasses.replace(world.settings, arm=arm))
        self.arm = BulletArm(world)

    def torque(self, q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        return np.array(self.arm.torques(*([x.tolist()] for x in (q, qd, qdd)))[0])

    def mass(self, q: np.ndarray) -> np.ndarray:
        arm = self.arm
        return np.array(pybullet.calculateMassMatrix(arm.body, q.tolist(), physicsClientId=arm.client))


@pytest.fixture
def truth(robot: Robot) -> Iterator[Truth]:
    truth = Truth(robot)
    yield truth
    truth.arm.close()


def motions(robot: Robot, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    lower, upper = np.maximum(robot.lower, -6.0), np.minimum(robot.upper, 6.0)
    q = rng.uniform(lower, upper, (count, robot.n))
    return [q, rng.uniform(-3, 3, q.shape), rng.uniform(-20, 20, q.shape)]


def test_torque_is_pybullets(robot: Robot, truth: Truth) -> None:
    motion = motions(robot, 100)
    torque = Dynamics(robot).inverse_dynamics(*map(torch.tensor, motion), payload=PAYLOAD)
    expected = np.array([truth.torque(*m) for m in zip(*motion, strict=True)])
    np.testing.assert_allclose(torque, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_mass_matrix_is_pybullets(robot: Robot, truth: Truth) -> None:
    q = motions(robot, 50)[0]
    mass = Dynamics(robot).mass_matrix(torch.tensor(q), PAYLOAD)
    expected = np.array([truth.mass(x) for x in q])
    np.testing.assert_allclose(mass, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_forward_dynamics_undoes_inverse_dynamics(robot: Robot) -> None:
    q, qd, qdd = map(torch.tensor, motions(robot, 50))
    dynamics, payload = Dynamics(robot), torch.linspace(0, 5, 50, dtype=torch.float64)
    torque = dynamics.inverse_dynamics(q, qd, qdd, payload, gravity=3.7)
    again = dynamics.forward_dynamics(q, qd, torque, payload, gravity=3.7)
    torch.testing.assert_close(again, qdd, rtol=1e-7, atol=1e-7)


def test_each_throw_has_its_own_payload(robot: Robot) -> None:
    q, qd, qdd = map(torch.tensor, motions(robot, 4))
    dynamics, payload = Dynamics(robot), torch.tensor([0.0, 0.5, 1.0, 4.0], dtype=torch.float64)
    together = dynamics.inverse_dynamics(q, qd, qdd, payload)
    for i in range(4):
        alone = dynamics.inverse_dynamics(q[i], qd[i], qdd[i], payload[i])
        torch.testing.assert_close(together[i], alone)


def test_single_precision_torque_is_good_to_a_ten_thousandth(robot: Robot) -> None:
    motion = [torch.tensor(x) for x in motions(robot, 200)]
    exact = Dynamics(robot).inverse_dynamics(*motion, payload=PAYLOAD)
    rough = Dynamics(robot).inverse_dynamics(*(x.float() for x in motion), payload=PAYLOAD)
    assert ((rough - exact).abs() / exact.abs().amax(0)).max() < 1e-5


def test_a_body_is_never_flatter_than_flat() -> None:
    impossible = Inertia(1.0, np.zeros(3), np.diag([1.0, 1.0, 3.0]))
    assert np.diag(impossible.solid().tensor) == pytest.approx([1.0, 1.0, 2.0])
    for body in arm_inertias(load_robot("panda")):
        moments = np.linalg.eigvalsh(body.tensor)
        assert moments[2] <= moments[:2].sum() * (1 + 1e-12)
