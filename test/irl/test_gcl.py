"""Guided cost learning as a whole: on a point that walks to a goal, and on the throw."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.fusion import log_density
from irl_ros.irl.gcl import GCL, GCLSettings
from irl_ros.irl.guided_cost import CostSettings
from irl_ros.networks import weights_sha256
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.controller import Controller
from irl_ros.rl.controller_step import ControllerSettings, fit_dynamics
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import build
from irl_ros.sim import Throws, World

TINY = GCLSettings(
    iterations=4,
    trajectories=12,
    cost=CostSettings(head_start=6, steps=4, batch=32),
    distil=BCSettings(steps=20, batch=32),
    distil_episodes=8,
    ppo=PPOSettings(entropy=0.0, minibatches=2, epochs=1),
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def point_game(point_task: Any) -> Callable[..., GCL]:
    """A point that people walk to 0.6; nothing is said about the goal but by where they go."""

    def make(**changes: Any) -> GCL:
        settings = GCLSettings(
            iterations=8, trajectories=64, cost=CostSettings(gain=3.0, head_start=150, gradient_penalty=1.0)
        )
        reward = RewardNet(1, 1, RewardSettings(hidden=(16,)))
        settings = dataclasses.replace(settings, **changes)
        return GCL(point_task, point_task.demonstrations(), point_task.agent(), reward, settings)

    return make


def g(game: GCL, *x: float) -> list[float]:
    with torch.no_grad():
        return game.cost.reward.of_features(torch.tensor(x)[:, None]).tolist()


@pytest.fixture
def throw_game(
    operator_throws: Throws, world: World, task_of: Callable[[Policy], ThrowTask]
) -> Callable[..., GCL]:
    def make(**changes: Any) -> GCL:
        torch.manual_seed(3)
        policy = Policy(world)
        policy.observation.freeze(operator_throws.states)
        task = task_of(policy)
        settings = dataclasses.replace(TINY, **changes)
        return GCL(task, task.trajectories(operator_throws), policy, Reward(world), settings)

    return make


# --- it learns ---


def test_it_finds_what_people_want_and_how_to_get_it(point_game: Callable[..., GCL], point_task: Any) -> None:
    """With the cost's gradient the wrong way round g would be least where people go."""
    game = point_game()
    figures: dict[str, float] = {}
    while not game.finished:
        figures = game.iterate()
    left, goal, right = g(game, -0.5, 0.6, 1.7)
    assert goal > left + 0.3 and goal > right + 0.1
    controller = game._places(0)[game.searches[0].best].controller
    assert point_task.miss(controller) < 0.1
    # and what a robot can run has learned it from the controller
    assert game.policy is game.student
    assert point_task.miss(game.student) < 0.15
    assert figures["distilled_miss"] == pytest.approx(point_task.miss(game.student))
    assert 1 <= figures["effective_newest"] <= 64


def test_a_network_may_take_the_policy_step(point_game: Callable[..., GCL], point_task: Any) -> None:
    ppo = PPOSettings(entropy=0.0, minibatches=4)
    game = point_game(policy_step="neural", iterations=10, ppo=ppo)
    clone(game.student, game.demonstrations, BCSettings(steps=200))  # as learn does for every algorithm
    while not game.finished:
        game.iterate()
    left, goal, right = g(game, -0.5, 0.6, 1.7)
    assert goal > left + 0.3 and goal > right
    assert point_task.miss(game.student) < 0.2


def test_a_network_begins_no_noisier_than_p0(throw_game: Callable[..., GCL]) -> None:
    """With more, holding a ball would cost tens of nats a step, and the first policy steps would drop it."""
    game = throw_game(policy_step="neural")
    least = math.exp(game.student.settings.log_std_bounds[0])  # type: ignore[attr-defined]
    most = game.view.passive.covariance.diagonal().sqrt().clamp_min(least)
    assert bool((game.student.log_std.exp() > 2 * most).all())  # type: ignore[attr-defined]
    game.iterate()
    assert bool((game.student.log_std.exp() < 1.1 * most).all())  # type: ignore[attr-defined]


def test_on_the_throw_people_fare_better_than_the_careless(throw_game: Callable[..., GCL]) -> None:
    game = throw_game(trajectories=24, cost=CostSettings(head_start=60))
    game.iterate()
    value = -game.cost.totals()
    shown, careless, passive = (value[game.fusion.rows(k)].mean() for k in range(3))
    assert float(shown) > float(careless) + 10 and float(careless) > float(passive)


def test_the_first_controller_throws_as_shown_and_the_second_never(throw_game: Callable[..., GCL]) -> None:
    game = throw_game(trajectories=40)
    game.iterate()
    thrower, keeper = (game.fusion.samplers[k].trajectories for k in (3, 4))
    assert float(game.view.held(thrower.observations[:, -1]).float().mean()) < 0.1
    assert bool(game.view.held(keeper.observations[:, -1]).all())
    assert float(game.fusion.samplers[4].policy.release[-1]) == 1.0  # type: ignore[attr-defined]
    first = game.fusion.samplers[3].policy
    assert game.task.practice(first)["hit_10cm"] > 0.9  # its mean; the person's own rate is 65 %


# --- the pieces ---


def test_dynamics_are_those_of_a_ball_that_stays_in_hand(throw_game: Callable[..., GCL]) -> None:
    """In the step that lets go the miss stands still already: counted in, aim seems to drift half as much."""
    game = throw_game(careless=False)
    view, thrower = game.view, game.searches[0].controller
    seen, other = (game.task.rollout(thrower, n).trajectories for n in (128, 600))
    dynamics = fit_dynamics(view, seen, ControllerSettings())[0]
    x = view.x(other.observations)
    z = torch.cat((x[:, :-1], view.u(other.actions)), -1)
    wrong = (dynamics.mean(z) - x[:, 1:])[..., list(view.cost)]
    still = view.held(other.observations[:, 1:])
    late = torch.arange(view.horizon) >= int(thrower.release[:-1].argmax())
    assert float(wrong[still & late].square().mean().sqrt()) < 0.065


def test_all_samples_are_kept_and_demonstrations_begin(throw_game: Callable[..., GCL]) -> None:
    game = throw_game()
    for _ in range(2):
        game.iterate()
    assert game.fusion.counts == [20, 12, 12, 12, 12, 12, 12]
    assert game.owners == [-1, -1, -1, 0, 1, 0, 1]
    assert torch.equal(game.fusion.features[:20], game.demonstrations.features)
    assert game.cost.shown.features.data_ptr() != 0 and len(game.fusion.of_each) == 7


def test_what_is_done_after_the_release_weighs_nothing(throw_game: Callable[..., GCL]) -> None:
    game = throw_game()
    sampler = game.fusion.samplers[1]
    trajectories = sampler.trajectories
    gone = ~game.view.held(trajectories.observations[:, :-1])
    other = torch.where(gone[..., None], torch.randn_like(trajectories.actions), trajectories.actions)
    changed = dataclasses.replace(trajectories, actions=other)
    before = log_density(sampler.policy, trajectories, game.view)
    torch.testing.assert_close(log_density(sampler.policy, changed, game.view), before)


def test_ppo_is_paid_the_cost_the_effort_and_the_entropy(throw_game: Callable[..., GCL]) -> None:
    """Σ_t over a throw is (−c_ψ(τ) − log π) / gain; what the task adds comes on top."""
    game = throw_game(policy_step="neural")
    rollout = game.task.rollout(game.student, 16)
    paid = game.policy_reward(rollout) - game.task.shaping(rollout, game.cost.reward, 0.99)
    trajectories = rollout.trajectories
    cost = game.cost.of(trajectories.features).detach().double().sum(1)
    surprise = log_density(game.fusion.passive, trajectories, game.view)
    own = log_density(game.student, trajectories, game.view)
    expected = (-cost + surprise - own) / game.settings.cost.gain
    torch.testing.assert_close(paid.double().sum(1), expected, atol=1e-3, rtol=1e-5)


def test_a_reward_of_actions_is_refused(throw_game: Callable[..., GCL], world: World) -> None:
    game = throw_game()
    reward = Reward(world, RewardSettings(inputs="state-action"))
    with pytest.raises(InputError, match=r"reward\.inputs: gcl learns a cost of states"):
        GCL(game.task, game.demonstrations, game.student, reward, TINY)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("policy_step", "neurla"),
        ("ease", 0),
        ("trajectories", 1),
        ("cost", {"gain": 0}),
        ("cost", {"least_effective": 1.5}),
        ("search", {"controller": {"release_floor": 2}}),
    ],
)
def test_impossible_settings_are_refused(key: str, value: object) -> None:
    with pytest.raises(InputError, match=key):
        build(GCLSettings, {key: value}, "--set", "gcl.")


# --- checkpoints ---


@pytest.mark.parametrize("how", ["controller", "neural"])
def test_resuming_equals_never_stopping(
    throw_game: Callable[..., GCL], point_game: Callable[..., GCL], how: str, tmp_path: Path
) -> None:
    """Controllers with their release, on the throw; a network, on the point."""

    def start() -> GCL:
        if how == "controller":
            return throw_game(iterations=2)
        torch.manual_seed(3)
        return point_game(**{**vars(TINY), "iterations": 2, "policy_step": how})

    whole = start()
    kept = None
    while not whole.finished:
        if whole.round == 1:
            save_checkpoint(tmp_path / "checkpoint", whole.state_dict())
            kept = torch.get_rng_state()
        figures = whole.iterate()
    again = start()
    state = load_checkpoint(tmp_path / "checkpoint")
    assert state is not None and kept is not None
    again.load_state_dict(state)
    torch.set_rng_state(kept)
    while not again.finished:
        resumed = again.iterate()
    assert resumed == figures
    assert weights_sha256(again.cost.reward) == weights_sha256(whole.cost.reward)
    assert weights_sha256(again.student) == weights_sha256(whole.student)  # type: ignore[arg-type]
    for mine, other in zip(again.searches, whole.searches):
        assert weights_sha256(mine.controller) == weights_sha256(other.controller)
    assert isinstance(again.fusion.samplers[0].policy, Controller)
