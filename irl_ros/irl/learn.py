"""Learn a reward and a policy from recorded demonstrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from irl_ros.demos.demonstrations import Demonstrations, load_demonstrations
from irl_ros.errors import InputError, unknown_name
from irl_ros.irl.algorithms import ALGORITHMS, GAMES, AlgorithmSettings
from irl_ros.irl.bc import BCSettings, clone
from irl_ros.irl.checkpoint import find_checkpoint
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import (
    RunDirectory,
    as_paths,
    choose_device,
    describe_world,
    restore_world,
)
from irl_ros.irl.trainer import Stage, Trainer, TrainerSettings
from irl_ros.rewards.reward import Reward
from irl_ros.rewards.reward_net import RewardSettings
from irl_ros.rl.policy import Policy, PolicySettings, load_policy
from irl_ros.rl.throw_task import Starts, ThrowTask, ThrowTaskSettings
from irl_ros.settings import as_dict, build, load_yaml, override
from irl_ros.sim import BatchWorld, BulletPool, Simulator, World, load_world


@dataclass(frozen=True)
class LearnSettings(AlgorithmSettings):
    """The keys of `--config` and `--set`: those of every algorithm, and what all of them share."""

    policy: PolicySettings = field(default_factory=PolicySettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    task: ThrowTaskSettings = field(default_factory=ThrowTaskSettings)
    bc: BCSettings = field(default_factory=BCSettings)
    polish: ReoptimiseSettings = field(default_factory=ReoptimiseSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def learn(
    paths: Sequence[str | Path],
    out: str | Path,
    algo: str = "airl",
    world: str | Path | None = None,
    sim: str = "batch",
    device: str = "auto",
    seed: int = 0,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
) -> Path:
    """Learn from bags and leave a RUN directory.

    Args:
        paths: rosbag2 folders, or folders of them.
        out: the RUN directory; must be new unless `resume`.
        algo: one of ALGORITHMS.
        world: name or YAML of the world to learn in; default: "default".
        sim: "batch" or "pybullet".
        device: "auto", "cpu" or "cuda".
        seed: of everything drawn.
        config: YAML with keys of LearnSettings; what it leaves out is as `defaults_in(sim)` has it.
        overrides: `key=value` on top.
        resume: go on from the last checkpoint of `out` with the settings it was begun with; others, where
            given, are refused.

    Returns:
        The RUN directory.

    Raises:
        InputError: something given is wrong; nothing was written.
    """
    run = RunDirectory(out)
    changed = override(load_yaml(Path(config)) if config else {}, list(overrides))
    settings = build(LearnSettings, changed, config or "--set", base=defaults_in(sim))
    if resume:
        description = run.description()
        given = {"algo": (algo, "airl"), "sim": (sim, "batch"), "device": (device, "auto"), "seed": (seed, 0)}
        check_resumed(run, description, "learn", world, settings if changed else None, given)
        if run.finished:
            print(f"{run.path}: learning is already done")
            return run.path
    else:
        run.refuse_if_taken()
        description = {
            "verb": "learn",
            "algo": algo,
            "seed": seed,
            "sim": sim,
            "device": device,
            "world": describe_world(load_world(world or "default")),
            "settings": as_dict(settings),
            "demos": {"paths": as_paths(paths)},
        }
    job = _Job(description, paths or description["demos"]["paths"], run)
    if resume:
        job.check_same_demonstrations()
    else:
        run.create(job.description)
    job.work(resume)
    return run.path


class _Job:
    """One learning run, put together from its description."""

    def __init__(self, description: dict[str, Any], paths: Sequence[str | Path], run: RunDirectory) -> None:
        self.run, self.description = run, description
        if description["algo"] not in ALGORITHMS:
            raise InputError("--algo", *unknown_name("algorithm", description["algo"], ALGORITHMS))
        check_sim(description["sim"])
        self.settings = build(LearnSettings, description["settings"], run.path / "run.yaml")
        self.device = choose_device(description["device"], description["sim"])
        self.world = restore_world(description["world"])
        self.demonstrations = load_demonstrations(as_paths(paths), self.world)
        d = self.demonstrations
        print(
            f"{len(d)} demonstrations of {self.world.robot.name}, {d.hit_10cm:.0%} of them within 10 cm"
            f" and {d.hit_5cm:.0%} within 5 cm of the target; learning {description['algo']} on {self.device}"
        )
        self.description = {
            **description,
            "robot": {"name": self.world.robot.name, "sha256": self.world.robot.sha256},
            "demos": {
                "paths": as_paths(paths),
                "episodes": len(d),
                "sha256": d.sha256,
                "hit_10cm": d.hit_10cm,
                "hit_5cm": d.hit_5cm,
                "actions_inferred": d.actions_inferred,
            },
        }

    def check_same_demonstrations(self) -> None:
        before = self.run.description()["demos"]["sha256"]
        if before != self.demonstrations.sha256:
            problem = "was begun with other demonstrations than these"
            raise InputError(self.run.path, problem, "resume with the same bags, or learn into another --out")

    def work(self, resume: bool) -> None:
        """Warm start, game, polish; leaves policy and reward in the run."""
        simulator = make_simulator(self.world, self.description["sim"], self.device)
        try:
            self._learn(simulator, resume)
        finally:
            close_simulator(simulator)

    def _learn(self, simulator: Simulator, resume: bool) -> None:
        torch.set_num_threads(self.settings.trainer.threads)
        torch.manual_seed(self.description["seed"])
        settings, algo = self.settings, self.description["algo"]
        starts = demonstrated_starts(self.demonstrations)
        # without a checkpoint everything is drawn again from the seed, the clone too
        warm = resume and find_checkpoint(self.run.checkpoint) is not None
        if warm:
            policy = load_policy(self.run.clone, self.device).train()
        else:
            policy = Policy(self.world, settings.policy).to(self.device)
            policy.observation.freeze(self.demonstrations.throws.to(self.device).states)
        reward = Reward(self.world, settings.reward).to(self.device)
        task = ThrowTask(simulator, policy.observation, reward.features, starts, settings.task)
        demonstrations = task.trajectories(self.demonstrations.throws)
        if not warm:
            clone(policy, demonstrations, settings.bc)
            self.run.clone.mkdir(exist_ok=True)
            policy.save(self.run.clone)
            self.run.save_starts(starts)
        if algo in GAMES:
            how = getattr(settings, algo)
            game = GAMES[algo](task, demonstrations, policy, reward, how)
            stages = [Stage("learning", game, how.iterations, how.episodes)]
            learns_reward = getattr(game, "learns_reward", True)
            if learns_reward:
                polish, p = Reoptimisation(task, reward, policy, settings.polish), settings.polish
                stages.append(Stage("polish", polish, p.iterations, p.ppo.episodes))
            modules: dict[str, nn.Module] = {"reward": reward}
            trainer = Trainer(self.run, task, stages, modules, settings.trainer)
            if resume and not trainer.resume():
                print("no checkpoint yet: starting again")
            trainer.fit()
            if learns_reward:
                reward.save(self.run.path)
        policy.save(self.run.path)


def check_resumed(
    run: RunDirectory,
    description: dict[str, Any],
    verb: str,
    world: str | Path | None,
    settings: Any,
    given: Mapping[str, tuple[Any, Any]],
) -> None:
    """Refuse to resume a run of another verb, or otherwise than it was begun: it would go on as before.

    Args:
        run: what is to go on.
        description: of how it was begun.
        verb: that resumes it.
        world: name or YAML; None or "default": not given.
        settings: all of them, where some were given; else None.
        given: other options: value, and what it is where it was not given.
    """
    if description.get("verb") != verb:
        raise InputError(
            run.path,
            f"was made by `irl-ros {description.get('verb')}`",
            f"resume it with that verb, not {verb}",
        )
    before = restore_world(description["world"])
    if before.robot.sha256 != description["robot"]["sha256"]:
        problem = f"was begun with robot '{before.robot.name}' as it was before it was changed"
        raise InputError(run.path, problem, "give the robot its old YAML and URDF, or begin another --out")
    other = [f"--{k} {value}" for k, (value, unset) in given.items() if value not in (unset, description[k])]
    if world not in (None, "default") and load_world(world).sha256 != description["world"]["sha256"]:
        other.append(f"--world {world}")
    if settings is not None and settings != build(type(settings), description["settings"], run.path):
        other.append("--set or --config")
    if other:
        problem = f"was begun otherwise than with {', '.join(other)}"
        raise InputError(run.path, problem, "leave that out to go on, or begin another --out")


def make_simulator(world: World, sim: str, device: torch.device) -> Simulator:
    """The world to learn or evaluate in.

    Raises:
        InputError: `sim` is neither batch nor pybullet.
    """
    check_sim(sim)
    return BatchWorld(world, device) if sim == "batch" else BulletPool(world)


def defaults_in(sim: str) -> LearnSettings:
    """What a user who sets nothing gets in this simulator: PyBullet's throws are dear, so fewer a round."""
    usual = LearnSettings()
    if sim != "pybullet":
        return usual
    ppo = replace(usual.airl.ppo, episodes=64, minibatches=4)
    polish_ppo = replace(usual.polish.ppo, episodes=128, minibatches=4)
    return replace(
        usual,
        airl=replace(usual.airl, sampler_episodes=64, ppo=ppo),
        polish=replace(usual.polish, iterations=60, ppo=polish_ppo),
    )


def check_sim(sim: str) -> None:
    """Refuse a simulator that is neither batch nor pybullet."""
    if sim not in ("batch", "pybullet"):
        raise InputError("--sim", *unknown_name("simulator", sim, ("batch", "pybullet")))


def close_simulator(simulator: Simulator) -> None:
    """End what the simulator started."""
    if isinstance(simulator, BulletPool):
        simulator.close()


def demonstrated_starts(demonstrations: Demonstrations) -> Starts:
    """Where the demonstrations start, if their world wants throws to start there."""
    if demonstrations.world.settings.start == "home":
        return None
    first = demonstrations.throws.states[:, 0]
    return first.q, first.qd
