"""What a person does wrong: late, tired, trembling, a little different every time. Correlated, never white.

White noise on actions is averaged away by anyone who imitates; what people do is not. Most faults here belong
to a whole throw (its strength, its release) and follow the throw before; within one they are band-limited.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
PERSON_STREAM = 7919  # people and targets of the same seed are not to be drawn from the same numbers


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
    aim_bias: float = 0.042
    """Standard deviation of the aim's slow walk around the target, each way."""
    strength_error: float = 0.06
    """Standard deviation of the swing's strength, as a share."""
    synergy_error: float = 0.035
    """Standard deviation of each joint's share of the swing."""
    release_error: float = 0.04
    """Standard deviation of the release at middling speed; quick swings are released less precisely."""
    tempo_error: float = 0.02
    """Standard deviation of the pace, as a share."""
    fatigue: float = 0.002
    """Share of freshness lost with each throw."""
    miss_probability: float = 0.1
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


def load_operator(preset: str | Path = "default") -> OperatorSettings:
    """The settings of a preset in config/operators.yaml, or of a YAML file that holds one.

    Raises:
        InputError: there is no such preset or file, or it is wrong.
    """
    if Path(preset).suffix in (".yaml", ".yml"):
        return build(OperatorSettings, load_yaml(Path(preset)), preset)
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
        release: how much later than meant the hand opens in a swing of middling speed, s, [...].
        tremor, wander: amplitude (share of full stick), frequency (Hz), phase (rad), [..., 3, WAVES, n].
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


class Drift:
    """A quantity of standard deviation 1 that wanders from throw to throw.

    People see where the ball lands and over-correct, so it swings slowly around 0: an autoregressive
    process of second order, x_k = 2 ρ cos θ x_{k−1} − ρ² x_{k−2} + ε, correlated by 0.69 from throw to throw.

    Args:
        shape: of the quantity.
        generator: where chance comes from.
    """

    damping, angle = 0.8, 2.0 * math.pi / 8.0

    def __init__(self, shape: tuple[int, ...], generator: torch.Generator) -> None:
        self._shape, self._generator = shape, generator
        r2 = self.damping**2
        gain = (1.0 + r2) / ((1.0 - r2) * (1.0 + r2 * r2 - 2.0 * r2 * math.cos(2.0 * self.angle)))
        self._noise = 1.0 / math.sqrt(gain)
        self._before = self._now = torch.zeros(shape)
        for _ in range(30):  # forgets where it began
            self.next()

    def next(self) -> Tensor:
        """Its value in the next throw."""
        pull = 2.0 * self.damping * math.cos(self.angle) * self._now - self.damping**2 * self._before
        noise = self._noise * torch.randn(self._shape, generator=self._generator)
        self._before, self._now = self._now, pull + noise
        return self._now


class Person:
    """Draws the faults of one throw after another; what lasts from throw to throw lives here.

    Args:
        settings: how good and how tired.
        joints: number of joints.
        seed: the same person on the same day.
    """

    def __init__(self, settings: OperatorSettings, joints: int, seed: int) -> None:
        self.settings, self.joints = settings, joints
        self.generator = torch.Generator().manual_seed(seed + PERSON_STREAM)
        self.throws = 0
        self._next_miss, self._block_end = -1, 0.0
        self._aim, self._strength, self._timing = (Drift(shape, self.generator) for shape in ((2,), (), ()))

    @property
    def tiredness(self) -> float:
        """0 fresh, towards 1 exhausted."""
        return 1.0 - (1.0 - min(self.settings.fatigue, 1.0)) ** self.throws

    def next_throw(self) -> Faults:
        """The faults of the next throw; leading shape []."""
        s, tired = self.settings, self.tiredness
        clumsy = 2.0 * (1.0 - s.skill) * (1.0 + tired)
        aim, vigour = self._aim.next(), self._strength.next()
        # a swing that comes out strong runs away from the hand that should open: correlated by 0.5
        timing = 0.5 * vigour + 0.866 * self._timing.next()
        weak, mistimed = self._miss(tired)
        self.throws += 1
        return Faults(
            reaction=s.reaction * (s.reaction_spread * self._normal() + 0.2 * tired).exp(),
            aim=clumsy * s.aim_bias * aim,
            strength=1.0 + clumsy * s.strength_error * vigour - 0.10 * tired - weak,
            synergy=1.0 + clumsy * s.synergy_error * self._normal(self.joints),
            pace=(1.0 + clumsy * s.tempo_error * self._normal()).clamp(0.8, 1.2) * (1.0 + 0.08 * tired),
            release=clumsy * s.release_error * timing + mistimed,
            tremor=self._waves(s.tremor * (1.0 + 2.0 * tired), TREMOR_BAND),
            wander=self._waves(s.wander * clumsy, WANDER_BAND),
        )

    def _miss(self, tired: float) -> tuple[float, float]:
        """Strength lost (share) and release error (s) of a gross miss; zeros in the other throws.

        Who has just missed takes care: there is one miss in every 1 / probability throws.
        """
        probability = min(self.settings.miss_probability * (1.0 + tired), 1.0)
        place, kind, size = self._uniform(3).tolist()
        if probability > 0 and self.throws >= self._block_end:
            length = 1.0 / probability
            self._next_miss = int(self._block_end + place * length)
            self._block_end += length
        if self.throws != self._next_miss:
            return 0.0, 0.0
        if kind < 0.4:
            return 0.25 + 0.25 * size, 0.0
        return (0.0, -0.12 - 0.08 * size) if kind < 0.75 else (0.0, 0.05 + 0.05 * size)

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
