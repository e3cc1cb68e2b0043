"""The settings of `bench`: one set for every Gymnasium environment and every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irl_ros.irl.algorithms import AlgorithmSettings
from irl_ros.irl.bc import BCSettings
from irl_ros.irl.reoptimise import ReoptimiseSettings
from irl_ros.irl.trainer import TrainerSettings
from irl_ros.resources import share_directory
from irl_ros.rewards.reward_net import RewardSettings
from irl_ros.rl.mlp_agent import AgentSettings
from irl_ros.settings import as_dict, build, load_yaml, override


@dataclass(frozen=True)
class BenchSettings(AlgorithmSettings):
    """The keys of `--config` and `--set`. Their values are those of config/bench.yaml.

    The defaults of the classes are for throws: short, nearly deterministic and demonstrated by people.
    """

    agent: AgentSettings = field(default_factory=AgentSettings)
    """Policies: the expert's and the learners'."""
    reward: RewardSettings = field(default_factory=RewardSettings)
    bc: BCSettings = field(default_factory=BCSettings)
    warm_start: bool = False
    """Algorithms begin with the clone. Off: as the published tables were made."""
    expert: ReoptimiseSettings = field(default_factory=ReoptimiseSettings)
    """Reinforcement learning on the environment's reward, until the stated return."""
    fresh: ReoptimiseSettings = field(default_factory=ReoptimiseSettings)
    """Reinforcement learning of an untrained policy on the frozen learned reward."""
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


def bench_settings(config: str | Path | None = None, overrides: Sequence[str] = ()) -> BenchSettings:
    """config/bench.yaml, with the keys of `config` and then `key=value` overrides in place of its own.

    Raises:
        InputError: an unknown key or a wrong value.
    """
    shipped = share_directory() / "config" / "bench.yaml"
    base = build(BenchSettings, load_yaml(shipped), shipped)
    changes = override(load_yaml(Path(config)) if config else {}, list(overrides))
    return build(BenchSettings, changes, config or "--set", base=base)


def settings_of(settings: BenchSettings, algo: str) -> dict[str, Any]:
    """The part of the settings that decides what comes of one algorithm, as plain values."""
    keys = ["agent", "reward", "fresh", "warm_start", algo]
    if algo == "bc":
        keys = ["agent", "bc"]
    elif settings.warm_start:
        keys.append("bc")
    every = as_dict(settings)
    return {key: every[key] for key in keys}
