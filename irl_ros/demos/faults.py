"""What a person does wrong: late, tired, trembling, a little different every time. Correlated, never white.

White noise on actions is averaged away by anyone who imitates; what people do is not. Most faults here belong to
a whole throw (its strength, its release) and follow the throw before; within a throw they are band-limited.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.demos.habit import STYLES
from irl_ros.errors import InputError, unknown_name
from irl_ros.resources import share_directory
from irl_ros.settings import build, load_yaml

TREMOR_BAND = (8.0, 12.0)
"""Physiological tremor of the hand, Hz."""
WANDER_BAND = (0.8, 3.0)
"""Slow corrections and drift of the stick, Hz."""
WAVES = 4


@dataclass(frozen=True)
class OperatorSettings:
    """A person at the joystick (the keys of a preset in config/operators.yaml). Times in s, lengths in m."""

    style: str = "natural"
    """natural (what suits the arm), underhand, overhand, or mixed (one of the two for each throw)."""
    skill: float = 0.5
    """0 a novice, 1 never errs: scales all random errors but tremor and misses; 0.5 as given below."""
    tempo: float = 1.0
    """Pace of the swing; 1 releases about 0.6 s after onset."""
    reaction: float = 0.25
    """From seeing the target to moving, and from seeing an error of the arm to correcting it."""
    reaction_spread: float = 0.15
    """Its variation from throw to throw, as a share."""
    command_delay: float = 0.04
    """From the hand to the command topic."""
    correction: float = 1.0
    """How strongly seen joint errors are corrected, 1/s."""
    tremor: float = 0.008
    """Amplitude as a share of full stick."""
    wander: float = 0.02
    """Amplitude of slow stick errors as a share of full stick."""
    aim_bias: float = 0.035
    """Standard deviation of the aim's slow walk around the target, each way."""
    strength_error: float = 0.04
    """Standard deviation of the swing's strength, as a share."""
    synergy_error: float = 0.03
    """Standard deviation of each joint's share of the swing."""
    release_error: float = 0.03
    """Standard deviation of the release at middling speed; quick swings are released less precisely."""
    tempo_error: float = 0.02
    """Standard deviation of the pace, as a share."""
    fatigue: float = 0.005
    """Share of freshness lost with each throw."""
    miss_probability: float = 0.08
    """Gross misses: released far too early or late, or thrown weakly."""
    rest_before: float = 0.4
    rest_after: float = 0.6

    def __post_init__(self) -> None:
        if self.style not in (*STYLES, "mixed"):
            raise InputError("operator", *unknown_name("style", self.style, [*STYLES, "mixed"]))
        for key in ("skill", "miss_probability"):
            if not 0 <= getattr(self, key) <= 1:
                raise InputError("operator", f"{key}: must be between 0 and 1, found {getattr(self, key)}")
        if not 0.6 <= self.tempo <= 1.5:
            raise InputError("operator", f"tempo: must be between 0.6 and 1.5, found {self.tempo}")
        for key, value in self.__dict__.items():
            if isinstance(value, float) and (not math.isfinite(value) or value < 0):
                raise InputError("operator", f"{key}: must not be negative, found {value}")


def load_operator(preset: str = "default") -> OperatorSettings:
    """The settings of a preset in config/operators.yaml.

    Raises:
        InputError: there is no such preset, or the file is wrong.
    """
    path = share_directory() / "config" / "operators.yaml"
    presets = load_yaml(path)
    if preset not in presets:
        raise InputError(path, *unknown_name("operator", preset, presets))
    return build(OperatorSettings, presets[preset] or {}, f"{path}: {preset}")


@dataclass(frozen=True)
class Faults:
    """What goes wrong in one throw (or in N, stacked).

    Attributes:
        reaction: s, [...].
        aim: where the person aims, seen from the target: along and across the throw, m, [..., 2].
        strength: factor on the thrust, [...].
        synergy: factor on each joint's share, [..., n].
        pace: factor on all durations, [...].
        release: how much later than meant the hand opens, s, [...].
        tremor, wander: waves: amplitude (share of full stick), frequency (Hz), phase (rad), [..., 3, WAVES, n].
    """

    reaction: Tensor
    aim: Tensor
    strength: Tensor
    synergy: Tensor
    pace: Tensor
    release: Tensor
    tremor: Tensor
    wander: Tensor

    @classmethod
    def stack(cls, items: Sequence[Faults]) -> Faults:
        """Faults of several throws along a new first leading dimension."""
        names = [f.name for f in dataclasses.fields(cls)]
        return cls(**{n: torch.stack([getattr(i, n) for i in items]) for n in names})


class Person:
    """Draws the faults of one throw after another; what lasts from throw to throw lives here.

    Args:
        settings: how good and how tired.
        joints: number of joints.
        seed: the same person on the same day.
    """

    memory = 0.8
    """Correlation of aim, strength and release from one throw to the next."""

    def __init__(self, settings: OperatorSettings, joints: int, seed: int) -> None:
        self.settings, self.joints = settings, joints
        self.generator = torch.Generator().manual_seed(seed)
        self.throws = 0
        self._aim, self._strength, self._timing = self._normal(2), self._normal(), self._normal()

    @property
    def tiredness(self) -> float:
        """0 fresh, towards 1 exhausted."""
        return 1.0 - (1.0 - min(self.settings.fatigue, 1.0)) ** self.throws

    def next_throw(self) -> Faults:
        """The faults of the next throw; leading shape []."""
        s, tired = self.settings, self.tiredness
        clumsy = 2.0 * (1.0 - s.skill) * (1.0 + tired)
        self._aim = self._walk(self._aim)
        self._strength = self._walk(self._strength, 0.4)
        # a swing that comes out strong runs away from the hand that should open: correlated by 0.5
        self._timing = 0.5 * self._strength + 0.866 * self._walk(self._timing, 0.4)
        strength = 1.0 + clumsy * s.strength_error * self._strength - 0.10 * tired
        release = clumsy * s.release_error * self._timing
        miss = self._uniform()
        kind, size = self._uniform(), self._uniform()
        if miss < s.miss_probability * (1.0 + tired):
            if kind < 0.35:
                release = release - 0.12 - 0.08 * size
            elif kind < 0.6:
                release = release + 0.05 + 0.05 * size
            else:
                strength = strength - 0.25 - 0.25 * size
        self.throws += 1
        return Faults(
            reaction=s.reaction * (s.reaction_spread * self._normal() + 0.2 * tired).exp(),
            aim=clumsy * s.aim_bias * self._aim,
            strength=strength,
            synergy=1.0 + clumsy * s.synergy_error * self._normal(self.joints),
            pace=(1.0 + clumsy * s.tempo_error * self._normal()).clamp(0.8, 1.2) * (1.0 + 0.08 * tired),
            release=release,
            tremor=self._waves(s.tremor * (1.0 + 2.0 * tired), TREMOR_BAND),
            wander=self._waves(s.wander * clumsy, WANDER_BAND),
        )

    def _walk(self, value: Tensor, memory: float | None = None) -> Tensor:
        """One step of a random walk that is drawn back to 0 and keeps a standard deviation of 1."""
        m = self.memory if memory is None else memory
        return m * value + math.sqrt(1.0 - m * m) * self._normal(*value.shape)

    def _waves(self, amplitude: float, band: tuple[float, float]) -> Tensor:
        shape = (WAVES, self.joints)
        size = amplitude * math.sqrt(2.0 / WAVES) * self._normal(*shape).abs()
        frequency = band[0] + (band[1] - band[0]) * self._uniform(*shape)
        return torch.stack((size, frequency, 2.0 * math.pi * self._uniform(*shape)))

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)


def waves_at(waves: Tensor, t: Tensor) -> Tensor:
    """Value of waves [..., 3, WAVES, n] at times t [...] (s), [..., n]."""
    size, frequency, phase = waves.unbind(-3)
    return (size * torch.sin(2.0 * math.pi * frequency * t[..., None, None] + phase)).sum(-2)
