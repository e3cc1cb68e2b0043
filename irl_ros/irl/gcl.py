"""Guided cost learning (Finn, Levine & Abbeel 2016, "Deep inverse optimal control via policy optimization").

Read beside the paper: ψ (there θ) are the parameters of the cost c_ψ, τ a trajectory, q_k the samplers.
Algorithm 1's lines are marked in `GCL.iterate`, Algorithm 2's in `GCL.learn_cost`.

    c_ψ(τ) = Σ_t −gain g_ψ(s_t) − log p₀(a_t | s_t)
    L(ψ)   = mean over demonstrations of c_ψ(τ) + log mean over background of exp(−c_ψ(τ)) / q(τ)      (§4.1)

g_ψ is the reward that is exported. −log p₀ is the paper's torque penalty w_u/2 ‖u‖² (§5): p₀ is how actions
are spread when nobody wants anything. Without it exp(−c) of a cost of states alone would have no finite
integral over actions, and no Z. q is the fusion of all samplers (§4.3), demonstrations with a density fitted
to them included; all samples are kept; demonstrations are in the background, without which L is unbounded
below.

What is ours: the release time is a part of the controller and of q (rl/controller.py); what is done after it
is left out of weights (irl/fusion.py); the cost is expanded by regression (rl/controller_step.py); a step
that did harm is taken back; the fusion begins with samplers that want nothing, so that g knows where nobody
throws.

`policy_step: neural` keeps all this and has PPO on a network take the policy step.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from irl_ros.errors import InputError, unknown_name
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.fusion import Fusion, effective_sample_size
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.samplers import Sampler
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Actor, Agent
from irl_ros.rl.control_view import control_view
from irl_ros.rl.controller import Controller
from irl_ros.rl.controller_search import ControllerSearch, Place, SearchSettings
from irl_ros.rl.controller_step import fit_controller
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least

POLICY_STEPS = ("controller", "neural")


@dataclass(frozen=True)
class GCLSettings:
    iterations: int = 25
    """Rounds of Algorithm 1."""
    episodes: int = 128
    """Trajectories sampled in a round."""
    policy_step: str = "controller"
    """controller: linear-Gaussian, as in the paper; neural: PPO on a network."""
    cost_steps: int = 50
    """Gradient steps on ψ in a round (K of Algorithm 2)."""
    head_start: int = 300
    """Steps on ψ in the first round."""
    trust: float = 20.0
    """Nats that costs of trajectories may come apart in a round: the sampler has to keep up."""
    batch: int = 512
    """Sampled trajectories in a background batch."""
    context: float = 0.4
    """How alike starts (targets) must be to share a Z, standard deviations."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gain: float = 2.0
    """Nats a step that g is worth: costs are log-probabilities, g lies in (−1, 1)."""
    lcr: float = 0.1
    """Weight of g_lcr: costs change at a locally constant rate along trajectories (§5)."""
    mono: float = 1.0
    """Weight of g_mono: costs fall along demonstrations (§5)."""
    least_effective: float = 0.1
    """Share of samples that weights must leave effective, or they are tempered until they do. 0: never
    tempered, as published."""
    gradient_penalty: float = 5.0
    """Weight of E|∇_φ g|² between demonstrated and sampled features; not in the paper."""
    demonstrations_in_background: bool = True
    """Off, L is unbounded below; there to show it."""
    background: bool = True
    """Begin the fusion with samplers that want nothing, and that let go at any time."""
    ease: float = 2.0
    """Standard deviation of p₀ as a multiple of the demonstrations' own changes of motion: less of it, and
    effort weighs more against g. 1 is what demonstrations are likeliest under when nobody wants anything."""
    initial_noise: float = 0.5
    """Noise of the first sampler on top of the demonstrations' own, standard deviations of p₀."""
    holding: bool = True
    """Search with a second controller that never lets go: another mode of exp(−c), which the first
    would never find, and an optimiser of g would."""
    search: SearchSettings = field(default_factory=SearchSettings)
    ppo: PPOSettings = field(default_factory=lambda: PPOSettings(entropy=0.0))
    distil: BCSettings = field(default_factory=BCSettings)
    distil_episodes: int = 512
    """Trajectories of the controller that the network is cloned from at the end."""

    def __post_init__(self) -> None:
        if self.policy_step not in POLICY_STEPS:
            raise ValueError("; ".join(unknown_name("policy_step", self.policy_step, POLICY_STEPS)))
        at_least(self, 1, "episodes", "cost_steps", "batch", "distil_episodes")
        at_least(self, 0, "iterations", "learning_rate", "lcr", "mono")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


class GCL:
    """Learns a cost and samplers of its distribution exp(−c).

    Args:
        task: what is sampled in.
        demonstrations: the expert's episodes.
        policy: π_θ: with the neural policy step the sampler, warm-started; else it is cloned from the
            controller when all rounds are done.
        reward: g_ψ, learned in place.
        settings: see GCLSettings.

    Raises:
        InputError: the reward sees actions.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: GCLSettings,
    ) -> None:
        if reward.sees_action:
            raise InputError("reward.inputs", "gcl learns a cost of states", "set it to state")
        self.task, self.student, self.reward, self.settings = task, policy, reward, settings
        self.demonstrations, self.shown = demonstrations, Transitions.of(demonstrations)
        view = control_view(task, demonstrations)
        wider = replace(view.passive, covariance=settings.ease**2 * view.passive.covariance)
        self.view = replace(view, passive=wider)
        self.optimizer = torch.optim.AdamW(
            reward.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        fitted = fit_controller(self.view, demonstrations, settings.search)  # Algorithm 1, line 1
        # people are steadier than the model's samplers; a sampler as steady would never see what noise costs
        noisy = fitted.motion.covariance + settings.initial_noise**2 * self.view.passive.covariance
        begin = Controller(self.view, replace(fitted.motion, covariance=noisy), fitted.release)
        self.search = ControllerSearch(begin, settings.search)
        self.searches = [] if settings.policy_step == "neural" else [self.search]
        if settings.holding and self.view.release:
            never = (torch.arange(task.horizon + 1, device=task.device) == task.horizon).double()
            keeper = Controller(self.view, begin.motion, never)
            self.searches.append(ControllerSearch(keeper, settings.search))
        self.owners: list[int] = []  # which search a sampler is of; −1: none
        self.ppo = PPO(policy, settings.ppo)
        self.neural = settings.policy_step == "neural"
        self.fusion = Fusion(self.view)
        self._add(Sampler(fitted, demonstrations))
        if settings.background:
            # the demonstrated swing let go at any time; nothing wanted at all
            careless = Controller(self.view, begin.motion, self.fusion.passive.release)
            for aimless in (careless, self.fusion.passive):
                self._sample(aimless)
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    @property
    def policy(self) -> Actor:
        """Who acts: the controller, and when all is done the network."""
        return self.student if self.neural or self.finished else self.search.controller

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        # lines 3 and 4: sample from q_k, append to all samples
        found = [self._sample(search.controller, i) for i, search in enumerate(self.searches)]
        rollout = self._sample(self.student) if self.neural else found[0]
        figures = self.learn_cost()  # line 5
        if self.neural:  # line 6: q_{k+1}
            figures |= self.ppo.update(rollout, self.policy_reward(rollout))
        for i, search in enumerate(self.searches):
            moved = search.update(self._places(i))
            figures |= moved if search is self.search else {f"holding_{k}": v for k, v in moved.items()}
        self.round += 1
        if self.finished and not self.neural:
            figures |= self.distil()
        with torch.no_grad():
            score = float(self.reward.of_features(rollout.trajectories.features).mean())
            expert = float(self.reward.of_features(self.demonstrations.features).mean())
        return figures | {"reward_mean": score, "reward_demonstrations": expert} | rollout.figures

    def _sample(self, sampler: Actor, owner: int = -1) -> Rollout:
        rollout = self.task.rollout(sampler, self.settings.episodes)
        self._add(Sampler.frozen(sampler, rollout.trajectories), owner)
        return rollout

    def _add(self, sampler: Sampler, owner: int = -1) -> None:
        self.fusion.add(sampler)
        self.owners.append(owner)

    def _places(self, owner: int) -> list[Place]:
        """A search's own controllers and trajectories, by today's cost."""
        found = []
        for k in (k for k, whose in enumerate(self.owners) if whose == owner):
            sampler = self.fusion.samplers[k]
            cost = self.state_cost(sampler.trajectories)
            value = cost.double().sum(1) + self.fusion.excess(k)
            found.append(Place(cast(Controller, sampler.policy), sampler.trajectories, cost, value))
        return found

    # --- the cost ---

    @torch.no_grad()
    def state_cost(self, trajectories: Trajectories) -> Tensor:
        """−gain g_ψ(s_t), [N, T]."""
        return -self.settings.gain * self.reward.of_features(trajectories.features[:, :-1])

    def learn_cost(self) -> dict[str, float]:
        """Algorithm 2: gradient steps on L(ψ) and the regularisers of §5."""
        s, demos = self.settings, self.demonstrations.features[:, :-1]
        shown = torch.arange(len(demos), device=demos.device)
        samples = torch.arange(len(demos), len(self.fusion), device=demos.device)
        features, kernel = self.fusion.features[:, :-1], self._kernel()
        # −log p₀ − log q of every trajectory: all of log w but the cost of states
        fixed = self.fusion.log_passive - self.fusion.log_mixture
        losses, start = [], self._total(self.fusion.features)
        for k in range(s.cost_steps if self.round else max(s.cost_steps, s.head_start)):
            if k % 10 == 0:  # k = 0 sets the first
                temperature = self._temperature(fixed, kernel)
                if self.round and self._moved(start) > s.trust:
                    break
            # lines 2 to 4: few as they are, all demonstrations are in the batch, and in the background too
            chosen = samples[torch.randperm(len(samples), device=samples.device)[: s.batch]]
            share = torch.full((len(chosen),), len(samples) / len(chosen), device=samples.device)
            if s.demonstrations_in_background:
                chosen, share = torch.cat((shown, chosen)), torch.cat((torch.ones_like(shown), share))
            background = -s.gain * self.reward.of_features(features[chosen])
            expert = -s.gain * self.reward.of_features(demos)
            # lines 5 and 6
            log_weight = fixed[chosen] - background.double().sum(1)
            loss = negative_log_likelihood(expert.sum(1), log_weight, share * kernel[:, chosen], temperature)
            regularised = loss + s.lcr * local_constant_rate(torch.cat((expert, background)))
            regularised = regularised + s.mono * monotonic(expert)
            if s.gradient_penalty > 0:
                regularised = regularised + s.gradient_penalty * self._roughness()
            self.optimizer.zero_grad()
            regularised.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        figures = {"loss": sum(losses) / len(losses), "cost_steps": float(len(losses))}
        return figures | {"temperature": temperature} | self._weights(fixed, kernel)

    def _roughness(self) -> Tensor:
        """E |∇_φ g|² between demonstrations and samples."""
        drawn = self.fusion.samplers[int(torch.randint(1, len(self.fusion.samplers), ()))]
        size = self.settings.batch
        return gradient_penalty(self.reward, self.shown.draw(size), drawn.transitions.draw(size))

    def _kernel(self) -> Tensor:
        """How much each trajectory's start is like each demonstration's, [M, N], 1 at most."""
        starts = [self.view.x(x.trajectories.observations[:, 0]) for x in self.fusion.samplers]
        place = whitened(torch.cat(starts))
        apart = torch.cdist(place[: len(self.demonstrations)], place)
        return torch.exp(-0.5 * (apart / self.settings.context).square())

    @torch.no_grad()
    def _total(self, features: Tensor) -> Tensor:
        """Σ_t of costs of states, [N]."""
        return -self.settings.gain * self.reward.of_features(features[:, :-1]).sum(1)

    def _moved(self, start: Tensor) -> float:
        """Spread of what ψ has changed, over demonstrations and newest samples, nats."""
        ends = [self.fusion.rows(k) for k in (0, len(self.fusion.samplers) - 1)]
        change = [self._total(self.fusion.features[rows]) - start[rows] for rows in ends]
        return float(torch.cat(change).std())

    def _temperature(self, fixed: Tensor, kernel: Tensor) -> float:
        """The smallest τ ≥ 1 at which exp(log w / τ) leaves enough samples effective."""
        log_weight, log_kernel = fixed - self._total(self.fusion.features).double(), kernel.log()
        enough = self.settings.least_effective * float(effective_sample_size(log_kernel).mean())
        low, high = 0.0, math.log(1e4)

        def effective(log_tau: float) -> float:
            return float(effective_sample_size(log_weight / math.exp(log_tau) + log_kernel).mean())

        if effective(low) >= enough:
            return 1.0
        for _ in range(12):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if effective(middle) >= enough else (middle, high)
        return math.exp(high)

    @torch.no_grad()
    def _weights(self, fixed: Tensor, kernel: Tensor) -> dict[str, float]:
        """log Z and effective sample size, of all trajectories and the newest, mean over demonstrations."""
        log_weight = fixed - self._total(self.fusion.features).double()
        seen = log_weight + kernel.log()
        newest = seen[:, self.fusion.rows(len(self.fusion.samplers) - 1)]
        log_z = torch.logsumexp(seen, 1) - kernel.sum(1).log()
        share = torch.softmax(seen, 1)[:, : len(self.demonstrations)].sum(1)
        return {
            "log_z": float(log_z.mean()),
            "effective_samples": float(effective_sample_size(seen).mean()),
            "effective_newest": float(effective_sample_size(newest).mean()),
            "weight_of_demonstrations": float(share.mean()),
        }

    # --- the policy ---

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """For PPO: −c_ψ − log π a step, and the task's shaping, in nats over gain, [N, T]."""
        s, trajectories = self.settings, rollout.trajectories
        held = self.view.held(trajectories.observations[:, :-1])
        surprise = self.fusion.passive.log_prob_of(trajectories).to(rollout.log_prob) - rollout.log_prob
        paid = -self.state_cost(trajectories) + torch.where(held, surprise, 0.0)
        return paid / s.gain + self.task.shaping(rollout, self.reward, s.ppo.gamma)

    def distil(self) -> dict[str, float]:
        """Clone the controller's decisions into the network, which is what a robot runs."""
        s = self.settings
        controller = self._places(0)[self.search.best].controller
        shown = self.task.rollout(controller, s.distil_episodes).trajectories
        told = replace(shown, actions=controller.mode(shown.observations[:, :-1]))
        before = {f"controller_{k}": v for k, v in self.task.practice(controller).items()}
        clone(self.student, told, s.distil)
        return before | {f"distilled_{k}": v for k, v in self.task.practice(self.student).items()}

    # --- checkpoints ---

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "reward": dict(self.reward.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "searches": [x.state_dict() for x in self.searches],
            "owners": self.owners,
            "ppo": self.ppo.state_dict(),
            "fusion": self.fusion.state_dict(),
            "round": self.round,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reward.load_state_dict(state["reward"])
        self.optimizer.load_state_dict(state["optimizer"])
        for search, saved in zip(self.searches, state["searches"], strict=True):
            search.load_state_dict(saved)
        self.owners = list(state["owners"])
        self.ppo.load_state_dict(state["ppo"])
        self.fusion.load_state_dict(state["fusion"], copy.deepcopy(self.student), self.task.device)
        self.round = state["round"]


def negative_log_likelihood(
    expert: Tensor, log_weight: Tensor, share: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """L(ψ) = mean over demonstrations of c(τ) + log Z(x_0) (§4.1).

    The paper's systems start where the demonstrations start. Here starts (targets) differ, nobody chooses
    them, and a Z over all would explain why people prefer near targets. So every demonstration has its own
    Z, from samples that start like it.

    Args:
        expert: c of demonstrations, [M].
        log_weight: log w = −c − log q of the background, [N].
        share: what each sample counts for in each demonstration's Z, [M, N] or [N]; default: one Z for all.
        temperature: τ ≥ 1. log Z becomes τ log mean exp(log w / τ), which is never larger, has less
            variance, and is the same where all weights are equal: where the samplers have come to be exp(−c).
    """
    share = torch.ones_like(log_weight) if share is None else share.to(log_weight)
    log_z = torch.logsumexp(log_weight / temperature + share.log(), -1) - share.sum(-1).log()
    return (expert.double() + temperature * log_z).mean()


def whitened(x: Tensor) -> Tensor:
    """x [N, n] in coordinates without correlation and of unit variance; constant ones are dropped."""
    values, vectors = torch.linalg.eigh(torch.cov(x.mT))
    varies = values > 1e-4 * values.max()
    return (x - x.mean(0)) @ vectors[:, varies] / values[varies].sqrt()


def local_constant_rate(cost: Tensor) -> Tensor:
    """g_lcr: Σ_t ((c_{t+1} − c_t) − (c_t − c_{t−1}))², mean over trajectories [N, T]."""
    return cost.diff(dim=1).diff(dim=1).square().sum(1).mean()


def monotonic(cost: Tensor) -> Tensor:
    """g_mono: Σ_t max(0, c_t − c_{t−1} − 1)², mean over demonstrations [M, T]."""
    return (cost.diff(dim=1) - 1).clamp_min(0.0).square().sum(1).mean()
