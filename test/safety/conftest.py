"""Arms to judge the filter on: integrated here, in plain numpy, and read back as joint states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from irl_ros.safety import Decision, JointReading, SafetyFilter, SafetySettings
from irl_ros.sim import World

FINE = 20
"""Parts of a period in which arms are integrated."""


class Arm:
    """An arm that takes velocity commands in one of several manners.

    held: it has the commanded velocity at once. line: it gets there in a straight line over the period.
    ramp: it accelerates as hard as it may and then holds the commanded velocity, as the simulated ones do.
    """

    def __init__(self, world: World, manner: str, q: np.ndarray | None = None) -> None:
        self.world, self.manner = world, manner
        self.q = (world.home if q is None else q).astype(float).copy()
        self.qd, self.now = np.zeros(world.robot.n), 0.0
        self.farthest = np.full(world.robot.n, -np.inf)

    def follow(self, velocity: np.ndarray, period: float | None = None) -> None:
        """One period, s, under a command, rad/s [n]."""
        period = self.world.dt if period is None else period
        begin, h = self.qd.copy(), period / FINE
        for k in range(1, FINE + 1):
            before = self.qd
            if self.manner == "held":
                before = self.qd = velocity.copy()
            elif self.manner == "line":
                self.qd = begin + (velocity - begin) * k / FINE
            else:
                reach = self.world.acceleration * h
                self.qd = self.qd + np.clip(velocity - self.qd, -reach, reach)
            self.q = self.q + 0.5 * h * (before + self.qd)
            outside = np.maximum(self.world.robot.lower - self.q, self.q - self.world.robot.upper)
            self.farthest = np.maximum(self.farthest, outside)
        self.now += period

    def reading(self) -> JointReading:
        return JointReading(self.world.robot.joints, self.q.copy(), self.qd.copy(), self.now)


class Watch:
    """Keeps a filter's decisions to account: each against the limits and the one before."""

    def __init__(self, limited: SafetyFilter) -> None:
        self.filter, n = limited, limited.world.robot.n
        self.v, self.a = np.zeros(n), np.zeros(n)

    def __call__(self, decision: Decision) -> Decision:
        world, v = self.filter.world, decision.velocity
        for part in (v, decision.action, decision.position):
            assert part is None or np.isfinite(part).all()
        assert (np.abs(v) <= world.velocity).all()
        assert (np.abs(decision.action) <= 1).all()
        assert 0 <= decision.dt <= self.filter.period
        if decision.dt == 0:
            assert (v == self.v).all()
            return decision
        a = (v - self.v) / decision.dt
        assert (np.abs(a) <= world.acceleration * (1 + 1e-9)).all()
        assert (np.abs(a - self.a) <= self.filter.jerk * decision.dt * (1 + 1e-9) + 1e-9).all()
        self.v, self.a = v, a
        if decision.stop is not None:
            assert not decision.release and decision.action[-1] < 0
        return decision


@pytest.fixture(scope="session")
def enabled() -> Callable[..., SafetyFilter]:
    """enabled(world, **settings): a filter that lets commands pass."""

    def make(world: World, **settings: object) -> SafetyFilter:
        limited = SafetyFilter(world, SafetySettings(**settings))
        assert limited.enable() is None
        return limited

    return make


@pytest.fixture(scope="session")
def make_arm() -> type[Arm]:
    return Arm


@pytest.fixture(scope="session")
def watch() -> type[Watch]:
    return Watch
