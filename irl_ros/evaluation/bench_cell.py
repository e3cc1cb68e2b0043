"""One cell of a bench: one algorithm and one seed, learned, re-optimised and measured; made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from irl_ros import __version__
from irl_ros.evaluation.bench_expert import GymDemonstrations, first_episodes
from irl_ros.evaluation.bench_settings import BenchSettings, settings_of
from irl_ros.irl.algorithms import GAMES
from irl_ros.irl.bc import clone
from irl_ros.irl.reoptimise import Reoptimisation
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.irl.trainer import Stage, Trainer
from irl_ros.networks import save_weights
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.gym_bundle import save_gym_policy
from irl_ros.rl.gym_task import GymTask, Scaling
from irl_ros.rl.gym_world import GymWorld
from irl_ros.rl.mlp_agent import MlpAgent
from irl_ros.rl.task import Trajectories

EVALUATION_SEED = 1_000_000
"""Of the episodes that every policy of a table is measured on."""
EVALUATION_EPISODES = 100


@dataclass(frozen=True)
class BenchCell:
    """What to make, and where it is kept.

    Attributes:
        algo: one of ALGORITHMS.
        seed: of everything drawn.
        world: the environment.
        demonstrations: the expert's.
        settings: of the whole bench.
        out: folder of the bench.
    """

    algo: str
    seed: int
    world: GymWorld
    demonstrations: GymDemonstrations
    settings: BenchSettings
    out: Path

    @property
    def key(self) -> dict[str, Any]:
        """Everything that decides what comes of it."""
        return {
            "env": self.world.name,
            "horizon": self.world.horizon,
            "demonstrations": self.demonstrations.sha256,
            "algo": self.algo,
            "seed": self.seed,
            "settings": settings_of(self.settings, self.algo),
            "version": __version__,
        }

    @property
    def folder(self) -> Path:
        """A RUN. Its name ends in a hash of the key: changed settings make another cell."""
        return self.out / f"{self.algo}-seed{self.seed}-{hash_of(self.key)}"

    def result(self) -> dict[str, Any]:
        """The figures, made if need be: `return`; `fresh_return` where a reward is learned; `failed`, why.

        What there is not is None.
        """
        path = self.folder / "result.json"
        if not path.is_file():
            RunDirectory(self.folder).create(self.key)
            try:
                figures = self._make()
            except FloatingPointError as error:  # one that has diverged must not keep others out of the table
                figures = {"return": None, "fresh_return": None, "env_steps": None, "failed": str(error)}
            cell = {"algo": self.algo, "seed": self.seed, "failed": None}
            part = path.with_suffix(".part")
            part.write_text(json.dumps({**cell, **figures}, indent=1) + "\n")
            os.replace(part, path)
        return json.loads(path.read_text())

    def _make(self) -> dict[str, Any]:
        torch.manual_seed(self.seed)
        scaling = Scaling.of([self.demonstrations.states, first_episodes(self.world)])
        task = GymTask(self.world, scaling)
        shown = task.trajectories(self.demonstrations.states, self.demonstrations.actions)
        policy = task.agent(self.settings.agent)
        if self.algo == "bc" or self.settings.warm_start:
            clone(policy, shown, self.settings.bc)
        if self.algo == "bc":
            figures: dict[str, Any] = {"env_steps": 0, "wall_s": None, "fresh_return": None}
        else:
            figures = self._play(task, shown, policy)
        save_gym_policy(task, policy, self.folder)
        return {"return": mean_return(task, policy), **figures}

    def _play(self, task: GymTask, shown: Trajectories, policy: MlpAgent) -> dict[str, Any]:
        """The game, then a fresh policy on its frozen reward."""
        s, how = self.settings, getattr(self.settings, self.algo)
        reward = RewardNet(task.feature_size, task.action_size, s.reward)
        game = GAMES[self.algo](task, shown, policy, reward, how)
        fresh = task.agent(s.agent)
        stages = [Stage("learning", game, how.iterations, how.episodes)]
        if getattr(game, "learns_reward", True):
            again = Reoptimisation(task, reward, fresh, s.fresh)
            stages.append(Stage("fresh", again, s.fresh.iterations, s.fresh.ppo.episodes))
        trainer = Trainer(
            RunDirectory(self.folder), task, stages, {"reward": reward, "policy": policy}, s.trainer
        )
        trainer.resume()
        trainer.fit()
        save_weights(reward, self.folder / "reward.safetensors")
        if len(stages) > 1:
            save_gym_policy(task, fresh, self.folder / "fresh")
        return {
            "env_steps": game.round * how.episodes * task.horizon,
            "wall_s": trainer.wall,
            "fresh_return": mean_return(task, fresh) if len(stages) > 1 else None,
        }


def mean_return(task: GymTask, policy: MlpAgent | None) -> float:
    """Mean true return of the deterministic policy (None: of random actions) on the table's episodes."""
    return float(task.returns(policy, EVALUATION_EPISODES, EVALUATION_SEED).mean())


def hash_of(key: dict[str, Any]) -> str:
    """Twelve letters that change with anything in `key`."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
