"""EpisodeTape: the messages of one episode, in memory until it is kept as a bag."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from irl_ros.demos.ball_flight import landed_inside, observe_landing
from irl_ros.demos.interpolation import Track
from irl_ros.demos.writer import EpisodeBagWriter
from irl_ros.sim.world import World

HIT = 0.10  # m


class SimulatedTime:
    """Sender's wall time → simulated time, by cause and effect rather than by who was scheduled first.

    A message belongs to the last tick of /clock sent before it. Read from arrival times, a command
    could fall on the wrong side of a tick: a whole control step where simulation runs as fast as it can.
    """

    def __init__(self) -> None:
        self._sent: list[int] = []
        self._ticks: list[int] = []

    def tick(self, sent: int, simulated: int) -> None:
        """A message on /clock: when it was sent (ns, wall) and what it says (ns)."""
        if not self._sent or sent > self._sent[-1]:
            self._sent.append(sent)
            self._ticks.append(simulated)

    def at(self, sent: int) -> int | None:
        """Simulated time of a message sent at `sent`, ns; None before the first tick."""
        index = bisect.bisect_right(self._sent, sent) - 1
        return self._ticks[index] if index >= 0 else None

    def forget(self, before: int) -> None:
        """Drop the ticks sent before `before`, ns, but the last one."""
        index = max(bisect.bisect_right(self._sent, before) - 1, 0)
        del self._sent[:index], self._ticks[:index]


class EpisodeTape:
    """Serialized messages in the order they came, each with a time in ns."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, str, bytes]] = []
        self._counts: Counter[str] = Counter()

    def add(self, time: int, topic: str, cdr: bytes) -> None:
        self._messages.append((time, topic, cdr))
        self._counts[topic] += 1

    def count(self, topic: str) -> int:
        """How many messages of one topic there are."""
        return self._counts[topic]

    def of(self, topic: str) -> list[bytes]:
        """The messages of one topic."""
        return [cdr for _, name, cdr in self._messages if name == topic]

    def timed(self, topic: str) -> list[tuple[int, bytes]]:
        """The messages of one topic, each with its time."""
        return [(time, cdr) for time, name, cdr in self._messages if name == topic]

    def save(
        self,
        path: Path,
        types: Mapping[str, str],
        clock: SimulatedTime | None,
        custom: Mapping[str, str] | None = None,
        storage: str = "mcap",
    ) -> Path:
        """Write a rosbag2 folder; it appears whole or not at all.

        Args:
            path: the folder.
            types: topic → message type, for all topics of the tape.
            clock: where time is simulated: translates the tape's times, which are then sending times.
            custom, storage: see `EpisodeBagWriter`.

        Raises:
            InputError: the folder exists or the disk refuses.
        """
        rows = []
        for time, topic, cdr in self._messages:
            stamp = time if clock is None else clock.at(time)
            if stamp is not None:
                rows.append((stamp, time, topic, cdr))
        with EpisodeBagWriter(path, types, storage, custom) as bag:
            for stamp, _, topic, cdr in sorted(rows, key=lambda row: row[:2]):
                bag.write(topic, types[topic], stamp, cdr)
        return path


def landing_error(world: World, ball: Track, released: float, target: np.ndarray) -> float:
    """Horizontal distance of the measured landing from the target, m.

    Infinite where none was seen, or where it was not in the world's bin.

    Args:
        world: the rules of flight.
        ball: samples of the episode, times in s.
        released: when the gripper was told to open, s, on the same clock.
        target: m, [3].
    """
    landing = observe_landing(world, ball.times, ball.x, ball.v, released, float(target[2]))
    if landing is None or not landing.observed:
        return float("inf")
    if not landed_inside(world, landing.position, target):
        return float("inf")
    return float(np.linalg.norm((landing.position - target)[:2]))
