"""Leader: a small arm moved by hand, which the big one follows joint by joint, matched by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from irl_ros.errors import InputError, unknown_name
from irl_ros.settings import at_least
from irl_ros.sim.world import World
from irl_ros.teleop.drive import within
from irl_ros.teleop.wish import Wish

_SPAN = 0.01  # s; the leader's velocity is a difference over at least this: messages may come in a bunch


@dataclass(frozen=True)
class LeaderSettings:
    """The keys of config/teleop/leader.yaml."""

    joints: dict[str, str] = field(default_factory=dict)
    """The arm's joint → the leader's joint that moves it; those left out: of the same name."""
    scale: dict[str, float] = field(default_factory=dict)
    """The arm's joint → its radians for one of the leader's (negative: turned round); those left out: 1."""
    gripper: str = ""
    """The leader's joint that holds the ball; "": a key or button does."""
    gripper_open: float = 0.02
    """The ball is let go where that joint is above this."""
    gain: float = 8.0
    """How fast a distance between the arms closes, 1/s."""
    timeout: float = 0.2
    """s without a message after which the arm stops."""

    def __post_init__(self) -> None:
        at_least(self, 0.0, "gain")
        at_least(self, 0.01, "timeout")


class Leader:
    """See `Device`. While coupled, the arm moves as the leader has moved since: no leap where they differ.

    Args:
        settings: the mapping.
        world: the arm.
        where: file that errors name.

    Attributes:
        engaged: the arms are coupled; a person says so.

    Raises:
        InputError: the mapping names joints the arm does not have.
    """

    def __init__(self, settings: LeaderSettings, world: World, where: object = "leader") -> None:
        self.settings, self.world, self.engaged = settings, world, False
        arm = world.robot.joints
        for joint in (*settings.joints, *settings.scale):
            if joint not in arm:
                raise InputError(where, *unknown_name("joint of the arm", joint, arm))
        self._names = [settings.joints.get(joint, joint) for joint in arm]
        self._scale = np.array([settings.scale.get(joint, 1.0) for joint in arm])
        self._q: np.ndarray | None = None
        self._v, self._anchor = np.zeros(len(arm)), (np.zeros(len(arm)), -math.inf)
        self._heard = -math.inf
        self._coupled: tuple[np.ndarray, np.ndarray] | None = None
        self._open = False

    def hear(self, names: Sequence[str], positions: Sequence[float], now: float) -> None:
        """A joint_states message of the leader that came at `now`, s; of others: ignored."""
        found = dict(zip(names, positions))
        if self.settings.gripper in found:
            self._open = found[self.settings.gripper] > self.settings.gripper_open
        if not set(self._names) <= found.keys():
            return
        q = self._scale * np.array([found[name] for name in self._names], dtype=float)
        passed = now - self._heard
        if not np.isfinite(q).all() or passed <= 0.0:
            return
        self._q, self._heard = q, now
        before, since = self._anchor
        if passed > self.settings.timeout:
            self._v, self._anchor = np.zeros_like(q), (q, now)
        elif now - since >= _SPAN:
            self._v, self._anchor = (q - before) / (now - since), (q, now)

    def uncouple(self) -> None:
        """The arm moves by itself: when the leader has it again, it goes on from there."""
        self._coupled = None

    def wish(self, q: np.ndarray, now: float) -> Wish:
        fresh = self._q is not None and now - self._heard <= self.settings.timeout
        if not self.engaged or not fresh:
            self._coupled = None
            return Wish(np.zeros(len(self._scale)), False, self._open)
        assert self._q is not None
        if self._coupled is None:
            self._coupled = self._q, q
        leader, arm = self._coupled
        behind = self._q - leader + (arm - q)
        velocity = self._v + self.settings.gain * behind
        return Wish(within(self.world.action(velocity)), True, self._open)

    def orders(self) -> list[str]:
        return []
