"""A fresh policy from a frozen reward, in a changed world: what a learned reward is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irl_ros.errors import InputError, unknown_name
from irl_ros.irl.learn import check_resumed, close_simulator, make_simulator
from irl_ros.irl.reoptimise import FAR_SIGHTED, Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import (
    RunDirectory,
    choose_device,
    describe_world,
    load_starts,
    restore_world,
)
from irl_ros.irl.searches import Searches
from irl_ros.irl.trainer import Stage, Trainer, TrainerSettings
from irl_ros.rewards.reward import Reward, load_reward
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import UNTRAINED_LOG_STD, Policy, PolicySettings, load_policy
from irl_ros.rl.ppo import PPOSettings
from irl_ros.rl.throw_task import Starts, ThrowTask, ThrowTaskSettings
from irl_ros.settings import as_dict, at_least, build, load_yaml, override
from irl_ros.sim import State, World, load_world


@dataclass(frozen=True)
class TransferSettings:
    """The keys of `--config` and `--set`."""

    policy: PolicySettings = field(default_factory=lambda: PolicySettings(log_std=UNTRAINED_LOG_STD))
    reoptimise: ReoptimiseSettings = field(
        default_factory=lambda: ReoptimiseSettings(
            iterations=300, ppo=PPOSettings(episodes=512, entropy=0.01, gae_lambda=FAR_SIGHTED)
        )
    )
    searches: int = 2
    """Untrained policies that a fresh start tries, one after the other; the one that the reward values most
    is kept (irl/searches.py). A warm start is one search."""
    task: ThrowTaskSettings = field(default_factory=ThrowTaskSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)

    def __post_init__(self) -> None:
        at_least(self, 1, "searches")


def transfer(
    run: str | Path | None,
    world: str | Path | None,
    out: str | Path,
    reward: str = "learned",
    start: str = "fresh",
    sim: str = "batch",
    seed: int = 0,
    device: str = "auto",
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
) -> Path:
    """Optimise a policy for the frozen reward of `run` in `world` and leave a RUN directory.

    Args:
        run: a RUN with a reward. The true reward needs none: for that any RUN will do, or, for a fresh start
            from home in a named world, None.
        world: name or YAML; default: the world of `run`.
        out: the new RUN directory.
        reward: "learned", or "true": the task's own, as a yardstick.
        start: "fresh" (an untrained network, no demonstrations) or "warm" (the run's policy).
        sim, seed, device, config, overrides, resume: as in `learn`.

    Returns:
        The new RUN directory.

    Raises:
        InputError: something given is wrong; nothing was written.
    """
    target = RunDirectory(out)
    changes = override(load_yaml(Path(config)) if config else {}, list(overrides))
    settings = build(TransferSettings, changes, config or "--set")
    if resume:
        description = target.description()
        given: dict[str, tuple[object, object]] = {"reward": (reward, "learned"), "start": (start, "fresh")}
        given |= {"sim": (sim, "batch"), "device": (device, "auto"), "seed": (seed, 0)}
        check_resumed(target, description, "transfer", world, settings if changes else None, given)
        if target.finished:
            print(f"{target.path}: transfer is already done")
            return target.path
    else:
        target.refuse_if_taken()
        changed = load_world(world) if world else _world_of(run, reward)
        description = {
            "verb": "transfer",
            "from": None if run is None else str(run),
            "reward": reward,
            "start": start,
            "seed": seed,
            "sim": sim,
            "device": device,
            "world": describe_world(changed),
            "robot": {"name": changed.robot.name, "sha256": changed.robot.sha256},
            "settings": as_dict(settings),
        }
    _check_choices(description)
    _work(description, target, resume)
    return target.path


def _check_choices(description: dict[str, Any]) -> None:
    for option, choices in (("reward", ("learned", "true")), ("start", ("fresh", "warm"))):
        if description[option] not in choices:
            raise InputError(f"--{option}", *unknown_name(option, description[option], choices))
    if description["from"] is not None and description["reward"] == "true":
        RunDirectory(description["from"]).description()  # what is no run is refused, needed or not
    needed = [f"--{k} {v}" for k, v in (("reward", "learned"), ("start", "warm")) if description[k] == v]
    if description["from"] is None and needed:
        raise InputError("RUN", f"is not given, and {needed[0]} needs one", "give what `irl-ros learn` left")


def _world_of(run: str | Path | None, reward: str) -> World:
    if run is None:
        raise InputError("--world", "is not given, and without a RUN there is no other", "name one")
    if reward == "true":
        return restore_world(RunDirectory(run).description()["world"])
    return load_reward(run).world


def _starts(source: str | None, world: World) -> Starts:
    if source is None and world.settings.start == "demos":
        problem = f"world '{world.name}' starts where demonstrations did (start: demos)"
        raise InputError("RUN", f"is not given, and {problem}", "give what `irl-ros learn` left")
    return None if source is None else load_starts(source, world)


def _work(description: dict[str, Any], target: RunDirectory, resume: bool) -> None:
    settings = build(TransferSettings, description["settings"], target.path / "run.yaml")
    device = choose_device(description["device"], description["sim"])
    world, source = restore_world(description["world"]), description["from"]
    by_true = description["reward"] == "true"
    # optimised or not, the reward of a run goes along, if it has one
    kept = source is not None and (Path(source) / "reward.yaml").is_file()
    learned = load_reward(source, world, device) if kept or not by_true else Reward(world).to(device)
    reward: Callable[[State], Tensor] = TrueReward(world) if by_true else learned
    starts = _starts(source, world)
    torch.set_num_threads(settings.trainer.threads)
    torch.manual_seed(description["seed"])
    simulator = make_simulator(world, description["sim"], device)
    try:
        if description["start"] == "warm":
            policy = warm_policy(source, world, device)
        else:
            policy = Policy(world, settings.policy).to(device)
        task = ThrowTask(simulator, policy.observation, learned.features, starts, settings.task)
        if description["start"] == "fresh":
            # scaling from its own first throws: nobody has demonstrated anything here
            policy.observation.freeze(task.rollout(policy, 256).states)
        if not resume:
            target.create(description)
        target.save_starts(starts)
        whose = "true reward" if by_true else f"learned reward of {source}"
        print(f"{whose} in world '{world.name}', {description['start']} start")
        policies = [policy]
        if description["start"] == "fresh":
            policies += [_another(policy) for _ in range(1, settings.searches)]
        r = settings.reoptimise
        algorithm = Searches([Reoptimisation(task, reward, each, r) for each in policies])
        stage = Stage("learning", algorithm, len(policies) * r.iterations, r.ppo.episodes)
        trainer = Trainer(target, task, [stage], {}, settings.trainer)
        if resume:
            trainer.resume()
        trainer.fit()
    finally:
        close_simulator(simulator)
    if kept:
        learned.save(target.path)
    policy.save(target.path)


def _another(policy: Policy) -> Policy:
    """With other first weights, all else alike."""
    other = Policy(policy.world, policy.settings).to(policy.log_std.device)
    other.observation.load_state_dict(policy.observation.state_dict())
    return other


def warm_policy(run: str | Path, world: World, device: torch.device) -> Policy:
    """The run's policy, as a start in another world of the same robot.

    Raises:
        InputError: the world has another robot.
    """
    old = load_policy(run, device)
    old.check_robot(world.robot)
    policy = Policy(world, old.settings).to(device)
    policy.load_state_dict(old.state_dict())
    with torch.no_grad():
        # a settled policy hardly explores: give it back the noise it began with
        policy.log_std.clamp_(min=old.settings.log_std)
    return policy
