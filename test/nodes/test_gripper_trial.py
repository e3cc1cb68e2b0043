"""When a ball left the hand, from how it fell."""

from __future__ import annotations

import numpy as np
import pytest

from irl_ros.nodes.gripper_trial import leaving_time
from irl_ros.nodes.simulated_arm import HardwareSettings, SimulatedArm
from irl_ros.sim import BatchWorld, load_world

G = 9.81


def fall(
    left: float, rate: float, noise: float = 0.0, floor: float = -np.inf
) -> tuple[np.ndarray, np.ndarray]:
    times = np.arange(0.0, 1.0, 1.0 / rate)
    heights = 0.6 - 0.5 * G * np.clip(times - left, 0.0, None) ** 2
    heights = np.maximum(heights, floor) + noise * np.random.default_rng(0).standard_normal(len(times))
    return times, heights


@pytest.mark.parametrize("left", [0.0, 0.0371, 0.3])
@pytest.mark.parametrize("rate", [50.0, 240.0])
def test_free_fall_tells_when_it_began(left, rate):
    assert leaving_time(*fall(left, rate), G) == pytest.approx(left, abs=1e-6)


def test_a_noisy_tracker_is_good_to_a_few_milliseconds():
    assert leaving_time(*fall(0.1, 120.0, noise=1e-3), G) == pytest.approx(0.1, abs=4e-3)


def test_what_lies_on_the_floor_later_is_no_fall():
    assert leaving_time(*fall(0.1, 100.0, floor=0.4), G) == pytest.approx(0.1, abs=1e-6)


def test_a_ball_that_stays_has_no_time():
    assert np.isnan(leaving_time(*fall(9.0, 50.0), G))


def test_the_delay_of_the_simulated_gripper_is_found():
    world = load_world()
    arm = SimulatedArm(world, BatchWorld, HardwareSettings(gripper_delay=0.083))
    arm.open_gripper([1.0])
    seen = [(arm.time, float(arm.state.ball_position[0, 2]))]
    for _ in range(20):
        height = float(arm.step().ball_position[0, 2])
        seen.append((arm.time, height))
    # the world's semi-implicit steps fall half a physics step early
    assert leaving_time(*np.array(seen).T, G) == pytest.approx(0.083, abs=world.physics_dt)
