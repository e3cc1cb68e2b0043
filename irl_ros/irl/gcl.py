"""Guided cost learning (Finn, Levine & Abbeel 2016, "Deep inverse optimal control via policy optimization").

Read beside the paper: ψ (there θ) are the parameters of the cost

    c_ψ(τ) = Σ_t −gain g_ψ(s_t) − log p₀(a_t | s_t),

τ a trajectory, q_k the samplers. Algorithm 1's lines are marked in `GCL.iterate`; Algorithm 2, the likelihood
and its regularisers are in irl/guided_cost.py; the fusion of all samplers in irl/fusion.py; line 6's policy
step in rl/controller_step.py.

g_ψ is the reward that is exported. −log p₀ takes the place of the paper's torque penalty w_u/2 ‖u‖² (§5): p₀
is how motion is spread when nobody wants anything. Without it exp(−c) of a cost of states alone would have
no finite integral over actions, and no Z. As published: demonstrations are in the background with a density
fitted to them, without which L is unbounded below; all samples are kept; controllers start from
demonstrations.

What is ours, beside what the other files say: the release time is a part of the controller and of q; and the
fusion has samplers that do what neither people nor the controller would (want nothing; swing and let go at
any time; never let go, the last with a search of its own). exp(−c) has several modes, an optimiser of g will
visit them all, and Z must have seen them.

`policy_step: neural` keeps all this and has PPO on a network take the policy step. It begins with no more
noise than p₀ has.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from irl_ros.errors import InputError, unknown_name
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.fusion import Fusion
from irl_ros.irl.guided_cost import CostSettings, GuidedCost
from irl_ros.irl.samplers import Sampler
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.agent import Actor, Agent
from irl_ros.rl.control_view import ControlView, control_view
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
    trajectories: int = 128
    """Trajectories of each sampler in a round."""
    policy_step: str = "controller"
    """controller: linear-Gaussian, as in the paper; neural: PPO on a network."""
    ease: float = 2.0
    """Standard deviation of p₀ as a multiple of the demonstrations' own changes of motion: the smaller, the
    more effort weighs against g. With 1 demonstrations are likeliest under p₀."""
    initial_noise: float = 0.5
    """Noise of the first controllers on top of the demonstrations' own, standard deviations of p₀. As steady
    as people are, they would never see what lies beside."""
    careless: bool = True
    """Begin the fusion with samplers that want nothing, and that swing and let go at any time."""
    holding: bool = True
    """Search with a second controller, one that never lets go."""
    cost: CostSettings = field(default_factory=CostSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    ppo: PPOSettings = field(default_factory=lambda: PPOSettings(entropy=0.0))
    """Of the neural policy step; its `episodes` are not read."""
    distil: BCSettings = field(default_factory=BCSettings)
    """How the network is cloned from the controller when all is done."""
    distil_episodes: int = 512
    """Trajectories of the controller that it is cloned from."""

    @property
    def episodes(self) -> int:
        """Episodes in a round."""
        return self.trajectories * (2 if self.holding else 1)

    def __post_init__(self) -> None:
        if self.policy_step not in POLICY_STEPS:
            raise ValueError("; ".join(unknown_name("policy_step", self.policy_step, POLICY_STEPS)))
        at_least(self, 2, "trajectories")
        at_least(self, 1, "distil_episodes")
        at_least(self, 0, "iterations", "initial_noise")
        if not self.ease > 0:
            raise ValueError(f"ease: must be above 0, found {self.ease}")


class GCL:
    """Learns a cost and samplers of its distribution exp(−c).

    Args:
        task: what is sampled in.
        demonstrations: the expert's episodes.
        policy: π_θ. With the neural policy step it is the sampler, warm-started; else it is cloned from the
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
        self.task, self.student, self.settings = task, policy, settings
        self.neural = settings.policy_step == "neural"
        self.view = wider(control_view(task, demonstrations), settings.ease)
        self.fusion = Fusion(self.view)
        self.cost = GuidedCost(reward, demonstrations, self.fusion, settings.cost)
        self.ppo = PPO(policy, settings.ppo)
        self.owners: list[int] = []  # which search each sampler is of; −1: none
        fitted = fit_controller(self.view, demonstrations, settings.search)
        self._add(Sampler(fitted, demonstrations))
        # Algorithm 1, line 1: q_1 from demonstrations
        noise = settings.initial_noise**2 * self.view.passive.covariance
        first = fitted.replaced(replace(fitted.motion, covariance=fitted.motion.covariance + noise))
        self.searches = [] if self.neural else [ControllerSearch(first, settings.search)]
        if settings.holding and self.view.release:
            never = (torch.arange(task.horizon + 1, device=task.device) == task.horizon).double()
            keeper = first.replaced(first.motion, never)
            self.searches.append(ControllerSearch(keeper, settings.search))
        if settings.careless:
            self._sample(first.replaced(first.motion, self.fusion.passive.release))
            self._sample(self.fusion.passive)
        self.round = 0

    @property
    def finished(self) -> bool:
        return self.round >= self.settings.iterations

    @property
    def policy(self) -> Actor:
        """Who acts: the controller, and when all is done the network."""
        return self.student if self.neural or self.finished else self.searches[0].controller

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        if self.neural and self.round == 0:
            self._steady()
        # lines 3 and 4: sample from q_k, append to all samples
        made = [self._sample(search.controller, i) for i, search in enumerate(self.searches)]
        rollout = self._sample(self.student) if self.neural else made[0]
        figures = self.cost.learn(len(self.searches) + self.neural)  # line 5
        # line 6: q_{k+1}
        if self.neural:
            figures |= self.ppo.update(rollout, self.policy_reward(rollout))
        for i, search in enumerate(self.searches):
            step = search.update(self._places(i))
            figures |= step if i == 0 and not self.neural else {f"holding_{k}": v for k, v in step.items()}
        self.round += 1
        if self.finished and not self.neural:
            figures |= self.distil()
        with torch.no_grad():
            g = [
                self.cost.reward.of_features(x.features) for x in (rollout.trajectories, self.demonstrations)
            ]
        scores = {"reward_mean": float(g[0].mean()), "reward_demonstrations": float(g[1].mean())}
        return figures | scores | rollout.figures

    @property
    def demonstrations(self) -> Trajectories:
        """The expert's episodes."""
        return self.cost.demonstrations

    def _sample(self, sampler: Actor, owner: int = -1) -> Rollout:
        rollout = self.task.rollout(sampler, self.settings.trajectories)
        self._add(Sampler.frozen(sampler, rollout.trajectories), owner)
        return rollout

    def _add(self, sampler: Sampler, owner: int = -1) -> None:
        self.fusion.add(sampler)
        self.owners.append(owner)

    @torch.no_grad()
    def _places(self, owner: int) -> list[Place]:
        """A search's own controllers and trajectories, by today's cost."""
        found = []
        for k in (k for k, whose in enumerate(self.owners) if whose == owner):
            sampler = self.fusion.samplers[k]
            cost = self.cost.of(sampler.trajectories.features)
            value = cost.double().sum(1) + self.fusion.excess(k)
            found.append(Place(cast(Controller, sampler.policy), sampler.trajectories, cost, value))
        return found

    @torch.no_grad()
    def _steady(self) -> None:
        """No more noise for the network than p₀ has, where its noise is a Gaussian's.

        −log p₀ of more is tens of nats in every step that holds the ball: dropping it would be the cheapest.
        """
        if isinstance(noise := getattr(self.student, "log_std", None), Tensor):
            most = 0.5 * self.view.passive.covariance.diagonal(dim1=-2, dim2=-1).log()
            noise.copy_(torch.minimum(noise, most.to(noise)))

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """For PPO, in units of g: −c_ψ − log π of every step, and the task's shaping, [N, T]."""
        gain, trajectories = self.settings.cost.gain, rollout.trajectories
        held = self.view.held(trajectories.observations[:, :-1])
        excess = rollout.log_prob - self.fusion.passive.log_prob_of(trajectories).to(rollout.log_prob)
        paid = -self.cost.of(trajectories.features) - torch.where(held, excess, 0.0)
        return paid / gain + self.task.shaping(rollout, self.cost.reward, self.settings.ppo.gamma)

    def distil(self) -> dict[str, float]:
        """Clone the controller's decisions into the network, which is what a robot runs."""
        controller = self._places(0)[self.searches[0].best].controller
        shown = self.task.rollout(controller, self.settings.distil_episodes).trajectories
        told = replace(shown, actions=controller.mode(shown.observations[:, :-1]))
        figures = {f"controller_{k}": v for k, v in self.task.practice(controller).items()}
        clone(self.student, told, self.settings.distil)
        return figures | {f"distilled_{k}": v for k, v in self.task.practice(self.student).items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "cost": self.cost.state_dict(),
            "fusion": self.fusion.state_dict(),
            "owners": self.owners,
            "searches": [x.state_dict() for x in self.searches],
            "ppo": self.ppo.state_dict(),
            "round": self.round,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.cost.load_state_dict(state["cost"])
        self.fusion.load_state_dict(state["fusion"], copy.deepcopy(self.student), self.task.device)
        self.owners = list(state["owners"])
        for search, saved in zip(self.searches, state["searches"], strict=True):
            search.load_state_dict(saved)
        self.ppo.load_state_dict(state["ppo"])
        self.round = state["round"]


def wider(view: ControlView, ease: float) -> ControlView:
    """A view with `ease` times the standard deviation of p₀."""
    return replace(view, passive=replace(view.passive, covariance=ease**2 * view.passive.covariance))
