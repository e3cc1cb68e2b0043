"""One cell of a bench: one algorithm and one seed, learned, re-optimised and measured; made once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from irl_ros import __version__
from irl_ros.evaluation.bench_expert import GymDemonstrations, first_episodes, read_demonstrations
from irl_ros.evaluation.bench_settings import BenchSettings, settings_of
from irl_ros.evaluation.cells import Cell, Place
from irl_ros.irl.algorithms import GAMES
from irl_ros.irl.bc import clone
from irl_ros.irl.reoptimise import Reoptimisation
from irl_ros.irl.run_directory import RunDirectory, read_metrics
from irl_ros.irl.trainer import Stage, Trainer
from irl_ros.networks import save_weights
from irl_ros.rewards.reward_net import RewardNet
from irl_ros.rl.gym_bundle import save_gym_policy
from irl_ros.rl.gym_task import GymTask, Scaling
from irl_ros.rl.gym_world import GymWorld
from irl_ros.rl.mlp_agent import MlpAgent

EVALUATION_SEED = 1_000_000
"""Of the episodes that every policy of a table is measured on."""
EVALUATION_EPISODES = 100


class BenchCell(Cell):
    """A `Cell` whose RUN is a game in a Gymnasium environment.

    Its figures: `return`; `fresh_return`, where a reward is learned; `env_steps` and `wall_s` of the game.
    What it has not is None.
    """

    @classmethod
    def of(
        cls,
        algo: str,
        seed: int,
        world: GymWorld,
        demonstrations: GymDemonstrations,
        settings: BenchSettings,
        out: Path,
    ) -> BenchCell:
        """What to make, and where it is kept.

        Args:
            algo: one of ALGORITHMS.
            seed: of everything drawn.
            world: the environment.
            demonstrations: the expert's.
            settings: of the whole bench.
            out: folder of the bench.
        """
        key = {
            "env": world.name,
            "horizon": world.horizon,
            "demonstrations": demonstrations.sha256,
            "algo": algo,
            "seed": seed,
            "settings": settings_of(settings, algo),
            "version": __version__,
        }
        # what another process can make it from
        how = {
            "key": key,
            "env": world.name,
            "horizon": world.horizon,
            "shown": demonstrations.path,
            "algo": algo,
            "seed": seed,
            "settings": settings,
        }
        place = Place(algo, world.name, len(demonstrations), seed, world.name)
        return cls("bench", place, key, out, how)

    @property
    def name(self) -> str:
        """Algorithm and seed; all else is said by the folder."""
        return f"{self.place.algo}-seed{self.place.seed}"

    def make(self) -> dict[str, Any]:
        """Do the work, going on where a kill left it; returns the figures.

        Raises:
            FloatingPointError: learning has diverged.
        """
        return _Game(self.run, **self.how).played()


class _Game:
    """The work of a cell."""

    def __init__(
        self,
        run: Path,
        key: dict[str, Any],
        env: str,
        horizon: int,
        shown: Path,
        algo: str,
        seed: int,
        settings: BenchSettings,
    ) -> None:
        self.run, self.algo, self.settings = RunDirectory(run), algo, settings
        self.run.create(key)
        torch.manual_seed(seed)
        world = GymWorld(env, horizon)
        demonstrations = read_demonstrations(shown, world)
        self.task = GymTask(world, Scaling.of([demonstrations.states, first_episodes(world)]))
        self.shown = self.task.trajectories(demonstrations.states, demonstrations.actions)

    def played(self) -> dict[str, Any]:
        """Learn, and measure what was learned."""
        policy = self.task.agent(self.settings.agent)
        if self.algo == "bc" or self.settings.warm_start:
            clone(policy, self.shown, self.settings.bc)
        if self.algo == "bc":
            figures: dict[str, Any] = {"env_steps": 0, "wall_s": None, "fresh_return": None}
        else:
            figures = self._play(policy)
        save_gym_policy(self.task, policy, self.run.path)
        return {"return": mean_return(self.task, policy), **figures}

    def _play(self, policy: MlpAgent) -> dict[str, Any]:
        """The game, then a fresh policy on its frozen reward."""
        s, task, how = self.settings, self.task, getattr(self.settings, self.algo)
        reward = RewardNet(task.feature_size, task.action_size, s.reward)
        game = GAMES[self.algo](task, self.shown, policy, reward, how)
        fresh = task.agent(s.agent)
        stages = [Stage("learning", game, how.iterations, how.episodes)]
        if getattr(game, "learns_reward", True):
            again = Reoptimisation(task, reward, fresh, s.fresh)
            stages.append(Stage("fresh", again, s.fresh.iterations, s.fresh.ppo.episodes))
        trainer = Trainer(self.run, task, stages, {"reward": reward, "policy": policy}, s.trainer)
        trainer.resume()
        trainer.fit()
        save_weights(reward, self.run.path / "reward.safetensors")
        if len(stages) > 1:
            save_gym_policy(task, fresh, self.run.path / "fresh")
        # a run that was resumed after its game has the game's figures in its metrics alone
        played = [m for m in read_metrics(self.run.path) if m["iteration"] <= game.round]
        return {
            "env_steps": played[-1]["env_steps"] if played else 0,
            "wall_s": played[-1]["wall_s"] if played else 0.0,
            "fresh_return": mean_return(task, fresh) if len(stages) > 1 else None,
        }


def mean_return(task: GymTask, policy: MlpAgent | None) -> float:
    """Mean true return of the deterministic policy (None: of random actions) on the table's episodes."""
    return float(task.returns(policy, EVALUATION_EPISODES, EVALUATION_SEED).mean())
