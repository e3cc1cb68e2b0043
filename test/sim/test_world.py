"""A World from YAML: defaults, what its keys do, and one clear line for every fault."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.errors import InputError
from irl_ros.resources import config_file, shipped
from irl_ros.settings import as_dict
from irl_ros.sim import BatchWorld, load_world
from irl_ros.sim.world_settings import Arm, Ball, Gripper, Sensors, Target, WorldSettings

KEYS = [
    *(f.name for part in (WorldSettings, Ball, Target, Arm, Gripper, Sensors) for f in fields(part)),
    "home",
    "demos",
]
"""Every name a world's YAML may hold, at any place."""


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"horizont": 60}, "unknown key 'horizont'; did you mean 'horizon'?"),
        ({"ball": {"mas": 0.1}}, "unknown key 'ball.mas'; did you mean 'ball.mass'?"),
        ({"ball": 0.05}, "ball: expected keys, found 0.05"),
        ({"horizon": 60.5}, "horizon: expected a whole number, found 60.5"),
        ({"horizon": True}, "horizon: expected a whole number, found True"),
        ({"gravity": "down"}, "gravity: expected a number, found 'down'"),
        ({"robot": 3}, "robot: expected text, found 3"),
        ({"target": {"radius": [0.7]}}, "target.radius: expected 2 values, found 1"),
        ({"target": {"radius": [0.7, "far"]}}, "target.radius[1]: expected a number, found 'far'"),
        ({"target": {"radius": [1.1, 0.7]}}, "target.radius: lower end 1.1 is above upper end 0.7"),
        ({"horizon": 0}, "horizon: must be positive, found 0"),
        ({"ball": {"mass": 0.0}}, "ball.mass: must be positive"),
        ({"ball": {"drag": -0.1}}, "ball.drag: must not be negative"),
        ({"start": "anywhere"}, "start: expected home or demos, found 'anywhere'"),
        ({"arm": {"velocity_scale": 1.5}}, "arm.velocity_scale: must be above 0 and at most 1"),
        (
            {"arm": {"velocity_scale": [1, 1, 0.5]}},
            "arm.velocity_scale: has 3 values; give one number or one",
        ),
        ({"arm": {"locked": ["panda_joint"]}}, "unknown joint in arm.locked 'panda_joint'; did you mean"),
        ({"arm": {"payload": -1}}, "arm.payload: must not be negative"),
        ({"home": [0.0] * 6}, "home: has 6 values; robot panda has 7 joints"),
        ({"home": [9.0] + [0.0] * 6}, "home: joint 'panda_joint1' at 9.0 is outside its limits"),
        ({"gravity": float("nan")}, "gravity: is not a finite number, found nan"),
        ({"target": {"radius": [0.7, float("inf")]}}, "target.radius: is not a finite number"),
        (
            {"ball": {"mass": [0.08, 0.04]}},
            "ball.mass: lower end 0.08 is above upper end 0.04; write [0.04, 0.08]",
        ),
        ({"ball": {"mass": [0.0, 0.04]}}, "ball.mass: must be positive, found 0"),
        ({"ball": {"mass": 500}}, "ball.mass: must be at most 100, found 500; is the unit right?"),
        ({"ball": {"mass": [0.04, 0.05, 0.06]}}, "ball.mass: expected 2 values, found 3"),
        ({"ball": {"mass": "light"}}, "ball.mass: expected a number, found 'light'"),
        ({"target": {"azimuth": [-180, 180]}}, "target.azimuth: spans more than a full turn; give radians"),
        (
            {"target": {"rim": 0.03}},
            "target.rim: 0.03 m lets no ball of radius 0.03 m through; make the opening",
        ),
        (
            {"target": {"rim": 0.04}, "ball": {"radius": [0.02, 0.05]}},
            "lets no ball of radius 0.05 m through",
        ),
        ({"target": {"rim": -1}}, "target.rim: must not be negative, found -1; 0 is an open plane"),
        ({"arm": {"latency": 60}}, "arm.latency: must be at most 59, found 60; a throw has 60 control steps"),
        ({"gripper": {"latency": [2, 1]}}, "gripper.latency: lower end 2 is above upper end 1"),
        ({"gripper": {"latency": 0.5}}, "gripper.latency: expected a whole number, found 0.5"),
        ({"arm": {"noise": -0.1}}, "arm.noise: must not be negative, found -0.1"),
        ({"sensors": {"q": [0.1, -0.1]}}, "sensors.q: lower end 0.1 is above upper end -0.1"),
        ({"sensors": {"camera": 0.1}}, "unknown key 'sensors.camera'"),
        (
            {"arm": {"effort_scale": [1, 1, 1, 1, 1, 1, [0.9, 0.2]]}},
            "arm.effort_scale: lower end 0.9 is above",
        ),
        (
            {"arm": {"locked": [f"panda_joint{i}" for i in range(1, 8)]}},
            "arm.locked: names every joint; leave",
        ),
        ({"robot": "ur5"}, "unknown robot 'ur5'; known: iiwa, panda"),
    ],
)
def test_faults_are_named(keys: dict, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_world(keys)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("horizon: [1, 2", "is not valid YAML at line 1"),
        ("- 1\n- 2\n", "does not hold `key: value` lines"),
        ("horizon: 60\ngravitiy: 9.81\n", "unknown key 'gravitiy'; did you mean 'gravity'?"),
    ],
)
def test_faults_in_a_file_name_the_file(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"mine\.yaml") as caught:
        load_world(path)
    assert says in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        load_world(tmp_path / "yours.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match=r"binary\.yaml: (cannot be read|is not valid)"):
        load_world(tmp_path / "binary.yaml")


def test_a_shipped_default_says_nothing_the_code_does_not() -> None:
    default, code = load_world("default").settings, WorldSettings()
    assert as_dict(default) == as_dict(code)
    path = config_file("worlds", "default")
    assert "weak_wrist" in shipped("worlds") and path.name == "default.yaml"


def test_assignments_win_over_the_file() -> None:
    world = load_world("weak_wrist", ["target.height=0.2", "ball.drag=0.47"])
    assert world.settings.target.height == 0.2
    assert world.settings.target.radius == (0.5, 0.7)
    with pytest.raises(InputError, match="is not key=value"):
        load_world("default", ["horizon"])


def test_an_unknown_world_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        load_world("weak_wirst")
    assert "did you mean 'weak_wrist'? known: " in str(caught.value)
    assert all(name in str(caught.value) for name in shipped("worlds"))


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 200)
        | st.floats()
        | st.sampled_from(KEYS)
        | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        max_leaves=8,
    ).filter(lambda x: isinstance(x, dict))
)
def test_any_yaml_is_a_world_or_one_clear_line(keys: dict) -> None:
    """Whatever a file holds, it is refused in one line or a throw can be made in it."""
    try:
        world = load_world(keys)
    except InputError as error:
        assert "\n" not in str(error)
        return
    if world.horizon > 100 or world.settings.physics_steps > 20:
        return
    simulator = BatchWorld(world)
    simulator.reset(world.sample_targets(2))
    simulator.step(torch.ones(2, 8))
    assert torch.isfinite(simulator.state.ball_position).all()
    assert torch.isfinite(simulator.observed().q).all()


def test_scales_and_locks_change_the_limits() -> None:
    base = load_world("default")
    world = load_world({"arm": {"velocity_scale": [1, 1, 1, 1, 1, 0.1, 1], "locked": ["panda_joint1"]}})
    expected = base.velocity * [0, 1, 1, 1, 1, 0.1, 1]
    np.testing.assert_allclose(world.velocity, expected)
    np.testing.assert_allclose(
        load_world({"arm": {"acceleration_scale": 0.5}}).acceleration, base.acceleration / 2
    )


def test_velocities_become_shares_of_the_limit() -> None:
    world = load_world({"arm": {"velocity_scale": 0.5, "locked": ["panda_joint2"]}})
    action = world.action(np.ones((3, 7)))
    assert action.shape == (3, 7)
    np.testing.assert_allclose(action[:, 1], 0.0)
    np.testing.assert_allclose(action[:, 0], 1.0 / (0.5 * 2.175))


def test_targets_fill_their_region_and_repeat_with_the_seed() -> None:
    world = load_world({"target": {"radius": [0.5, 0.7], "azimuth": [-0.4, 0.2], "height": 0.3}})
    one, other = (world.sample_targets(2000, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other)
    radius, azimuth = one[:, :2].norm(dim=-1), torch.atan2(one[:, 1], one[:, 0])
    assert 0.5 <= radius.min() < 0.502 and 0.698 < radius.max() <= 0.7001
    assert -0.4 <= azimuth.min() < -0.398 and 0.198 < azimuth.max() <= 0.2001
    assert (one[:, 2] == 0.3).all()


def test_hash_tells_worlds_apart() -> None:
    assert load_world("default").sha256 == load_world({}).sha256
    assert len({load_world(k).sha256 for k in ({}, {"gravity": 9.8}, {"robot": "iiwa"})}) == 3
