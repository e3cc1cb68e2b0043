"""Swings: closed forms against differences, and a habit that is smooth over its targets."""

import pytest
import torch

from irl_ros.demos.habit import find_habit
from irl_ros.demos.swing import PEAK_ACCELERATION, PEAK_SPEED, Swing
from irl_ros.sim import load_world


@pytest.fixture
def swing():
    generator = torch.Generator().manual_seed(0)

    def draw(low, high):
        return low + (high - low) * torch.rand(5, 3, 7, generator=generator, dtype=torch.float64)

    release = torch.full((5,), 0.5, dtype=torch.float64)
    return Swing(torch.zeros(7, dtype=torch.float64), draw(-1, 1), draw(0, 0.3), draw(0.4, 0.7), release)


def test_velocity_and_acceleration_are_derivatives_of_position(swing):
    h = 1e-5
    for t in torch.linspace(0.02, 1.1, 23, dtype=torch.float64):
        now = t.expand(5)
        slope = (swing.position(now + h) - swing.position(now - h)) / (2 * h)
        curve = (swing.velocity(now + h) - swing.velocity(now - h)) / (2 * h)
        torch.testing.assert_close(swing.velocity(now), slope, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(swing.acceleration(now), curve, atol=1e-2, rtol=1e-4)


def test_velocities_at_shared_times_are_those_at_single_times(swing):
    times = torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    singly = torch.stack([swing.velocity(t.expand(5)) for t in times], 1)
    torch.testing.assert_close(swing.velocities(times), singly)


def test_a_swing_begins_and_ends_at_rest(swing):
    before, after = torch.full((5,), -0.1, dtype=torch.float64), swing.end + 0.01
    assert torch.equal(swing.position(before), swing.home.expand(5, 7))
    torch.testing.assert_close(swing.position(after), swing.amplitude.sum(-2))
    assert float(swing.velocity(before).abs().max()) == float(swing.velocity(after).abs().max()) == 0.0


def test_peaks_of_a_minimum_jerk_movement():
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    swing = Swing(torch.zeros(1), one, 0 * one, one, torch.zeros(1))
    t = torch.linspace(0, 1, 10001, dtype=torch.float64)
    assert float(swing.velocity(t).max()) == pytest.approx(PEAK_SPEED, rel=1e-6)
    assert float(swing.acceleration(t).max()) == pytest.approx(PEAK_ACCELERATION, rel=1e-5)


def test_slower_takes_the_same_path(swing):
    slow = swing.slower(torch.full((5,), 1.25, dtype=torch.float64))
    t = torch.full((5,), 0.4, dtype=torch.float64)
    torch.testing.assert_close(slow.position(1.25 * t), swing.position(t))
    torch.testing.assert_close(slow.velocity(1.25 * t), swing.velocity(t) / 1.25)
    torch.testing.assert_close(slow.release, 1.25 * swing.release)


@pytest.mark.parametrize("robot", ["panda", "iiwa"])
def test_a_habit_is_one_throw_that_varies_smoothly(robot):
    """Neighbouring targets get neighbouring swings, further ones stronger: demonstrations are consistent."""
    world = load_world({"robot": robot})
    habit = find_habit(world)
    radius = torch.linspace(0.7, 1.1, 81)
    swings = habit.aimed(torch.stack((radius, torch.zeros(81), torch.zeros(81)), -1))
    steps = swings.amplitude.diff(dim=0).abs().amax((1, 2))
    assert float(steps.max()) < 0.06  # rad for 5 mm of target
    effort = (swings.amplitude[:, :2].norm(dim=(1, 2))).diff()
    assert bool((effort > -1e-4).all())
    assert habit.worst_miss < 0.08


def test_equal_worlds_share_a_habit():
    assert find_habit(load_world("default")) is find_habit(load_world({"robot": "panda"}))
