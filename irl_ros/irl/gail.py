"""Generative adversarial imitation learning (Ho & Ermon 2016).

Read beside the paper: D_w(s, a) tells demonstrations from the policy's samples, θ are the parameters of the
policy, τ an episode; Algorithm 1's steps are marked in `GAIL.iterate`. D is the chance that a pair was
*demonstrated* (the paper's D is the other one's), D = σ(ℓ) with the logit ℓ_w(s, a) = gain · g_w, so at the
end of the game g = 0 wherever both go: what D learns says who was there, not what is good, and frozen it is
no reward. `inputs: features` lets the g of the shared reward be that logit, and leaves it in the run for
`transfer` to show what becomes of it. `inputs: observation` is the paper's D, on all the policy sees and
does, and leaves no reward.

Where this differs from the paper:

* PPO takes the policy step (theirs: TRPO), from a warm start by cloning (they propose it: §7).
* Like with like. People move smoothly, samplers with noise, and a D that sees actions would tell them apart
  by that alone. So demonstrated actions get the policy's own noise first.
* D is bounded and smooth: tanh, few units, gradient penalty (Gulrajani et al. 2017, towards slope 0).
* The policy is paid the logit, log D − log(1 − D), as AIRL's is (`policy_reward: paper` for −log(1 − D)).
* Past samples. A share of D's samples may come from earlier policies, so that it does not forget them.
* An end. The game is over when the policy's samples score what the demonstrations score. Played to its fixed
  point it imitates the person, misses and all; ended there D still tells throws at the target from others,
  because of its past samples, and where D sees features the policy is polished on it like any reward
  (`polish.iterations: 0` leaves GAIL as it was published).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from irl_ros.errors import unknown_name
from irl_ros.irl.logistic_regression import logistic_regression
from irl_ros.irl.regularisation import gradient_penalty
from irl_ros.irl.transitions import Transitions
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.rl.agent import Agent
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.task import Rollout, Task, Trajectories
from irl_ros.settings import at_least

INPUTS = ("features", "observation")
POLICY_REWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "paper": functional.softplus,
    "log_d": functional.logsigmoid,
    "logit": lambda logit: logit,
}
"""What a policy is paid for the logit ℓ of D. paper: −log(1 − D), never below 0; log_d: log D, never above 0;
logit: log D − log(1 − D), either. Episodes are equally long here, so the sign makes nobody live longer."""


@dataclass(frozen=True)
class GAILSettings:
    iterations: int = 100
    """Most rounds of the game."""
    head_start: int = 3
    """Discriminator rounds before the first policy step."""
    least: int = 15
    """Rounds before the game may end."""
    stop_at_match: bool = True
    """End when the policy's samples score what the demonstrations score."""
    inputs: str = "features"
    """What D sees. features: φ(s), and a where `reward.inputs` is state-action; observation: all that the
    policy sees, and a."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of D where it sees observations; where it sees features, those of the reward."""
    discriminator_steps: int = 20
    """Gradient steps on w in a round."""
    batch: int = 512
    """Demonstrated pairs in a discriminator batch; as many sampled ones."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gain: float = 5.0
    """Scale of g in the logit: g lies in (−1, 1), log density ratios do not."""
    gradient_penalty: float = 0.5
    """Weight of E|∇g|² between demonstrated and sampled inputs."""
    match_noise: bool = True
    """Give demonstrated actions the policy's noise before D sees them."""
    replay: int = 100
    """Past rounds that half of D's samples come from; 0: today's samples only, as in the paper."""
    policy_reward: str = "logit"
    """What the policy is paid: see POLICY_REWARDS."""
    ppo: PPOSettings = field(default_factory=PPOSettings)

    @property
    def episodes(self) -> int:
        """Episodes in a round."""
        return self.ppo.episodes

    def __post_init__(self) -> None:
        for name, choices in (("inputs", INPUTS), ("policy_reward", tuple(POLICY_REWARDS))):
            if getattr(self, name) not in choices:
                raise ValueError("; ".join(unknown_name(name, getattr(self, name), choices)))
        at_least(self, 1, "discriminator_steps", "batch")
        at_least(self, 0, "iterations", "head_start", "least", "learning_rate", "gradient_penalty", "replay")
        if not self.gain > 0:
            raise ValueError(f"gain: must be above 0, found {self.gain}")


class GAIL:
    """The game between a discriminator D_w and a policy π_θ.

    Args:
        task: what the policy acts in.
        demonstrations: the expert's episodes.
        policy: warm-started π_θ, improved in place.
        reward: its g becomes D's logit where `settings.inputs` is features; otherwise it is left alone.
        settings: see GAILSettings.
    """

    def __init__(
        self,
        task: Task,
        demonstrations: Trajectories,
        policy: Agent,
        reward: RewardNet,
        settings: GAILSettings,
    ) -> None:
        self.task, self.policy, self.settings = task, policy, settings
        self.demonstrations = Transitions.of(demonstrations)
        self.learns_reward = settings.inputs == "features"
        if self.learns_reward:
            self.discriminator = reward
        else:
            kind = RewardSettings(inputs="state-action", hidden=settings.hidden)
            sizes = (demonstrations.observations.shape[-1], demonstrations.actions.shape[-1])
            self.discriminator = RewardNet(*sizes, kind).to(task.device)
        self.optimizer = torch.optim.AdamW(
            self.discriminator.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.ppo = PPO(policy, settings.ppo)
        self.past: list[Transitions] = []
        self.round, self.matched = 0, False

    @property
    def finished(self) -> bool:
        return self.matched or self.round >= self.settings.iterations

    def iterate(self) -> dict[str, float]:
        """One round of Algorithm 1; returns figures for the log."""
        s = self.settings
        # step 3: sample trajectories τ_i ∼ π_θ
        rollout = self.task.rollout(self.policy, s.ppo.episodes)
        sample = Transitions.of(rollout.trajectories)
        # step 4: w by the gradient of E_τ[log(1 − D)] + E_demo[log D] (eq. 17; the paper's D is our 1 − D)
        figures = self.train_discriminator(sample)
        if s.replay > 0:
            self.past = [*self.past, sample.draw(s.batch)][-s.replay :]
        # step 5: a policy step on D, with λH(π) as PPO's entropy term (eq. 18)
        if self.round >= s.head_start:
            figures |= self.ppo.update(rollout, self.policy_reward(rollout))
        self.round += 1
        with torch.no_grad():
            policy_score = float(self.g(sample).mean())
            expert_score = float(self.g(self.alike(self.demonstrations)).mean())
        self.matched = s.stop_at_match and self.round >= s.least and policy_score >= expert_score
        scores = {"reward_mean": policy_score, "reward_demonstrations": expert_score}
        return figures | scores | rollout.figures

    def seen(self, batch: Transitions) -> Transitions:
        """The batch with what D sees in place of features."""
        return batch if self.learns_reward else replace(batch, features=batch.observation)

    def g(self, batch: Transitions) -> Tensor:
        """g_w(s, a), [K]."""
        return self.discriminator.of_features(self.seen(batch).features, batch.action)

    def logit(self, batch: Transitions) -> Tensor:
        """ℓ_w(s, a) = log D − log(1 − D), [K]."""
        return self.settings.gain * self.g(batch)

    def alike(self, expert: Transitions) -> Transitions:
        """Demonstrated pairs as D is shown them."""
        return expert.jittered(self.policy) if self.settings.match_noise else expert

    @torch.no_grad()
    def policy_reward(self, rollout: Rollout) -> Tensor:
        """What settings.policy_reward names, in units of g, and the task's shaping, [N, T]."""
        s, pay = self.settings, POLICY_REWARDS[self.settings.policy_reward]

        def worth(state: Any) -> Tensor:
            # what the task's shaping asks of a state; a D that sees more than features cannot say
            return pay(s.gain * self.discriminator(state)) / s.gain if self.learns_reward else torch.zeros(())

        paid = pay(self.logit(Transitions.of(rollout.trajectories))) / s.gain
        return paid.reshape(rollout.log_prob.shape) + self.task.shaping(rollout, worth, s.ppo.gamma)

    def train_discriminator(self, sample: Transitions) -> dict[str, float]:
        """Logistic regression on D_w of demonstrated pairs (1) and sampled ones (0)."""
        s = self.settings

        def batch() -> tuple[Tensor, int, Tensor]:
            expert, other = self.alike(self.demonstrations.draw(s.batch)), self.draw_sample(sample)
            logit = self.logit(Transitions.cat([expert, other]))
            seen = self.seen(expert), self.seen(other)
            return logit, len(expert), gradient_penalty(self.discriminator, *seen)

        return logistic_regression(self.optimizer, s.discriminator_steps, batch, s.gradient_penalty)

    def draw_sample(self, today: Transitions) -> Transitions:
        """Sampled pairs for a discriminator batch: today's, half of them past ones where any are kept."""
        count = self.settings.batch
        if not self.past:
            return today.draw(count)
        chosen = self.past[int(torch.randint(len(self.past), ()))]
        return Transitions.cat([today.draw(count - count // 2), chosen.draw(count // 2)])

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "discriminator": dict(self.discriminator.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "ppo": self.ppo.state_dict(),
            "past": [dict(vars(x)) for x in self.past],
            "round": self.round,
            "matched": self.matched,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ppo.load_state_dict(state["ppo"])
        self.past = [Transitions(**x).to(self.task.device) for x in state["past"]]
        self.round, self.matched = state["round"], state["matched"]
