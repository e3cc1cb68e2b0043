"""Gymnasium environments as worlds of equal episodes: same steps as by hand, ends that absorb, faults."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from irl_ros.errors import InputError
from irl_ros.rl.gym_world import GymStates, GymWorld


class Countdown(gymnasium.Env):
    """Starts at a random whole number and ends when it has counted down to 0; pays what is left."""

    observation_space = spaces.Box(0.0, 20.0, (1,), np.float32)
    action_space = spaces.Discrete(3, start=5)

    def __init__(self, truncates: bool = False) -> None:
        self.truncates = truncates

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 15))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        self.left -= 1
        ends = self.left == 0
        return self._seen(), self.left + 1.0, ends and not self.truncates, ends and self.truncates, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.left], np.float32)


for name, steps, how in (("Down", 20, {}), ("Cut", 20, {"truncates": True}), ("Endless", None, {})):
    gymnasium.register(f"irl_ros_world/{name}-v0", Countdown, max_episode_steps=steps, kwargs=how)


def test_continuous_steps_are_those_of_the_environment_by_hand():
    world = GymWorld("Pendulum-v1", horizon=30)
    actions = 3 * torch.randn(30, 4, 1)
    times = iter(actions)
    states, taken = world.play(lambda now: next(times), 4, seed=50)
    assert torch.equal(taken, actions.transpose(0, 1))
    single = gymnasium.make("Pendulum-v1")
    for i in range(4):
        seen, _ = single.reset(seed=50 + i)
        for t in range(30):
            assert torch.allclose(states.observation[i, t], torch.as_tensor(seen), atol=1e-4)
            seen, reward, *_ = single.step((2.0 * actions[t, i].clamp(-1, 1)).numpy())  # torque in ±2
            assert float(states.reward[i, t]) == pytest.approx(float(reward), rel=1e-4)
    assert not states.absorbing.any()
    assert torch.allclose(states.phase, torch.linspace(0, 1, 31).expand(4, 31))


def test_steps_in_the_native_vector_form_are_those_of_the_environment_by_hand():
    world = GymWorld("CartPole-v1", horizon=60)
    states, actions = world.play(world.random, 8, seed=3)
    assert (states.absorbing[:, -1]).any(), "random actions drop the pole"
    single = gymnasium.make("CartPole-v1").unwrapped
    single.reset()
    for i, t in ((i, t) for i in range(8) for t in range(60) if not states.absorbing[i, t]):
        single.state = states.observation[i, t].double().numpy()
        single.steps_beyond_terminated = None
        seen, reward, terminated, *_ = single.step(int(actions[i, t].argmax()))
        assert torch.allclose(states.observation[i, t + 1], torch.as_tensor(seen), atol=1e-6)
        assert bool(states.absorbing[i, t + 1]) == terminated
        assert float(states.reward[i, t]) == reward


def test_what_has_ended_stays_as_it_ended_and_pays_nothing():
    world = GymWorld("irl_ros_world/Down-v0")
    states, actions = world.play(world.random, 50, seed=0)
    start = states.observation[:, 0, 0]
    assert states.observation.shape == (50, 21, 1) and actions.shape == (50, 20, 3)
    time = torch.arange(21.0)
    assert torch.equal(states.observation[..., 0], (start[:, None] - time).clamp_min(0))
    assert torch.equal(states.absorbing, time >= start[:, None])
    assert torch.equal(states.reward.sum(1), start * (start + 1) / 2)
    assert len(set(start.tolist())) > 5, "episodes start anew each time"


def test_the_same_seed_gives_the_same_episodes():
    world = GymWorld("Pendulum-v1", horizon=5)

    def play(seed: int, batch: int = 3) -> GymStates:
        torch.manual_seed(7)
        return world.play(world.random, batch, seed)[0]

    first, again, other = play(1), play(1), play(2)
    assert torch.equal(first.observation, again.observation) and torch.equal(first.reward, again.reward)
    assert not torch.equal(first.observation[:, 0], other.observation[:, 0])


def test_random_actions_cover_what_can_be_done():
    world = GymWorld("irl_ros_world/Down-v0")
    _, choices = world.play(world.random, 200, seed=0)
    assert torch.equal(choices.sum(-1), torch.ones(200, 20))
    assert torch.allclose(choices.mean((0, 1)), torch.full((3,), 1 / 3), atol=0.03)
    _, pushes = GymWorld("Pendulum-v1", 10).play(GymWorld("Pendulum-v1", 10).random, 200, seed=0)
    assert -1 <= float(pushes.min()) < -0.98 and 0.98 < float(pushes.max()) <= 1


@pytest.mark.parametrize(
    ("env", "horizon", "says"),
    [
        ("Pendulm-v1", None, "did you mean"),
        ("Blackjack-v1", None, "not a Box"),
        ("irl_ros_world/Endless-v0", None, "give --horizon"),
        ("Pendulum-v1", 201, "ends after 200 steps"),
        ("no_such_module:Some-v0", None, "no_such_module"),
    ],
)
def test_what_cannot_be_a_world_is_refused_in_one_line(env, horizon, says):
    with pytest.raises(InputError) as caught:
        GymWorld(env, horizon)
    assert says in str(caught.value).lower() or says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_environment_that_stops_by_its_own_clock_is_refused():
    world = GymWorld("irl_ros_world/Cut-v0")
    with pytest.raises(InputError, match="shorter --horizon"):
        world.play(world.random, 4, seed=0)


def test_what_is_not_finite_is_noticed():
    world = GymWorld("Pendulum-v1", horizon=3)
    with pytest.raises(FloatingPointError):
        world.play(lambda now: torch.full((2, 1), torch.nan), 2, seed=0)
