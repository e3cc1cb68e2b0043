"""The throw as a Gymnasium environment: its contract, and that it is the same throw as everywhere else."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import irl_ros  # noqa: F401  registers the environment
from irl_ros.errors import InputError
from irl_ros.rewards.reward import Reward, load_reward
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.sim import BatchWorld, BulletWorld, load_world
from irl_ros.sim.state_vector import state_bounds, state_vector

THROW = "irl_ros/Throw-v0"
SHORT = {"horizon": 12}


def swing(n: int, release_at: int, steps: int) -> np.ndarray:
    """A forward swing of a Panda, [T, n + 1]."""
    actions = np.zeros((steps, n + 1), np.float32)
    actions[:, [1, 3, 5]] = 0.8, 1.0, 1.0
    actions[:, -1] = np.where(np.arange(steps) >= release_at, 1.0, -1.0)
    return actions


@pytest.mark.parametrize("kwargs", [{}, {"world": {"robot": "xarm6"}}, {"world": SHORT, "sim": "pybullet"}])
def test_the_checker_has_nothing_to_say(kwargs: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(THROW, **kwargs)
        check_env(env.unwrapped)
        env.close()


def test_an_import_is_all_it_takes() -> None:
    """In a process of its own, since here irl_ros.sim is imported already."""
    code = (
        "import gymnasium, irl_ros, sys; gymnasium.spec('irl_ros/Throw-v0'); 'torch' in sys.modules and 1 / 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    gymnasium.make("irl_ros:irl_ros/Throw-v0").close()


def test_an_episode_is_cut_at_the_horizon_and_nowhere_else() -> None:
    env = gymnasium.make(THROW)
    env.reset(seed=0)
    seen = [env.step(action)[1:] for action in swing(7, 18, 60)]
    assert not any(terminated for _, terminated, _, _ in seen)
    assert [truncated for _, _, truncated, _ in seen] == [False] * 59 + [True]
    assert all(info == {} for *_, info in seen[:-1])
    assert set(seen[-1][-1]) == {"error", "is_success"}


@pytest.mark.parametrize(("sim", "simulator"), [("batch", BatchWorld), ("pybullet", BulletWorld)])
def test_it_is_the_throw_of_the_simulator(sim: str, simulator: type) -> None:
    env = gymnasium.make(THROW, sim=sim)
    target, world, actions = [0.9, 0.1, 0.0], load_world("default"), swing(7, 18, 60)
    env.reset(options={"target": target})
    steps = [env.step(action) for action in actions]
    truth, true = simulator(world), TrueReward(world)
    truth.reset(torch.tensor([target]))
    velocity = torch.as_tensor(world.robot.velocity, dtype=torch.float32)
    for action, (observation, reward, *_) in zip(actions, steps, strict=True):
        state = truth.step(torch.as_tensor(action)[None])
        np.testing.assert_array_equal(observation, state_vector(state, truth.flight, velocity)[0])
        assert reward == pytest.approx(float(true(state)[0]))
    error = float(truth.outcome().error[0])
    assert steps[-1][-1]["error"] == pytest.approx(error)
    assert steps[-1][-1]["is_success"] == (error <= 0.10)
    assert bool(truth.outcome().released[0])


def test_seeds_repeat_and_go_on() -> None:
    env, again = gymnasium.make(THROW), gymnasium.make(THROW)
    first, same = (e.reset(seed=3)[0] for e in (env, again))
    np.testing.assert_array_equal(first, same)
    second, also = (e.reset()[0] for e in (env, again))
    np.testing.assert_array_equal(second, also)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, env.reset(seed=4)[0])


def test_bounds_hold_for_wild_arms_and_endless_joints(own_arm: Path) -> None:
    world = load_world({"robot": str(own_arm)})
    low, high = state_bounds(world)
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()
    simulator, draw = BatchWorld(world), torch.Generator().manual_seed(0)
    velocity = torch.as_tensor(world.robot.velocity, dtype=torch.float32)
    state = simulator.reset(world.sample_targets(500, draw))
    full = torch.sign(torch.randn(500, world.action_dim, generator=draw))
    for step in range(world.horizon):
        full[:, -1] = torch.where(torch.rand(500, generator=draw) < 0.05, 1.0, -1.0)
        state = simulator.step(full)
        seen = state_vector(state, simulator.flight, velocity)
        assert (seen >= torch.from_numpy(low)).all(), step
        assert (seen <= torch.from_numpy(high)).all(), step


def test_a_learned_reward_pays_instead(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Reward(load_world("default")).save(tmp_path)
    env = gymnasium.make(THROW, reward=tmp_path)
    learned, world = load_reward(tmp_path), load_world("default")
    env.reset(options={"target": [0.9, 0.0, 0.0]})
    truth = BatchWorld(world)
    truth.reset(torch.tensor([[0.9, 0.0, 0.0]]))
    for action in swing(7, 5, 10):
        assert env.step(action)[1] == pytest.approx(
            float(learned(truth.step(torch.as_tensor(action)[None]))[0])
        )


def test_pictures_follow_the_throw() -> None:
    env = gymnasium.make(THROW, render_mode="rgb_array", size=(120, 90))
    env.reset(seed=0)
    frames = [env.render()]
    for action in swing(7, 18, 40):
        env.step(action)
    frames.append(env.render())
    assert all(f.shape == (90, 120, 3) and f.dtype == np.uint8 for f in frames)
    assert (frames[0] != frames[1]).any()
    env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), frames[0])
    env.close()
    assert gymnasium.make(THROW).unwrapped.render() is None


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"world": "nowhere"}, "unknown world 'nowhere'"),
        ({"sim": "gazebo"}, "sim: unknown simulator 'gazebo'"),
        ({"reward": "/nowhere"}, "/nowhere: no such run directory"),
    ],
)
def test_faults_are_named(kwargs: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        gymnasium.make(THROW, **kwargs)


@pytest.mark.parametrize("options", [{"targets": [1, 0, 0]}, {"target": [1, 0]}, {"target": [1, 0, np.nan]}])
def test_faulty_options_are_named(options: dict) -> None:
    with pytest.raises(InputError, match="options: "):
        gymnasium.make(THROW).reset(options=options)


# --- many at once ---


def test_many_throws_are_the_single_ones() -> None:
    many, one = gymnasium.make_vec(THROW, num_envs=3), gymnasium.make(THROW)
    assert many.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    options, actions = {"target": [0.8, -0.2, 0.0]}, swing(7, 18, 60)
    np.testing.assert_array_equal(many.reset(options=options)[0][1], one.reset(options=options)[0])
    for action in actions:
        together, alone = many.step(np.tile(action, (3, 1))), one.step(action)
        np.testing.assert_allclose(together[0][2], alone[0], atol=1e-6)
        assert together[1][2] == pytest.approx(alone[1], abs=1e-6)
        assert not together[2].any()
    assert together[3].all()
    assert together[4]["error"][0] == pytest.approx(alone[4]["error"], abs=1e-5)
    assert together[4]["_error"].all()


def test_many_throws_begin_again_with_other_targets() -> None:
    many = gymnasium.make_vec(THROW, num_envs=4, world=SHORT)
    first, _ = many.reset(seed=1)
    assert len({tuple(x) for x in first[:, 14:16]}) == 4
    actions = many.action_space.sample()
    assert [bool(many.step(actions)[3].all()) for _ in range(12)] == [False] * 11 + [True]
    again, reward, terminated, truncated, info = many.step(actions)
    assert (reward == 0).all()
    assert not (terminated.any() or truncated.any() or info)
    assert (again[:, -1] == 0).all()  # phase
    assert not np.array_equal(again[:, 14:16], first[:, 14:16])
    np.testing.assert_array_equal(many.reset(seed=1)[0], first)


def test_tensors_stay_tensors() -> None:
    many = gymnasium.make_vec(THROW, num_envs=5, world=SHORT, tensors=True)
    observation, _ = many.reset(seed=0)
    for _ in range(12):
        observation, reward, terminated, truncated, info = many.step(torch.zeros(5, 8))
    values = [observation, reward, terminated, truncated, *info.values()]
    assert all(isinstance(x, torch.Tensor) and x.device == many.unwrapped.device for x in values)
    assert (observation.dtype, reward.dtype, truncated.dtype) == (torch.float32, torch.float32, torch.bool)


def test_wrappers_of_gymnasium_work_on_it() -> None:
    many = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec(THROW, num_envs=2, world=SHORT)
    )
    many.reset(seed=0)
    for _ in range(12):
        *_, info = many.step(many.action_space.sample())
    assert (info["episode"]["l"] == 12).all()
    assert (info["episode"]["r"] < 0).all()
