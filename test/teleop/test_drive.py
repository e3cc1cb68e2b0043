"""Motions of the tool become motions of the joints, and nothing leaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.errors import InputError
from irl_ros.sim import load_world
from irl_ros.teleop.drive import Drive, Smoother, within
from irl_ros.teleop.wish import Motion

WORLD = load_world()
DRIVE = Drive(WORLD)
KINEMATICS = WORLD.robot.kinematics(dtype=torch.float64)
POSES = st.lists(st.floats(0.05, 0.95), min_size=7, max_size=7).map(
    lambda x: WORLD.robot.lower + np.array(x) * (WORLD.robot.upper - WORLD.robot.lower)
)
TWISTS = st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array)


@settings(max_examples=50, deadline=None)
@given(POSES, TWISTS)
def test_the_tool_goes_where_the_device_says(q: np.ndarray, twist: np.ndarray) -> None:
    """Away from singular poses exactly, by forward kinematics; near them never faster than damping allows."""
    jacobian = KINEMATICS.jacobian(torch.as_tensor(q)).numpy()
    qd = DRIVE.through_jacobian(twist, q)
    if np.linalg.svd(jacobian)[1][-1] > 0.05:
        _, v = KINEMATICS.tool_motion(torch.as_tensor(q), torch.as_tensor(qd))
        np.testing.assert_allclose(v.numpy(), twist[:3], atol=1e-6)
        np.testing.assert_allclose(jacobian @ qd, twist, atol=1e-6)
    assert np.linalg.norm(qd) <= np.linalg.norm(twist) / 0.05 + 1e-9


def test_a_stretched_arm_is_asked_for_nothing_wild() -> None:
    q = np.array([0.0, 0.0, 0.0, -0.0698, 0.0, 0.0, 0.0])
    qd = DRIVE.through_jacobian(np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), q)
    assert np.isfinite(qd).all() and np.abs(qd).max() < 20.0


@given(st.lists(st.floats(-5, 5), min_size=7, max_size=7).map(np.array))
def test_shares_keep_their_direction_inside_the_limits(share: np.ndarray) -> None:
    inside = within(share)
    assert np.abs(inside).max() <= 1.0 + 1e-12
    np.testing.assert_allclose(inside * np.abs(share).max(), share * np.abs(inside).max(), atol=1e-9)


def test_keys_and_axes_add_up() -> None:
    turn = Motion(joints=(0.5, 0, 0, 0, 0, 0, 0))
    away = Motion(twist=(0.3, 0, 0, 0, 0, 0))
    share = DRIVE.velocity([(turn, 1.0), (turn, -0.5), (away, 1.0)], WORLD.home)
    alone = DRIVE.velocity([(away, 1.0)], WORLD.home)
    np.testing.assert_allclose(share - alone, [0.25, 0, 0, 0, 0, 0, 0], atol=1e-12)


def test_homeward_leads_home_gently() -> None:
    q, dt = WORLD.home + 0.5, 0.02
    for _ in range(300):
        share = DRIVE.homeward(q)
        assert np.abs(share).max() <= 0.3 + 1e-9
        q = q + dt * share * WORLD.velocity
    np.testing.assert_allclose(q, WORLD.home, atol=2e-3)


def test_motions_of_another_robot_are_refused() -> None:
    with pytest.raises(InputError, match=r"keys: joints: has 6 values; robot panda has 7 joints"):
        DRIVE.check(Motion(joints=(0.1,) * 6), "keys")
    with pytest.raises(ValueError, match="needs either joints or twist"):
        Motion()


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=40), st.floats(0.02, 0.5), st.floats(0.0, 0.2))
def test_what_comes_out_never_leaps_and_arrives(wishes: list[float], rise: float, settle: float) -> None:
    smooth, dt, before = Smoother(rise, settle), 0.02, 0.0
    for wish in wishes:
        (out,) = smooth(np.array([wish]), dt)
        assert abs(out - before) <= dt / rise + 1e-12 and abs(out) <= 1.0
        before = out
    for _ in range(400):
        (out,) = smooth(np.array([wishes[-1]]), dt)
    assert out == pytest.approx(wishes[-1], abs=1e-3)
