"""The algorithms by name. A new one is a file of its own, a line in GAMES and its settings below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from irl_ros.irl.airl import AIRL, AIRLSettings
from irl_ros.irl.gail import GAIL, GAILSettings
from irl_ros.irl.gan_gcl import GANGCL, GANGCLSettings
from irl_ros.irl.gcl import GCL, GCLSettings
from irl_ros.irl.iq_learn import IQLearn, IQLearnSettings
from irl_ros.irl.maxent import MaxEnt, MaxEntSettings
from irl_ros.irl.ml_irl import MLIRL, MLIRLSettings
from irl_ros.irl.sac_airl import SACAIRL, SACAIRLSettings

GAMES: dict[str, Callable[..., Any]] = {
    "maxent": MaxEnt,
    "gcl": GCL,
    "airl": AIRL,
    "gail": GAIL,
    "gan_gcl": GANGCL,
    "sac_airl": SACAIRL,
    "ml_irl": MLIRL,
    "iq_learn": IQLearn,
}
"""Name → class, made as X(task, demonstrations, policy, reward, settings): see `irl.trainer.Algorithm`.

An object may say beside that `learns_reward = False`: it leaves none, and there is nothing to polish on."""
ALGORITHMS = (*GAMES, "bc")


@dataclass(frozen=True)
class AlgorithmSettings:
    """A field an algorithm, of its name; each has `iterations` (rounds) and `episodes` (made in a round)."""

    maxent: MaxEntSettings = field(default_factory=MaxEntSettings)
    gcl: GCLSettings = field(default_factory=GCLSettings)
    airl: AIRLSettings = field(default_factory=AIRLSettings)
    gail: GAILSettings = field(default_factory=GAILSettings)
    gan_gcl: GANGCLSettings = field(default_factory=GANGCLSettings)
    sac_airl: SACAIRLSettings = field(default_factory=SACAIRLSettings)
    ml_irl: MLIRLSettings = field(default_factory=MLIRLSettings)
    iq_learn: IQLearnSettings = field(default_factory=IQLearnSettings)
