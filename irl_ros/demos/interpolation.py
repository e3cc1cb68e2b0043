"""Between samples: cubic for motion, zero-order hold for commands, and velocity where nobody measured it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

JOINT_SPAN_S = 0.005
"""Joint velocities that nobody measured are differences over at least this time; encoders are good."""
BALL_SPAN_S = 0.03
"""The same for the ball: 1 mm of a tracker's noise becomes 0.1 m/s."""
_EPS = 1e-6  # s; stamps that differ by rounding are the same


@dataclass(frozen=True)
class Track:
    """Samples of something that moves.

    Attributes:
        times: s, strictly ascending, [K].
        x: positions, rad or m, [K, d].
        v: velocities, rad/s or m/s, [K, d].
    """

    times: np.ndarray
    x: np.ndarray
    v: np.ndarray

    @classmethod
    def of(cls, times: np.ndarray, x: np.ndarray, v: np.ndarray, span: float = JOINT_SPAN_S) -> Track:
        """Samples in order without doubles; velocities that are NaN become differences over `span` s."""
        times, keep = np.unique(times, return_index=True)
        x, v = x[keep], v[keep]
        unknown = np.isnan(v)
        if unknown.any():
            v = np.where(unknown, differentiate(times, x, span), v)
        return cls(times, x, v)

    def __len__(self) -> int:
        return len(self.times)

    def within(self, start: float, stop: float) -> Track:
        """The samples in [start, stop], s."""
        i, j = np.searchsorted(self.times, (start - _EPS, stop + _EPS))
        return Track(self.times[i:j], self.x[i:j], self.v[i:j])


def hermite(times: np.ndarray, x: np.ndarray, v: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cubic interpolation of x [K, d] with slopes v [K, d] at `at` [M], and linear interpolation of v.

    Exact for motion under constant acceleration. Outside `times` the nearest sample is held.
    """
    if len(times) == 1:
        return np.repeat(x, len(at), 0), np.repeat(v, len(at), 0)
    at = np.clip(at, times[0], times[-1])
    j = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    h = np.maximum(times[j + 1] - times[j], 1e-12)[:, None]
    s = (at - times[j])[:, None] / h
    x0, x1, v0, v1 = x[j], x[j + 1], v[j], v[j + 1]
    position = (
        (1 + 2 * s) * (1 - s) ** 2 * x0 + s**2 * (3 - 2 * s) * x1 + h * s * (1 - s) * ((1 - s) * v0 - s * v1)
    )
    return position, v0 + s * (v1 - v0)


def hold(times: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Index of the latest sample at or before each of `at` [M]; -1 where there is none yet."""
    return np.searchsorted(times, at + 1e-9, side="right") - 1


def differentiate(times: np.ndarray, x: np.ndarray, span: float) -> np.ndarray:
    """Velocity [K, d] of samples x [K, d] at `times` [K] from the past only, so that live and recorded data
    agree.

    The slope at the end of the parabola through three samples, each at least `span` s apart: second order
    like a central difference, and close samples do not blow up the noise.
    """
    j1 = np.searchsorted(times, times - span + 1e-9, side="right") - 1
    j2 = np.where(j1 >= 0, j1[j1], -1)
    t0, t1, t2 = times, times[j1], times[j2]
    first = (x - x[j1]) / np.where(j1 >= 0, t0 - t1, 1.0)[:, None]
    second = (x[j1] - x[j2]) / np.where(j2 >= 0, t1 - t2, 1.0)[:, None]
    bend = (first - second) / np.where(j2 >= 0, t0 - t2, 1.0)[:, None]
    slope = np.where((j2 >= 0)[:, None], first + bend * (t0 - t1)[:, None], first)
    return np.where((j1 >= 0)[:, None], slope, 0.0)
