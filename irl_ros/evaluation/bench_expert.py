"""Experts for `bench`: made by our own reinforcement learning, to a stated return; what they demonstrate."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.evaluation.bench_settings import BenchSettings
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.irl.trainer import Stage, Trainer
from irl_ros.networks import weights_sha256
from irl_ros.rl.gym_bundle import save_gym_policy
from irl_ros.rl.gym_task import GymTask, Scaling, true_reward
from irl_ros.rl.gym_world import GymStates, GymWorld
from irl_ros.rl.mlp_agent import MlpAgent
from irl_ros.settings import as_dict

EXPERT_RETURNS = {"Pendulum-v1": -160.0, "CartPole-v1": 500.0}
"""Where the environment has no threshold of its own, or one too low: a pole that stays up for 475 steps of
500 is drifting out of its track, and that is what would be imitated."""
FIRST_EPISODES = 32
"""Random ones, from which observations get their scale."""
CHECK_EVERY = 5
"""Rounds between two looks at the expert's return."""


@dataclass(frozen=True)
class GymDemonstrations:
    """N episodes of an expert.

    Attributes:
        states: [N, T + 1]; their rewards are NaN, for imitators are given these.
        actions: [N, T, A] as sampled.
        returns: true returns [N], for the table only.
        path: the file that keeps them.
        sha256: of what imitators get.
    """

    states: GymStates
    actions: Tensor
    returns: Tensor
    path: Path
    sha256: str

    def __len__(self) -> int:
        return len(self.actions)


class ExpertTraining(Reoptimisation):
    """Reinforcement learning on the true reward that ends when the deterministic policy earns `goal`."""

    def __init__(
        self,
        task: GymTask,
        reward: Callable[[Any], Tensor],
        policy: MlpAgent,
        settings: ReoptimiseSettings,
        goal: float | None,
    ) -> None:
        super().__init__(task, reward, policy, settings)
        self.goal, self.earned = goal, -torch.inf

    @property
    def reached(self) -> bool:
        """The policy was at the goal when last looked at."""
        return self.goal is not None and self.earned >= self.goal

    @property
    def finished(self) -> bool:
        return self.reached or super().finished

    def iterate(self) -> dict[str, float]:
        """One policy step; returns figures for the log."""
        figures = super().iterate()
        if self.round % CHECK_EVERY == 0:
            self.earned = self.task.practice(self.policy)["true_return"]
        return figures

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "earned": self.earned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.earned = state["earned"]


def stated_return(world: GymWorld, stated: float | None) -> float | None:
    """The return an expert has to earn: the stated one, or what is known of the environment; None: nothing.

    What is known of an environment is known at its own horizon only.
    """
    if stated is not None or world.spec is None or world.horizon != world.spec.max_episode_steps:
        return stated
    return EXPERT_RETURNS.get(world.name, world.spec.reward_threshold)


def train_expert(
    world: GymWorld, folder: Path, goal: float | None, settings: BenchSettings, seed: int
) -> None:
    """Leave an expert in `folder`, going on where an earlier call was stopped.

    Raises:
        RuntimeError: it does not reach `goal`.
    """
    run, s = RunDirectory(folder), settings.expert
    description = {"env": world.name, "horizon": world.horizon, "expert_return": goal, "seed": seed}
    run.create({**description, "settings": {"expert": as_dict(s), "agent": as_dict(settings.agent)}})
    torch.manual_seed(seed)
    task = GymTask(world, Scaling.of([first_episodes(world)]), tells_reward=True)
    policy = task.agent(settings.agent)
    training = ExpertTraining(task, true_reward, policy, s, goal)
    stage = Stage("expert", training, s.iterations, s.ppo.episodes)
    trainer = Trainer(run, task, [stage], {}, settings.trainer)
    trainer.resume()
    trainer.fit()
    if goal is not None and not training.reached:
        earned = f"{training.earned:.1f} of the {goal:.1f} stated after {s.iterations} rounds"
        raise RuntimeError(f"the expert of {world.name} reached {earned}; more: --set expert.iterations=…")
    save_gym_policy(task, policy, folder)


def first_episodes(world: GymWorld) -> GymStates:
    """Random episodes; their chance comes from torch's."""
    return world.play(world.random, FIRST_EPISODES, int(torch.randint(2**31 - 1, ())))[0]


def demonstrate(task: GymTask, expert: MlpAgent, episodes: int, seed: int, folder: Path) -> GymDemonstrations:
    """Episodes of an expert, with the noise of its actions; made once and kept in `folder`, then read.

    The noise is part of what is shown: maximum-entropy IRL takes an expert for one who acts at random, the
    better the likelier.
    """
    name = f"demonstrations-{episodes}-seed{seed}-{weights_sha256(expert)[:12]}.safetensors"
    path, world = folder / name, task.world
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(seed)
        env_seed = int(torch.randint(2**31 - 1, ()))
        with torch.no_grad():
            states, actions = world.play(lambda now: expert.sample(task.observe(now)), episodes, env_seed)
        tensors = {
            "observation": states.observation,
            "absorbing": states.absorbing,
            "actions": actions,
            "returns": states.reward.sum(1),
        }
        part = path.with_suffix(".part")
        part.write_bytes(save(tensors))
        os.replace(part, path)
    return read_demonstrations(path, world)


def read_demonstrations(path: Path, world: GymWorld) -> GymDemonstrations:
    """What `demonstrate` has kept.

    Raises:
        InputError: the file is damaged.
    """
    try:
        tensors = load_file(path)
        observation, absorbing, actions = (tensors[k] for k in ("observation", "absorbing", "actions"))
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(path, f"is damaged ({error})", "delete it: it is made again") from None
    phase = torch.linspace(0, 1, world.horizon + 1).expand(absorbing.shape)
    states = GymStates(observation, absorbing, phase, torch.full(absorbing.shape, torch.nan))
    digest = hashlib.sha256()
    for tensor in (observation, absorbing, actions):
        digest.update(tensor.numpy().tobytes())
    return GymDemonstrations(states, actions, tensors["returns"], path, digest.hexdigest())
