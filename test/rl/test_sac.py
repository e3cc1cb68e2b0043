"""SAC against exact soft dynamic programming, a bandit in closed form, and itself resumed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.rl.categorical_agent import CategoricalAgent
from irl_ros.rl.gaussian_agent import GaussianAgent
from irl_ros.rl.mlp_agent import AgentSettings
from irl_ros.rl.policy import Policy
from irl_ros.rl.replay import Replay
from irl_ros.rl.sac import SAC, Critic, SACSettings
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import build
from irl_ros.sim import State

# --- a tiny MDP, every trajectory of it ---

T, GAMMA, ALPHA = 3, 0.9, 0.3
REWARD = torch.tensor([[0.0, 1.0], [0.5, -1.0]])  # r(s, a)
NEXT = torch.tensor([[0, 1], [0, 1]])  # s'(s, a)


def see(state: Tensor, t: int) -> Tensor:
    return torch.stack((2.0 * state - 1, torch.full(state.shape, 2 * t / T - 1)), -1)


@pytest.fixture
def everything() -> tuple[Rollout, Tensor]:
    """Every trajectory of the MDP and its rewards, [16, T]."""
    seen, actions, rewards = [], [], []
    for start, *choices in itertools.product((0, 1), repeat=1 + T):
        s = torch.tensor(start)
        path, paid = [see(s, 0)], []
        for t, a in enumerate(choices):
            paid.append(REWARD[s, a])
            s = NEXT[s, a]
            path.append(see(s, t + 1))
        seen.append(torch.stack(path))
        actions.append(torch.eye(2)[list(choices)])
        rewards.append(torch.stack(paid))
    observations = torch.stack(seen)
    made = Trajectories(observations, observations, torch.stack(actions))
    return Rollout(made, torch.zeros(16, T)), torch.stack(rewards)


def soft_values(chances: Tensor | None, alpha: float) -> Tensor:
    """Q(t, s, a), [T, 2, 2], by backward recursion: of a policy π(a | t, s), or of the soft optimum."""
    q, v = torch.zeros(T, 2, 2), torch.zeros(2)
    for t in reversed(range(T)):
        q[t] = REWARD + GAMMA * v[NEXT]
        if chances is None:
            v = alpha * torch.logsumexp(q[t] / alpha, -1)
        else:
            v = (chances[t] * (q[t] - alpha * chances[t].log())).sum(-1)
    return q


def all_states(f: object) -> Tensor:
    return torch.stack([f(see(torch.arange(2), t)) for t in range(T)])  # type: ignore[operator]


def learned_q(sac: SAC) -> Tensor:
    """Q_1 in the reward's own units, [T, 2, 2]."""
    with torch.no_grad():
        return sac.return_scale * all_states(
            lambda o: torch.stack([sac.critic(o, a.expand(2, 2))[0] for a in torch.eye(2)], -1)
        )


TABULAR = SACSettings(
    steps=1200, batch=48, gamma=GAMMA, hidden=(32,), tau=0.03, learning_rate=5e-3, temperature_rate=0.0
)


def test_the_critic_learns_what_a_policy_is_worth(everything: tuple[Rollout, Tensor]) -> None:
    """Soft policy evaluation (Haarnoja et al. 2018, lemma 1), to the last step and no further."""
    agent = CategoricalAgent(2, 2, AgentSettings(hidden=(16,)))
    with torch.no_grad():
        agent.net[-1].weight.normal_(0.0, 2.0)
    sac = SAC(agent, 2, 2, TABULAR)
    sac._rescale(everything[1])
    sac.log_alpha.data.fill_(math.log(ALPHA / float(sac.return_scale)))
    before = {k: v.clone() for k, v in agent.state_dict().items()}
    sac.update(*everything, improve=False)
    with torch.no_grad():
        chances = all_states(lambda o: agent.log_probs(o).exp())
    torch.testing.assert_close(learned_q(sac), soft_values(chances, ALPHA), atol=0.03, rtol=0)
    assert all(torch.equal(before[k], v) for k, v in agent.state_dict().items())


def test_it_finds_the_soft_optimum(everything: tuple[Rollout, Tensor]) -> None:
    """π* ∝ exp(Q* / α) and Q* of the soft Bellman equation (eqs. 2 to 4)."""
    agent = CategoricalAgent(2, 2, AgentSettings(hidden=(16,)))
    settings = {**vars(TABULAR), "policy_learning_rate": 5e-3, "steps": 1500}
    sac = SAC(agent, 2, 2, SACSettings(**settings))
    sac._rescale(everything[1])
    sac.log_alpha.data.fill_(math.log(ALPHA / float(sac.return_scale)))
    sac.update(*everything)
    best = soft_values(None, ALPHA)
    torch.testing.assert_close(learned_q(sac), best, atol=0.05, rtol=0)
    with torch.no_grad():
        chances = all_states(lambda o: agent.log_probs(o).exp())
    torch.testing.assert_close(chances, torch.softmax(best / ALPHA, -1), atol=0.04, rtol=0)


def test_a_state_is_worth_what_the_lower_twin_says() -> None:
    agent = CategoricalAgent(2, 2, AgentSettings(hidden=(4,)))
    sac = SAC(agent, 2, 2, TABULAR)
    for parameter in sac.critic.parameters():
        parameter.data.zero_()
    sac.critic.biases[-1].data[0] = 2.0  # Q_1 is 2 everywhere, Q_2 is −1
    sac.critic.biases[-1].data[1] = -1.0
    seen = see(torch.arange(2), 0)
    with torch.no_grad():
        value = sac.soft_value(sac.critic, seen)
        entropy = agent.expectation(seen, lambda a: a[..., 0])[1]
    torch.testing.assert_close(value, -1.0 + sac.alpha * entropy)


def test_settling_shrinks_the_temperature_and_the_policys_steps() -> None:
    sac = SAC(CategoricalAgent(2, 2, AgentSettings(hidden=(4,))), 2, 2, TABULAR)
    alpha = float(sac.alpha)
    sac.settle(0.25)
    assert float(sac.alpha) == pytest.approx(0.25 * alpha)
    assert sac.policy_optimizer.param_groups[0]["lr"] == 0.25 * TABULAR.policy_learning_rate


# --- one decision, continuous ---


def bandit(reward_of: object, count: int = 400) -> tuple[Rollout, Tensor]:
    """One-step episodes of actions all over the box and beyond."""
    actions = 3 * torch.rand(count, 1, 1) - 1.5
    seen = torch.zeros(count, 2, 1)
    made = Trajectories(seen, seen, actions)
    return Rollout(made, torch.zeros(count, 1)), reward_of(actions.clamp(-1, 1)[..., 0])  # type: ignore[operator]


def bandit_sac(agent: GaussianAgent, **keys: object) -> SAC:
    settings = {"batch": 128, "hidden": (32, 32), "learning_rate": 3e-3, "policy_learning_rate": 5e-3, **keys}
    return SAC(agent, 1, 1, SACSettings(**settings))  # type: ignore[arg-type]


def test_a_bandit_in_closed_form() -> None:
    """r = −(a − 0.3)²/2: π* ∝ exp(r / α) = N(0.3, α), V* = α log ∫ exp(r / α) da = ½ α log 2πα."""
    rollout, rewards = bandit(lambda a: -0.5 * (a - 0.3) ** 2)
    agent = GaussianAgent(1, 1, AgentSettings(hidden=(8,), log_std=-1.0, log_std_bounds=(-4.0, 0.0)))
    sac = bandit_sac(agent, steps=1200, temperature_rate=0.0, outside=0.0)
    sac._rescale(rewards)
    alpha = 0.04  # σ* = 0.2: the tails beyond the box are thin
    sac.log_alpha.data.fill_(math.log(alpha / float(sac.return_scale)))
    sac.update(rollout, rewards)
    with torch.no_grad():
        mean, std = float(agent.mode(torch.zeros(1))), float(agent.bounded_log_std.exp())
        value = sac.return_scale * sac.soft_value(sac.critic, torch.zeros(4000, 1)).mean()
    assert mean == pytest.approx(0.3, abs=0.03)
    assert std == pytest.approx(math.sqrt(alpha), rel=0.1)
    assert float(value) == pytest.approx(0.5 * alpha * math.log(2 * math.pi * alpha), abs=0.01)


def test_temperature_brings_the_wanted_entropy() -> None:
    rollout, rewards = bandit(lambda a: -0.5 * (a - 0.3) ** 2)
    agent = GaussianAgent(1, 1, AgentSettings(hidden=(8,), log_std=-1.5, log_std_bounds=(-5.0, 0.0)))
    sac = bandit_sac(
        agent, steps=700, target_entropy=-0.9, temperature=0.1, temperature_rate=0.01, outside=0.0
    )
    figures = sac.update(rollout, rewards)
    entropy = float(agent.bounded_log_std.detach()) + 0.5 * math.log(2 * math.pi * math.e)
    assert entropy == pytest.approx(-0.9, abs=0.15)
    # the temperature at which exp(r / α) has that entropy: σ² = α
    wanted = math.exp(2 * (-0.9 - 0.5 * math.log(2 * math.pi * math.e)))
    assert figures["alpha"] * float(sac.return_scale) == pytest.approx(wanted, rel=0.4)


@pytest.mark.parametrize("start", [-3.0, 3.0])
def test_means_come_back_into_the_box(start: float) -> None:
    """Beyond the box Q says nothing; what brings a mean back is the price on what lies outside."""
    rollout, rewards = bandit(lambda a: a)
    agent = GaussianAgent(1, 1, AgentSettings(hidden=(8,), log_std=-2.0))
    with torch.no_grad():
        agent.net[-1].bias.fill_(start)
    sac = bandit_sac(agent, steps=900, temperature_rate=0.0)
    sac.update(rollout, rewards)
    assert 0.8 < float(agent.mode(torch.zeros(1)).detach()) < 1.3


def test_a_choice_wants_a_share_of_its_entropy_where_it_counts() -> None:
    """Nats an action dimension would ask two choices for −1: α would fall whatever the policy does."""
    seen = torch.randn(64, 2)
    seen[:, 0] = torch.arange(64) % 2  # every other state is idle
    for sure in (False, True):
        agent = CategoricalAgent(2, 2, AgentSettings(hidden=(8,)), idle=0)
        sac = SAC(agent, 2, 2, SACSettings(target_share=0.4))
        assert sac.target_entropy == pytest.approx(0.4 * math.log(2))
        with torch.no_grad():
            agent.net[-1].bias[0] = 5.0 if sure else 0.0
        before = float(sac.alpha)
        entropy = sac.improve(seen)["entropy"]
        assert entropy == pytest.approx(0.04 if sure else math.log(2), abs=0.02)
        assert (float(sac.alpha) > before) == sure


# --- the parts ---


def test_q_is_of_the_action_as_the_world_clips_it() -> None:
    critic = Critic(3, 2, (16, 16))
    seen, action = torch.randn(5, 3), 3 * torch.randn(5, 2)
    torch.testing.assert_close(critic(seen, action), critic(seen, action.clamp(-1, 1)))
    assert critic(seen, torch.randn(2, 5, 2)).shape == (2, 2, 5)


def test_the_twins_are_two_networks_of_their_own() -> None:
    critic = Critic(3, 2, (16, 16))
    seen, action = torch.randn(5, 3), torch.rand(5, 2)
    one, two = critic(seen, action)
    assert not torch.allclose(one, two)
    x = torch.cat((seen, action), -1)
    for i, (weight, bias) in enumerate(zip(critic.weights, critic.biases)):
        x = x @ weight[1] + bias[1]
        x = x.clamp_min(0) if i < 2 else x
    torch.testing.assert_close(two, x[:, 0])


def test_rewards_of_any_size_teach_alike(everything: tuple[Rollout, Tensor]) -> None:
    rollout, rewards = everything
    results = []
    for size in (1.0, 1000.0):
        torch.manual_seed(4)
        sac = SAC(CategoricalAgent(2, 2), 2, 2, SACSettings(steps=5))
        sac.update(rollout, size * rewards)
        results.append(torch.cat([p.detach().flatten() for p in sac.policy.parameters()]))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_going_on_from_a_saved_state_is_going_on(everything: tuple[Rollout, Tensor], tmp_path: Path) -> None:
    def made() -> SAC:
        return SAC(GaussianAgent(2, 2), 2, 2, SACSettings(steps=7))

    sac = made()
    sac.settle(0.5)
    sac.update(*everything)
    save_checkpoint(tmp_path / "state", {"sac": sac.state_dict(), "random": torch.get_rng_state()})
    sac.update(*everything)
    other, saved = made(), load_checkpoint(tmp_path / "state")
    assert saved is not None
    other.load_state_dict(saved["sac"])
    torch.set_rng_state(saved["random"])
    other.update(*everything)
    for a, b in ((sac.policy, other.policy), (sac.critic, other.critic), (sac.target, other.target)):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    assert sac.alpha == other.alpha != 0.01 and sac.return_scale == other.return_scale


@pytest.mark.parametrize(
    "keys",
    [{"steps": 0}, {"batch": 0}, {"gamma": 1.1}, {"tau": -0.1}, {"temperature": 0.0}, {"outside": -1.0}],
)
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(keys))):
        build(SACSettings, keys, "--set")


# --- replay ---


def test_replay_keeps_every_episode_in_order(task: ThrowTask, policy: Policy) -> None:
    parts = [task.rollout(policy, n) for n in (3, 2, 4)]
    replay = Replay(parts[:1]).with_more(parts[1:])
    assert len(replay) == 9
    assert torch.equal(replay.rollout.trajectories.actions[3:5], parts[1].trajectories.actions)
    assert torch.equal(replay.rollout.states.ball_position[5:], parts[2].states.ball_position)
    assert torch.equal(replay.rollout.log_prob[:3], parts[0].log_prob)


def test_replay_comes_back_from_a_file(task: ThrowTask, policy: Policy, tmp_path: Path) -> None:
    replay = Replay([task.rollout(policy, 3)])
    save_checkpoint(tmp_path / "state", replay.state_dict())
    back = Replay.load(load_checkpoint(tmp_path / "state"), task.rollout(policy, 1))  # type: ignore[arg-type]
    assert isinstance(back.rollout.states, State)
    for name, value in vars(replay.rollout.states).items():
        assert torch.equal(getattr(back.rollout.states, name), value)
    assert torch.equal(back.rollout.trajectories.features, replay.rollout.trajectories.features)
    shaping = [task.shaping(r.rollout, lambda s: s.q.sum(-1), 0.9) for r in (replay, back)]
    assert torch.equal(*shaping)
