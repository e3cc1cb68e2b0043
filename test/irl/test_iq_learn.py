"""IQ-Learn: its operator against soft dynamic programming, its optimum against a convex solver, a point."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.irl.checkpoint import load_checkpoint, save_checkpoint
from irl_ros.irl.iq_learn import IQLearn, IQLearnSettings, Steps
from irl_ros.networks import weights_sha256
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.categorical_agent import CategoricalAgent
from irl_ros.rl.mlp_agent import AgentSettings
from irl_ros.rl.sac import SACSettings
from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.settings import build

# --- a tiny MDP, every path of it ---

T, GAMMA, ALPHA, CHI = 2, 0.9, 0.4, 0.5
NEXT = torch.tensor([[0, 1], [1, 0]])  # s'(s, a)


def see(state: Tensor, t: int) -> Tensor:
    return torch.stack((2.0 * state - 1, torch.full(state.shape, 2.0 * t / T - 1)), -1)


def paths(counts: Tensor) -> Trajectories:
    """Each of the 8 paths as often as counts [8] says."""
    seen, actions = [], []
    for (start, *chosen), count in zip(itertools.product((0, 1), repeat=1 + T), counts.tolist()):
        s = torch.tensor(start)
        path = [see(s, 0)]
        for t, a in enumerate(chosen):
            s = NEXT[s, a]
            path.append(see(s, t + 1))
        seen += [torch.stack(path)] * int(count)
        actions += [torch.eye(2)[chosen]] * int(count)
    observations = torch.stack(seen)
    return Trajectories(observations, observations, torch.stack(actions))


def steps(counts: Tensor) -> Steps:
    return Steps.of(paths(counts), GAMMA)


class TableTask:
    """Plays every path once."""

    device, horizon = torch.device("cpu"), T

    def rollout(self, policy: object, episodes: int) -> Rollout:
        made = paths(torch.ones(8))
        return Rollout(made, torch.zeros(len(made), T))


def learner(**changes: Any) -> IQLearn:
    torch.manual_seed(0)
    keys = {"gamma": GAMMA, "temperature": ALPHA, "temperature_rate": 0.0, "hidden": (32,), **changes}
    agent = CategoricalAgent(2, 2, AgentSettings(hidden=(32,)))
    settings = IQLearnSettings(chi=CHI, sac=SACSettings(**keys))
    reward = RewardNet(2, 2, RewardSettings(hidden=(8,)))
    return IQLearn(TableTask(), paths(torch.ones(8)), agent, reward, settings)  # type: ignore[arg-type]


def table(iq: IQLearn) -> tuple[Tensor, Tensor]:
    """Q(t, s, a) and π(a | t, s), [T, 2, 2] each."""
    q, chance = [], []
    with torch.no_grad():
        for t in range(T):
            seen = see(torch.arange(2), t)
            q.append(torch.stack([iq.q(seen, a.expand(2, 2)) for a in torch.eye(2)], -1))
            chance.append(iq.policy.log_probs(seen).exp())  # type: ignore[attr-defined]
    return torch.stack(q), torch.stack(chance)


def test_the_implied_reward_gives_q_back() -> None:
    """Inverse Bellman: soft evaluation of π on r = T^π Q is Q again (Garg et al. 2021, lemma 3.2)."""
    iq = learner()
    with torch.no_grad():
        iq.policy.net[-1].weight.normal_(0, 2.0)  # type: ignore[attr-defined]
        iq.sac.critic.weights[-1].normal_()
    q, chance = table(iq)
    everything = steps(torch.ones(8))
    with torch.no_grad():
        implied = iq.implied_reward(everything)[0].reshape(8, T)
    reward = torch.zeros(T, 2, 2)
    for n, (start, *chosen) in enumerate(itertools.product((0, 1), repeat=1 + T)):
        s = start
        for t, a in enumerate(chosen):
            reward[t, s, a] = implied[n, t]
            s = int(NEXT[s, a])
    v, found = torch.zeros(2), torch.zeros(T, 2, 2)
    for t in reversed(range(T)):
        found[t] = reward[t] + GAMMA * v[NEXT]
        v = (chance[t] * (found[t] - ALPHA * chance[t].log())).sum(-1)
    torch.testing.assert_close(found, q, atol=1e-4, rtol=1e-4)
    assert float(reward.std()) > 0.1


COUNTS = torch.tensor([1, 6, 2, 1, 0, 3, 5, 2])  # demonstrated paths


def best_q(expert: Tensor, other: Tensor) -> Tensor:
    """The maximum of J(Q) with π the soft optimum of Q, by a convex solver on a table, float64 [T, 2, 2]."""
    q = torch.zeros(T, 2, 2, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([q], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def j() -> Tensor:
        v = [ALPHA * torch.logsumexp(x / ALPHA, -1) for x in q] + [torch.zeros(2, dtype=torch.float64)]
        total = torch.zeros((), dtype=torch.float64)
        for counts, is_expert in ((expert, True), (other, False)):
            share = counts.double() / counts.sum()
            for n, (start, *chosen) in enumerate(itertools.product((0, 1), repeat=1 + T)):
                s = start
                for t, a in enumerate(chosen):
                    s_next = int(NEXT[s, a])
                    r = q[t, s, a] - GAMMA * v[t + 1][s_next]
                    drop = v[t][s] - GAMMA * v[t + 1][s_next]
                    term = -0.5 * drop - 0.5 * r**2 / (4 * CHI) + (r if is_expert else 0.0)
                    total = total + share[n] * GAMMA**t * term
                    s = s_next
        return -total

    def closure() -> Tensor:
        solver.zero_grad()
        loss = j()
        loss.backward()
        return loss

    solver.step(closure)
    return q.detach()


def test_it_finds_the_maximum_of_its_objective() -> None:
    """Q and policy together against the same concave problem solved on a table."""
    iq = learner(learning_rate=1e-2, policy_learning_rate=2e-2)
    expert, other = steps(COUNTS), steps(torch.ones(8))
    for _ in range(600):
        iq.step_q(expert, other)
        iq.sac.improve(torch.cat((expert.observation, other.observation)))
    q, chance = table(iq)
    best = best_q(COUNTS, torch.ones(8)).float()
    torch.testing.assert_close(q, best, atol=0.06, rtol=0)
    torch.testing.assert_close(chance, torch.softmax(best / ALPHA, -1), atol=0.04, rtol=0)


def test_start_values_telescope() -> None:
    """Σ_t γ^t (V(s_t) − γ V(s_{t+1})) = V(s_0) along every path, V(s_T) being 0."""
    iq = learner()
    with torch.no_grad():
        iq.sac.critic.weights[-1].normal_()
        everything = steps(torch.ones(8))
        v_less_next = iq.implied_reward(everything)[1]
        start = iq.value(paths(torch.ones(8)).observations[:, 0])
        summed = (everything.weight * v_less_next).reshape(8, T).sum(1)
    torch.testing.assert_close(summed, start, atol=1e-5, rtol=1e-5)


# --- the exported reward ---


def test_the_fit_of_g_is_reported_as_it_is() -> None:
    """R² near 1 where g sees what Q saw, near 0 where it sees nothing."""
    fits = []
    for blind in (False, True):
        iq = learner()
        with torch.no_grad():
            iq.sac.critic.weights[-1].normal_(0, 2.0)
        everything = steps(torch.ones(8))
        if blind:
            everything = Steps(**{**vars(everything), "features": torch.zeros(16, 2)})
        else:
            # the state and time of a step, and the action: all that its reward depends on
            iq.reward = RewardNet(2, 2, RewardSettings(inputs="state-action", hidden=(32,)))
        iq.demonstrations = everything
        iq.reward_optimizer = torch.optim.Adam(iq.reward.parameters(), lr=1e-2)
        for _ in range(20):
            fit = iq.fit_reward(everything)["reward_fit"]
        fits.append(fit)
    assert fits[0] > 0.9
    assert fits[1] == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize(
    "keys", [{"episodes": 0}, {"chi": 0.0}, {"reward_spread": -1.0}, {"reward_steps": -1}]
)
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(keys))):
        build(IQLearnSettings, keys, "--set")


# --- learning ---


def test_samples_begin_with_little_noise(point_task: Any) -> None:
    """With its own again, where it goes on, however few rounds there are."""
    rollout, noise = point_task.rollout, []
    point_task.rollout = lambda policy, n: noise.append(policy.log_std.tolist()) or rollout(policy, n)
    for most, used in ((0.0, -1.0), (-3.0, -3.0)):
        for rounds in (0, 1):
            iq = small(point_task, log_std=most, iterations=rounds)
            if rounds:
                iq.iterate()
                assert noise.pop() == [used]
            assert iq.finished and iq.policy.log_std.tolist() == [-1.0]


def test_the_policy_that_came_goes_on_unless_asked_otherwise(point_task: Any) -> None:
    came = weights_sha256(small(point_task, log_std=0.0).policy)
    for keeps in (False, True):
        iq = small(point_task, keeps_policy=keeps, log_std=0.0)
        while not iq.finished:
            assert iq.round < 3 or weights_sha256(iq.policy) != came
            iq.iterate()
        assert (weights_sha256(iq.policy) == came) is not keeps


def test_it_goes_where_the_demonstrations_go(point_task: Any) -> None:
    torch.manual_seed(1)
    sac = SACSettings(
        steps=40,
        batch=128,
        hidden=(64,),
        learning_rate=2e-3,
        policy_learning_rate=2e-3,
        temperature=0.02,
        temperature_rate=0.0,
    )
    settings = IQLearnSettings(
        iterations=16, episodes=8, head_start=2, log_std=0.0, keeps_policy=True, reward_steps=1, sac=sac
    )
    agent, reward = point_task.agent(), RewardNet(1, 1, RewardSettings(hidden=(16,)))
    untrained = point_task.miss(agent)
    iq = IQLearn(point_task, point_task.demonstrations(), agent, reward, settings)
    while not iq.finished:
        iq.iterate()
    assert point_task.miss(agent) < 0.2 < 0.4 < untrained


# --- resume ---


def small(point_task: Any, iterations: int = 9, **keys: Any) -> IQLearn:
    torch.manual_seed(0)
    settings = IQLearnSettings(
        iterations=iterations,
        episodes=4,
        head_start=2,
        reward_steps=2,
        **keys,
        sac=SACSettings(steps=3, batch=32, hidden=(16,)),
    )
    reward = RewardNet(1, 1, RewardSettings(hidden=(8,)))
    return IQLearn(point_task, point_task.demonstrations(), point_task.agent(), reward, settings)


def test_resuming_equals_never_stopping(point_task: Any, tmp_path: Path) -> None:
    whole = small(point_task)
    for _ in range(4):
        whole.iterate()
    save_checkpoint(tmp_path / "checkpoint", whole.state_dict())
    random = torch.get_rng_state()
    expected = [whole.iterate() for _ in range(3)]
    resumed = small(point_task)
    resumed.load_state_dict(load_checkpoint(tmp_path / "checkpoint"))
    torch.set_rng_state(random)
    assert [resumed.iterate() for _ in range(3)] == expected
    for mine, other in ((resumed.policy, whole.policy), (resumed.reward, whole.reward)):
        assert weights_sha256(mine) == weights_sha256(other)
