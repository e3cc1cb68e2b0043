"""What a device says: a wish for the arm, and orders for everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from irl_ros.errors import InputError, unknown_name

ORDERS = ("start", "keep", "success", "failure", "discard", "withdraw", "new_ball", "quit")
"""start, keep (as the landing was measured), success or failure (as the person judges), discard the open
episode, withdraw the last kept one, hand a new ball, end."""


@dataclass(frozen=True)
class Wish:
    """What the arm is to do now.

    Attributes:
        velocity: of the joints, as a share of the world's limits, in [-1, 1], [n].
        held: the deadman is held.
        release: the hand is to be open.
        home: instead of `velocity`, go to where throws start.
    """

    velocity: np.ndarray
    held: bool
    release: bool = False
    home: bool = False


class Device(Protocol):
    """A device a person moves the arm with."""

    def wish(self, q: np.ndarray, now: float) -> Wish:
        """The wish at `now`, s, of an arm at q, rad, [n]."""
        ...

    def orders(self) -> list[str]:
        """The orders given since the last call, in their order."""
        ...


@dataclass(frozen=True)
class Motion:
    """What an axis or a key moves at full deflection: `joints` or `twist`, and the other one empty."""

    joints: tuple[float, ...] = ()
    """Share of each joint's velocity limit, [n]."""
    twist: tuple[float, ...] = ()
    """Velocity of the tool point, m/s along x, y, z and rad/s about them, in the world frame, [6]."""

    def __post_init__(self) -> None:
        if bool(self.joints) == bool(self.twist):
            raise ValueError("needs either joints or twist")
        if self.twist and len(self.twist) != 6:
            raise ValueError(f"twist: has {len(self.twist)} values, needs x y z and the turns about them")
        if any(abs(share) > 1.0 for share in self.joints):
            raise ValueError("joints: shares of the velocity limit lie in [-1, 1]")


def check_orders(names: object, where: str) -> None:
    """Refuse orders that there are not.

    Raises:
        InputError: with the nearest right name.
    """
    for name in names:  # type: ignore[attr-defined]
        if name not in ORDERS:
            raise InputError(where, *unknown_name("order", name, ORDERS))
