"""The learned reward: g_ψ(s), a bounded function of ball and target, saved and loaded apart from all else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from irl_ros.errors import InputError
from irl_ros.networks import load_weights, save_weights, weights_sha256
from irl_ros.rewards.features import Features
from irl_ros.rewards.reward_net import RewardNet, RewardSettings
from irl_ros.settings import as_dict, build, load_yaml, save_yaml
from irl_ros.sim.state import State
from irl_ros.sim.world import World, load_world


class Reward(RewardNet):
    """g_ψ of a throw: features of ball and target, and a network on them. A State of shape [...] → [...].

    Args:
        world: gives flight rule and robot.
        settings: see RewardSettings.
    """

    def __init__(self, world: World, settings: RewardSettings | None = None) -> None:
        settings = settings or RewardSettings()
        features = Features(world, settings.features)
        super().__init__(features.size, world.action_dim, settings, features.place)
        self.world, self.features = world, features

    def forward(self, state: State, action: Tensor | None = None) -> Tensor:
        return self.of_features(self.features(state).float(), action)

    def save(self, run: Path) -> None:
        """Write reward.safetensors and reward.yaml into a RUN directory."""
        save_weights(self, run / "reward.safetensors")
        description = {
            "kind": self.settings.inputs,
            "settings": as_dict(self.settings),
            "learned_in": {"name": self.world.name, **as_dict(self.world.settings)},
            "sha256": weights_sha256(self),
        }
        save_yaml(run / "reward.yaml", description)


def load_reward(run: str | Path, world: World | None = None, device: torch.device | str = "cpu") -> Reward:
    """The frozen reward of a RUN directory.

    Args:
        run: the directory.
        world: where it will be used; default: where it was learned. It may have another robot.
        device: where its tensors live.

    Raises:
        InputError: no such bundle, or a damaged file.
    """
    run = Path(run)
    path = run / "reward.yaml"
    if not run.is_dir():
        raise InputError(run, "no such run directory", "give the --out of `irl-ros learn`")
    if not path.is_file():
        raise InputError(
            run, "holds no reward.yaml", "was it made by an algorithm that learns a reward (airl)?"
        )
    description = load_yaml(path)
    try:
        settings = build(RewardSettings, description["settings"], path, "settings.")
        keys = dict(description["learned_in"])
        name = keys.pop("name")
    except KeyError as error:
        raise InputError(
            path, f"lacks the key {error}", "write the bundle again with `irl-ros learn`"
        ) from None
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, "is damaged", "write the bundle again with `irl-ros learn`") from None
    reward = Reward(world or replace(load_world(keys), name=name), settings)
    load_weights(reward, run / "reward.safetensors", description.get("sha256"))
    return reward.to(device).eval().requires_grad_(False)
