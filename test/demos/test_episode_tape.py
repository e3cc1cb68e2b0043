"""What the recorder does with an episode's messages, apart from any ROS graph."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.rosbag2 import Reader

from irl_ros.demos.episode_tape import EpisodeTape, SimulatedTime, landing_error
from irl_ros.demos.interpolation import Track
from irl_ros.sim import load_world

TICKS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**6)), min_size=1, max_size=40)


@given(TICKS, st.lists(st.integers(-10, 1010), max_size=20))
def test_a_message_belongs_to_the_last_tick_sent_before_it(ticks, messages):
    ticks = sorted(dict(ticks).items())
    clock = SimulatedTime()
    for sent, simulated in ticks:
        clock.tick(sent, simulated)
    for message in messages:
        before = [simulated for sent, simulated in ticks if sent <= message]
        assert clock.at(message) == (before[-1] if before else None)


@given(TICKS, st.integers(0, 1000))
def test_forgetting_old_ticks_changes_nothing_later(ticks, before):
    whole, short = SimulatedTime(), SimulatedTime()
    for sent, simulated in sorted(dict(ticks).items()):
        whole.tick(sent, simulated)
        short.tick(sent, simulated)
    short.forget(before)
    assert [whole.at(t) for t in range(before, 1001, 7)] == [short.at(t) for t in range(before, 1001, 7)]


def test_a_saved_tape_is_in_order_of_simulated_time_and_keeps_every_byte(tmp_path):
    types = {"/target": "geometry_msgs/msg/PointStamped", "/ball": "nav_msgs/msg/Odometry"}
    tape, clock = EpisodeTape(), SimulatedTime()
    for sent, simulated in ((100, 5000), (200, 6000), (300, 7000)):
        clock.tick(sent, simulated)
    for sent, topic, cdr in (
        (310, "/ball", b"d"),
        (150, "/target", b"b"),
        (100, "/ball", b"a"),
        (50, "/ball", b"!"),
    ):
        tape.add(sent, topic, cdr)
    with Reader(tape.save(tmp_path / "bag", types, clock)) as bag:
        seen = [(stamp, connection.topic, bytes(cdr)) for connection, stamp, cdr in bag.messages()]
    assert seen == [(5000, "/ball", b"a"), (5000, "/target", b"b"), (7000, "/ball", b"d")]


def test_the_landing_error_is_the_parabolas():
    world, dt = load_world(), 0.02
    times = np.arange(0.0, 1.2, dt)
    start, velocity, g = np.array([0.4, 0.0, 0.6]), np.array([0.8, 0.1, 1.0]), world.settings.gravity
    down = (velocity[2] + math.sqrt(velocity[2] ** 2 + 2 * g * start[2])) / g
    t = np.minimum(times, down)[:, None]
    position = start + t * velocity - 0.5 * g * t**2 * [0, 0, 1]
    speed = np.where(times[:, None] < down, velocity - g * t * [0, 0, 1], 0.0)
    target = start + down * velocity + [0.03, -0.04, 0.0]
    target[2] = 0.0
    error = landing_error(world, Track(times, position, speed), 0.0, target)
    # physics steps of 4 ms fall a little faster than the parabola: 12 mm in half a second
    assert error == pytest.approx(0.05, abs=0.005)
    for rim, is_in in ((0.1, True), (0.07, False)):  # a ball of 3 cm
        binned = load_world({"target": {"rim": rim}})
        assert math.isfinite(landing_error(binned, Track(times, position, speed), 0.0, target)) is is_in


def test_a_ball_that_was_not_seen_to_land_is_infinitely_far():
    times = np.arange(0.0, 0.2, 0.02)
    ball = Track(times, np.full((10, 3), 0.5), np.zeros((10, 3)))
    assert landing_error(load_world(), ball, 0.0, np.array([0.9, 0.0, 0.0])) == math.inf
