"""Maximum-entropy inverse reinforcement learning (Ziebart et al. 2008; Ziebart 2010) on finite MDPs.

Trajectories are believed to be as likely as exp of their reward, and ψ is chosen so that the demonstrations
are most likely. The gradient needs the expected visits of the believed trajectories, which dynamic
programming gives exactly. In the notation of Levine's "Reinforcement learning and control as probabilistic
inference" (2018), all in logs:

    backward   β_t(s, a) = exp(r_ψ(s, a)) E_{s'}[β_{t+1}(s')],   β_t(s) = Σ_a β_t(s, a)
    forward    α_{t+1}(s') = Σ_{s, a} P(s' | s, a) exp(r_ψ(s, a)) α_t(s),   α_0 = p(s_0)
    marginals  μ_t(s, a) = α_t(s) β_t(s, a) / Z,   Z = Σ_s α_0(s) β_0(s)
    gradient   ∇_ψ L = E_demonstrations[Σ_t ∇_ψ r_ψ] − Σ_t Σ_{s, a} μ_t(s, a) ∇_ψ r_ψ(s, a)

That is the belief of 2008: with dynamics that are not certain it takes lucky transitions for likely ones. The
*causal* belief of 2010 does not hope: the expectation over s' moves out of the exponent, log β_t(s, a) =
Q_t(s, a) = r + γ E_{s'}[V_{t+1}(s')], V_t = log Σ_a exp Q_t, and α_t(s) becomes where π = exp(Q − V) is at t.
With certain dynamics and one start the two are the same. Only the causal one is discounted here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from irl_ros.errors import InputError
from irl_ros.irl.discrete_throw import DiscreteThrow, ThrowGridSettings
from irl_ros.irl.finite_mdp import FiniteMDP
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Agent
from irl_ros.rl.task import Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import at_least

TOLERANCE = 1e-9
"""An endless MDP is swept until what is left of the first sweep is less than this share of it."""


@dataclass(frozen=True)
class Messages:
    """What is believed about trajectories under a reward. One entry a time step; endless: one entry for all.

    Attributes:
        log_policy: log π_t(a | s), each [S, A].
        log_marginals: log γ^t μ_t(s, a), each [S, A]; endless: log of their sum over t.
        log_z: log Z; causal: its lower bound E_{s_0}[V_0(s_0)], the log-partition of each start on average.
    """

    log_policy: list[Tensor]
    log_marginals: list[Tensor]
    log_z: Tensor


def soft_messages(mdp: FiniteMDP, rewards: Sequence[Tensor], causal: bool = True) -> Messages:
    """Backward and forward messages of an MDP for rewards r_t(s, a), each [S, A]; endless: one of them.

    Raises:
        ValueError: a discount was asked of the belief of 2008, which has none.
    """
    if not causal and mdp.discount < 1:
        raise ValueError("causal: the belief of 2008 has no discount; use causal=True or discount=1")
    if mdp.endless:
        return _endless(mdp, rewards[0])
    q, v = backward(mdp, rewards, causal)
    log_policy = [q_t - v_t[:, None] for q_t, v_t in zip(q, v)]
    carried = log_policy if causal else rewards
    alpha = [mdp.initial.log()]
    for step, gain in zip(mdp.steps[:-1], carried):
        alpha.append(step.log_push(alpha[-1][:, None] + gain))
    if causal:
        age = [t * math.log(mdp.discount) for t in range(len(alpha))]
        visits = [k + a[:, None] + p for k, a, p in zip(age, alpha, log_policy)]
        return Messages(log_policy, visits, (mdp.initial * v[0]).sum())
    log_z = torch.logsumexp(alpha[0] + v[0], 0)
    return Messages(log_policy, [a[:, None] + b - log_z for a, b in zip(alpha, q)], log_z)


def backward(
    mdp: FiniteMDP, rewards: Sequence[Tensor], causal: bool = True
) -> tuple[list[Tensor], list[Tensor]]:
    """log β_t(s, a), each [S, A], and log β_t(s), each [S], for t = 0 … T − 1."""
    v = [rewards[-1].new_zeros(mdp.steps[-1].next_size)]
    q: list[Tensor] = []
    for step, r in zip(reversed(mdp.steps), reversed(rewards)):
        after = step.expect(mdp.discount * v[0]) if causal else step.log_expect(v[0])
        q.insert(0, r + after)
        v.insert(0, torch.logsumexp(q[0], -1))
    return q, v[:-1]


def _endless(mdp: FiniteMDP, r: Tensor) -> Messages:
    """The fixed points of both sweeps: soft value iteration, and visits d = p(s_0) + γ P_π^T d."""
    step, sweeps = mdp.steps[0], math.ceil(math.log(TOLERANCE) / math.log(mdp.discount))
    v = r.new_zeros(step.next_size)
    for _ in range(sweeps):
        q = r + step.expect(mdp.discount * v)
        v = torch.logsumexp(q, -1)
    log_policy = q - v[:, None]
    start = log_visits = mdp.initial.log()
    for _ in range(sweeps):
        moved = step.log_push(log_visits[:, None] + log_policy)
        log_visits = torch.logaddexp(start, math.log(mdp.discount) + moved)
    return Messages([log_policy], [log_visits[:, None] + log_policy], (mdp.initial * v).sum())


class Problem(Protocol):
    """An MDP with demonstrations, whose rewards are sums of g over C cells with features φ."""

    mdp: FiniteMDP
    features: Tensor
    """φ of every cell, [C, F]."""
    demonstrated: Tensor
    """How often a demonstration visits a cell on average, [C]."""

    def rewards(self, g: Tensor) -> Sequence[Tensor]:
        """r_t(s, a), each [S, A], from g [C]."""

    def visits(self, marginals: Sequence[Tensor]) -> Tensor:
        """Expected visits of every cell, [C], from μ_t(s, a), each [S, A]: the transpose of `rewards`."""


class LinearReward(nn.Module):
    """r_ψ = ψ · φ, as in the paper."""

    def __init__(self, feature_size: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.zeros(feature_size, dtype=dtype))

    def of_features(self, features: Tensor) -> Tensor:
        """r for features [..., F], [...]."""
        return features @ self.psi


@dataclass(frozen=True)
class Belief:
    """What a reward says about a problem.

    Attributes:
        log_likelihood: of a demonstration, on average (with uncertain dynamics: up to a constant).
        visits: expected visits of every cell, [C].
        marginals: μ_t(s, a), each [S, A].
    """

    log_likelihood: float
    visits: Tensor
    marginals: list[Tensor]


@torch.no_grad()
def believe(problem: Problem, r: Tensor, causal: bool = True) -> Belief:
    """What is believed under rewards r [C] of the cells."""
    messages = soft_messages(problem.mdp, problem.rewards(r), causal)
    marginals = [mu.exp() for mu in messages.log_marginals]
    likelihood = float((problem.demonstrated * r).sum() - messages.log_z)
    return Belief(likelihood, problem.visits(marginals), marginals)


def ascend(
    problem: Problem, reward: Any, gain: float = 1.0, causal: bool = True, against: Tensor | float = 0.0
) -> Belief:
    """Leave −∇_ψ of the demonstrations' log-likelihood in the gradients of `reward`; r_ψ = gain · g_ψ.

    Args:
        problem: MDP and demonstrations.
        reward: an nn.Module with `of_features`: φ [C, F] → g_ψ [C].
        gain: scale of g in r.
        causal: the belief of 2010, else that of 2008.
        against: visits [C] whose r counts against the likelihood.
    """
    r = gain * reward.of_features(problem.features)
    belief = believe(problem, r.detach(), causal)
    # Ziebart 2008, eq. 6, with ∇_ψ r in place of the features
    (-((problem.demonstrated - belief.visits - against) * r).sum()).backward()
    return belief


@dataclass(frozen=True)
class MaxEntSettings:
    iterations: int = 25
    """Most rounds."""
    steps: int = 5
    """Gradient steps on ψ in a round."""
    learning_rate: float = 0.015
    weight_decay: float = 1e-3
    gain: float = 0.1
    """Scale of g in r. g lies in (−1, 1) and a trajectory's r is a sum over its steps, so this bounds what
    anyone may want: small enough, and g has to use all of its range to explain them."""
    pessimism: float = 0.1
    """Weight of −E[Σ r] of someone who wants nothing: what they bring about is worth little, unless the
    demonstrations say otherwise."""
    gradient_penalty: float = 0.02
    """Weight of E|∇_φ g|² between demonstrated and believed features."""
    causal: bool = True
    """The belief of 2010; the throw's dynamics are certain, and each target is a start of its own."""
    grid: ThrowGridSettings = field(default_factory=ThrowGridSettings)

    @property
    def episodes(self) -> int:
        """Episodes in a round: the swings of the grid, rolled once, spread over the rounds."""
        return math.ceil(self.grid.targets * self.grid.swings.count / max(self.iterations, 1))

    def __post_init__(self) -> None:
        at_least(self, 1, "steps")
        at_least(self, 0, "iterations", "learning_rate", "weight_decay", "pessimism", "gradient_penalty")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


class MaxEnt:
    """Gradient ascent on ψ over the finite MDP of a throw. An `Algorithm` that leaves the policy as it is.

    The believed policy is one of the finite MDP; the arm gets one when the reward is optimised afterwards.

    Args:
        task: the throw.
        demonstrations: the expert's episodes.
        policy: returned as it came: the start of what follows.
        reward: g_ψ of a state, learned in place.
        settings: see MaxEntSettings.

    Raises:
        InputError: the task is no throw, or the reward sees actions, which the finite MDP does not have.
    """

    def __init__(
        self,
        task: ThrowTask,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: MaxEntSettings,
    ) -> None:
        if not isinstance(task, ThrowTask):
            raise InputError("--algo maxent", "knows the finite MDP of a throw only", "use airl")
        if reward.sees_action:
            raise InputError("reward.inputs", "maxent learns rewards of states", "set reward.inputs=state")
        self.task, self.policy, self.reward, self.settings = task, policy, reward, settings
        self.problem = DiscreteThrow(task, demonstrations, settings.grid)
        self.optimizer = torch.optim.AdamW(
            reward.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        nothing = torch.zeros(len(self.problem.features), device=task.device)
        self.idle = settings.pessimism * believe(self.problem, nothing, settings.causal).visits
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """Some gradient steps; returns figures for the log."""
        s, problem = self.settings, self.problem
        for _ in range(s.steps):
            self.optimizer.zero_grad()
            belief = ascend(problem, self.reward, s.gain, s.causal, self.idle)
            (s.gradient_penalty * self._steepness(belief.visits)).backward()
            self.optimizer.step()
        self.round += 1
        with torch.no_grad():
            g = self.reward.of_features(problem.features)
        return {
            "log_likelihood": belief.log_likelihood,
            "visits_apart": 0.5
            * float((belief.visits - problem.demonstrated).abs().sum())
            / self.task.horizon,
            "reward_mean": float((belief.visits * g).sum()) / self.task.horizon,
            "reward_demonstrations": float((problem.demonstrated * g).sum()) / self.task.horizon,
            "believed_hit_10cm": problem.hit_rate(belief.marginals),
            **problem.figures,
        }

    def _steepness(self, visits: Tensor) -> Tensor:
        """E |∇_φ g|² on lines between cells that demonstrations and believed trajectories visit."""
        features, count = self.problem.features, 512
        expert, sample = (
            features[torch.multinomial(v, count, replacement=True)]
            for v in (self.problem.demonstrated, visits)
        )
        mix = torch.rand(count, 1, device=features.device)
        between = (mix * expert + (1 - mix) * sample).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.reward.of_features(between).sum(), between, create_graph=True)
        return slope.square().sum(-1).mean()

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "reward": dict(self.reward.state_dict()),
            "policy": dict(self.policy.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "round": self.round,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reward.load_state_dict(state["reward"])
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.round = state["round"]
