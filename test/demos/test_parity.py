"""A bag played message by message into the live state gives the states that reading the bag gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.demos.bag import find_bags, read_bag, roles_of
from irl_ros.demos.recording import read_recording
from irl_ros.demos.resampler import LiveState, twist_in_world
from irl_ros.demos.throw_reader import ThrowReader
from irl_ros.resources import SOURCE_ROOT
from irl_ros.sim import State, World

SAMPLES = SOURCE_ROOT / "test" / "data" / "sample_throws"


def played(bag, world: World, times: np.ndarray, openings: np.ndarray) -> list[State]:
    """Live states at `times`, s since the first joint state, each from what had come in by then."""
    raw = read_bag(bag, roles_of(world.robot))
    rows = [
        (received, role, message)
        for role in ("target", "ball", "joint_states")
        for received, message in raw.messages[role]
    ]
    rows.sort(key=lambda row: row[0])
    first = raw.messages["joint_states"][0][1].header.stamp
    live, states = LiveState(world), []
    live.begin(float(times[0]))

    def seconds(message) -> float:
        stamp = message.header.stamp
        return (stamp.sec - first.sec) + 1e-9 * (stamp.nanosec - first.nanosec)

    for time in times:
        while rows and (rows[0][1] == "target" or seconds(rows[0][2]) <= time + 1e-6):
            _, role, m = rows.pop(0)
            if role == "target":
                live.target((m.point.x, m.point.y, m.point.z))
            elif role == "joint_states":
                live.joint_state(seconds(m), m.name, m.position, m.velocity)
            else:
                p, o, v = m.pose.pose.position, m.pose.pose.orientation, m.twist.twist.linear
                velocity = twist_in_world((o.x, o.y, o.z, o.w), (v.x, v.y, v.z))
                live.ball(seconds(m), (p.x, p.y, p.z), velocity)
        for opening in openings[openings < time]:
            live.release(float(opening))
        state, _ = live.at(float(time))
        assert state is not None
        states.append(state)
    return states


@pytest.mark.parametrize("number", range(3))
def test_played_live_a_bag_gives_the_states_it_is_read_as(world, number: int) -> None:
    (bag,) = find_bags(SAMPLES / f"episode_{number:04d}")
    recording = read_recording(bag, world.robot)
    content = ThrowReader(world).read(recording)
    (throw,), (audit,) = content.throws, content.audits
    steps = world.horizon + 1 - round(audit.padded / world.dt)
    times = audit.start + world.dt * np.arange(steps)
    live = State.cat(played(bag, world, times, recording.openings))
    read = throw.states[0][:steps]
    for field, tolerance in (("q", 1e-5), ("qd", 1e-5), ("ball_position", 1e-3), ("target", 0.0)):
        np.testing.assert_allclose(
            getattr(live, field).numpy(), getattr(read, field).numpy(), atol=tolerance, err_msg=field
        )
    # the command to open comes within the step at whose beginning the ball is still in the hand
    assert torch.equal(live.held, read.held) and torch.equal(live.landed, read.landed)
    np.testing.assert_allclose(live.phase.numpy(), read.phase.numpy(), atol=1e-5)
