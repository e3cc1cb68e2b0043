"""GAIL: its discriminator where the answer is known, what it pays, what it leaves; and that it learns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.gail import GAIL, GAILSettings
from irl_ros.irl.learn import learn
from irl_ros.irl.run_directory import read_metrics
from irl_ros.irl.transitions import Transitions
from irl_ros.networks import weights_sha256
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rewards.shaping import ReleasePotential
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.policy import Policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.task import Task, Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import build
from irl_ros.sim import Throws, World

SMALL = GAILSettings(ppo=PPOSettings(episodes=32), batch=64, discriminator_steps=3)
GAIN = 5.0
LineTask = Callable[[int], Any]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def game_of(task: Task, demonstrations: Trajectories, policy: Any, reward: RewardNet, **changes: Any) -> GAIL:
    return GAIL(task, demonstrations, policy, reward, dataclasses.replace(SMALL, **changes))


def train_to_the_end(game: GAIL, sample: Transitions) -> None:
    """Discriminator steps, then small ones: what is left of the batches' chance averages out."""
    for factor in (1.0, 0.2, 0.2):
        for group in game.optimizer.param_groups:
            group["lr"] *= factor
        game.train_discriminator(sample)


EXACT: dict[str, Any] = {
    "gradient_penalty": 0.0,
    "weight_decay": 0.0,
    "match_noise": False,
    "learning_rate": 1e-2,
    "batch": 512,
    "discriminator_steps": 80,
}
"""Settings with which D goes to its optimum."""


def steps_of(action: Tensor, place: Tensor | None = None) -> Trajectories:
    """One-step episodes [N] with these actions [N] where g sees `place` [N]."""
    place = torch.zeros_like(action) if place is None else place
    features = place[:, None, None].expand(-1, 2, 1)
    return Trajectories(torch.zeros(len(action), 2, 2), features, action[:, None, None])


# --- what D knows ---


def test_the_best_discriminator_is_one_half_where_policy_and_expert_agree(line_task: LineTask) -> None:
    """At the fixed point nothing tells them apart, and D, which had other ideas, unlearns them."""
    task, expert = line_task(4), GaussianAgent(2, 1)
    demonstrations = task.rollout(expert, 3000).trajectories
    for inputs in ("features", "observation"):
        game = game_of(task, demonstrations, expert, RewardNet(1, 1), inputs=inputs, **EXACT)
        game.discriminator.net[-1].bias.data.fill_(0.3)
        own = Transitions.of(task.rollout(expert, 3000).trajectories)
        assert float(game.logit(own).detach().abs().mean()) > 1
        train_to_the_end(game, own)
        assert float(game.logit(own).detach().abs().mean()) < 0.2, inputs


def test_the_best_discriminator_knows_the_density_ratio(line_task: LineTask) -> None:
    """D* = ρ_E / (ρ_E + ρ_π) (Goodfellow et al. 2014, proposition 1): ℓ* = log ρ_E / ρ_π, no log π in it."""
    place = torch.where(torch.arange(1000) < 800, 0.5, -0.5)
    expert, policy = steps_of(torch.zeros(1000), place), GaussianAgent(2, 1)
    game = game_of(line_task(1), expert, policy, RewardNet(1, 1), **EXACT)
    sampled = torch.where(torch.arange(1000) < 300, 0.5, -0.5)
    train_to_the_end(game, Transitions.of(steps_of(torch.zeros(1000), sampled)))
    with torch.no_grad():
        there, here = game.logit(Transitions.of(steps_of(torch.zeros(2), torch.tensor([0.5, -0.5])))).tolist()
    assert there == pytest.approx(math.log(0.8 / 0.3), abs=0.12)
    assert here == pytest.approx(math.log(0.2 / 0.7), abs=0.12)


@pytest.mark.parametrize("inputs", ["observation", "features"])
def test_it_tells_actions_apart_where_it_sees_them(line_task: LineTask, inputs: str) -> None:
    """Two normal distributions of actions, N(½, ½²) and N(0, ½²): ℓ* = (a − ¼) / ½."""
    expert = steps_of(0.5 + 0.5 * torch.randn(20000))
    reward = RewardNet(1, 1, RewardSettings(inputs="state-action"))
    game = game_of(line_task(1), expert, GaussianAgent(2, 1), reward, inputs=inputs, **EXACT)
    train_to_the_end(game, Transitions.of(steps_of(0.5 * torch.randn(20000))))
    a = torch.tensor([-0.5, -0.25, 0.0, 0.25, 0.5, 0.75])
    with torch.no_grad():
        logit = game.logit(Transitions.of(steps_of(a)))
    torch.testing.assert_close(logit, 2 * (a - 0.25), atol=0.25, rtol=0)


def test_demonstrated_actions_get_the_policys_noise(line_task: LineTask) -> None:
    """The policy's own means as demonstrations: by their want of noise alone D would know them."""
    policy = GaussianAgent(2, 1)
    sample = Transitions.of(steps_of(policy.jitter(torch.zeros(2000, 1))[:, 0].detach().clamp(-1, 1)))
    right = {}
    for match_noise in (True, False):
        how = {**EXACT, "match_noise": match_noise}
        game = game_of(
            line_task(1), steps_of(torch.zeros(2000)), policy, RewardNet(1, 1), inputs="observation", **how
        )
        right[match_noise] = game.train_discriminator(sample)["discriminator_accuracy"]
    assert right[True] < 0.55 and right[False] > 0.75


def test_half_of_the_samples_are_past_ones_where_any_are_kept(line_task: LineTask) -> None:
    task, policy = line_task(4), GaussianAgent(2, 1)
    demonstrations = task.rollout(policy, 4).trajectories
    for replay, kept in ((0, 0), (2, 2), (99, 5)):
        game = game_of(task, demonstrations, policy, RewardNet(1, 1), replay=replay)
        rounds = []
        for _ in range(5):
            game.iterate()
            rounds.append(weights_sha256(policy))
        assert len(game.past) == kept and len(set(rounds)) > 1
        game.past = [dataclasses.replace(x, action=x.action * 0 + 7) for x in game.past]
        today = Transitions.of(demonstrations)
        drawn = Transitions.cat([game.draw_sample(today) for _ in range(20)])
        assert len(drawn) == 20 * SMALL.batch
        assert float((drawn.action == 7).float().mean()) == (0.5 if kept else 0.0)


def test_the_oldest_past_goes_first(line_task: LineTask) -> None:
    task, policy = line_task(4), GaussianAgent(2, 1)
    game = game_of(task, task.rollout(policy, 4).trajectories, policy, RewardNet(1, 1), replay=2)
    game.iterate()
    first = game.past[0]
    game.iterate()
    assert game.past[0] is first
    game.iterate()
    assert all(x is not first for x in game.past)


# --- what the policy is paid ---


@pytest.mark.parametrize("inputs", ["observation", "features"])
def test_the_policy_is_paid_what_the_setting_names(line_task: LineTask, inputs: str) -> None:
    task, policy, reward = line_task(3), GaussianAgent(2, 1), RewardNet(1, 1)
    rollout = task.rollout(policy, 2)
    for how in ("paper", "log_d", "logit"):
        torch.manual_seed(1)
        game = game_of(task, rollout.trajectories, policy, reward, inputs=inputs, policy_reward=how)
        game.discriminator.net[-1].weight.data.normal_()
        paid = game.policy_reward(rollout)
        assert not paid.requires_grad
        logit = game.logit(Transitions.of(rollout.trajectories)).detach().reshape(2, 3)
        for n in range(2):
            for t in range(3):
                D = 1 / (1 + math.exp(-float(logit[n, t])))
                expected = {
                    "paper": -math.log(1 - D), "log_d": math.log(D), "logit": math.log(D) - math.log(1 - D)
                }[how]  # fmt: skip
                assert float(paid[n, t]) == pytest.approx(expected / GAIN, abs=1e-5)


@pytest.mark.parametrize("how", ["paper", "logit"])
def test_release_shaping_is_of_what_the_policy_is_paid(
    world: World, operator_throws: Throws, task_of: Callable[[Policy], ThrowTask], how: str
) -> None:
    policy, reward = Policy(world), Reward(world)
    policy.observation.freeze(operator_throws.states)
    reward.net[-1].weight.data.normal_()
    task = task_of(policy)
    demonstrations = task.trajectories(operator_throws)
    rollout = task.rollout(policy, 3)

    def worth(logit: Tensor) -> Tensor:
        return (logit if how == "logit" else -torch.log(1 - torch.sigmoid(logit))) / GAIN

    paid = game_of(task, demonstrations, policy, reward, policy_reward=how).policy_reward(rollout)
    with torch.no_grad():
        own = worth(GAIN * reward(rollout.states[:, :-1]))
        release = ReleasePotential(world, lambda s: worth(GAIN * reward(s)), 0.99)(rollout.states)
        effort = rollout.trajectories.actions[..., :-1].clamp(-1, 1).square().mean(-1)
    effort = -task.settings.effort * effort * ~rollout.states.held[:, :-1]
    torch.testing.assert_close(paid, own + release + effort, atol=1e-4, rtol=1e-4)
    # a D that sees observations and actions cannot say what a ball at rest is worth
    blind = game_of(task, demonstrations, policy, reward, policy_reward=how, inputs="observation")
    logit = blind.logit(Transitions.of(rollout.trajectories)).detach().reshape(3, -1)
    torch.testing.assert_close(blind.policy_reward(rollout), worth(logit) + effort, atol=1e-4, rtol=1e-4)


# --- the course of the game ---


@pytest.fixture
def goal_seekers(line_task: LineTask) -> tuple[Any, Trajectories]:
    """Six steps, and an expert who walks to x = 1 in about three and stays."""
    task = line_task(6)
    return task, task.episodes(
        torch.zeros(16), lambda seen: 0.6 * (1.0 - seen[:, :1]) + 0.05 * torch.randn(len(seen), 1)
    )


def beginner() -> GaussianAgent:
    policy = GaussianAgent(2, 1)
    policy.log_std.data.fill_(-1.5)
    return policy


@pytest.mark.parametrize(
    ("inputs", "policy_reward"),
    [("features", "paper"), ("features", "log_d"), ("features", "logit"), ("observation", "logit")],
)
def test_it_goes_where_the_expert_goes(
    goal_seekers: tuple[Any, Trajectories], inputs: str, policy_reward: str
) -> None:
    task, demonstrations = goal_seekers
    policy = beginner()
    assert abs(task.practice(policy)["end"]) < 0.2
    game = game_of(
        task, demonstrations, policy, RewardNet(1, 1), inputs=inputs, policy_reward=policy_reward,
        ppo=PPOSettings(episodes=64), batch=128, discriminator_steps=8, learning_rate=3e-3, iterations=30,
    )  # fmt: skip
    while not game.finished:
        game.iterate()
    assert task.practice(policy)["end"] == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("better", [True, False])
def test_the_game_ends_when_the_policy_scores_what_the_demonstrations_score(
    line_task: LineTask, better: bool
) -> None:
    task, policy, reward = line_task(3), GaussianAgent(2, 1), RewardNet(1, 1)
    # of −x the policy, near 0, has more than those at 1, and less than those at −1
    reward.of_features = lambda features, action=None: (  # type: ignore[method-assign]
        -0.1 * features[..., 0] + 0.0 * reward.net[-1].bias
    )
    x = 5.0 if better else -5.0
    demonstrations = task.episodes(torch.full((8,), x), lambda seen: torch.zeros(8, 1))
    game = game_of(task, demonstrations, policy, reward, learning_rate=0.0, least=3, iterations=5)
    while not game.finished:
        figures = game.iterate()
        assert (figures["reward_mean"] >= figures["reward_demonstrations"]) == better
    assert game.matched == better
    assert game.round == (3 if better else 5)


@pytest.mark.parametrize("inputs", ["features", "observation"])
def test_resuming_equals_never_stopping(
    goal_seekers: tuple[Any, Trajectories], tmp_path: Path, inputs: str
) -> None:
    task, demonstrations = goal_seekers

    def start() -> GAIL:
        torch.manual_seed(5)
        return game_of(
            task, demonstrations, beginner(), RewardNet(1, 1), inputs=inputs, replay=2, head_start=1, least=99
        )

    undisturbed = start()
    for _ in range(3):
        undisturbed.iterate()
    save_checkpoint(tmp_path / "checkpoint", {"game": undisturbed.state_dict()})
    random = torch.get_rng_state()
    expected = [undisturbed.iterate() for _ in range(3)]
    resumed = start()
    saved = load_checkpoint(tmp_path / "checkpoint")
    assert saved is not None
    resumed.load_state_dict(saved["game"])
    torch.set_rng_state(random)
    assert [resumed.iterate() for _ in range(3)] == expected
    assert weights_sha256(resumed.discriminator) == weights_sha256(undisturbed.discriminator)


# --- what a run is left with ---

QUICK = (
    "bc.steps=30", "bc.batch=64", "gail.iterations=3", "gail.head_start=1", "gail.discriminator_steps=2",
    "gail.batch=64", "gail.ppo.episodes=8", "polish.iterations=1", "polish.ppo.episodes=8",
)  # fmt: skip


@pytest.mark.parametrize("inputs", ["features", "observation"])
def test_a_run_has_polish_and_a_reward_only_where_d_was_one(bags: Path, tmp_path: Path, inputs: str) -> None:
    run = learn(
        [bags], tmp_path / "run", algo="gail", device="cpu", overrides=[*QUICK, f"gail.inputs={inputs}"]
    )
    played = ["learning"] * (3 if inputs == "features" else 2)
    assert [line["state"] for line in read_metrics(run)] == [*played, "done"]
    assert (run / "policy.yaml").is_file()
    assert (run / "reward.yaml").is_file() == (inputs == "features")


def test_a_discriminator_of_observations_leaves_the_reward_alone(
    goal_seekers: tuple[Any, Trajectories],
) -> None:
    task, demonstrations = goal_seekers
    for inputs in ("observation", "features"):
        reward = RewardNet(1, 1)
        before = weights_sha256(reward)
        game = game_of(task, demonstrations, beginner(), reward, inputs=inputs)
        game.iterate()
        assert (weights_sha256(reward) == before) == (inputs == "observation")
        assert game.learns_reward == (inputs == "features")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"gain": 0}, "gain: must be above 0"),
        ({"batch": 0}, "batch: must be at least 1"),
        ({"replay": -1}, "replay: must be at least 0"),
        ({"inputs": "feature"}, "inputs.*'feature'.*did you mean 'features'"),
        ({"policy_reward": "logits"}, "policy_reward.*'logits'.*did you mean 'logit'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        build(GAILSettings, settings, "--set", "gail.")
