"""One clock for a recording: the one that stamps joint_states.

A bag knows two times of a message: when it was received (the recorder's clock) and, for stamped messages,
when it was measured (header.stamp, which is simulation time under use_sim_time). Commands have no stamp. So
receive times are carried over to the joints' clock along the joint_states messages, which have both.
"""

from __future__ import annotations

import numpy as np

SAME_CLOCK_S = 1.0
"""A stamp further than this from its receive time comes from another clock."""
LATCHED_S = 86400.0
"""A latched message (target, episode) may be older than its receive time, but not by more than a day."""
SKEW_S = 0.1
"""Clocks of two computers that differ by less are not told from a message's way through the network."""
_WINDOW = 11  # messages in the running median that takes the network's jitter out
_SET_BACK_S = 0.1  # stamps that go back this far are no late messages: the clock was set
_LEAP_S = 1.0  # and so are stamps that leap this far ahead of what the receive times explain


class Clock:
    """Receive times → the clock of the joint_states headers, in s since the recording's first joint state.

    Where that clock was set while recording (a simulation that starts again, a computer that corrects its
    time), it is taken to have gone on at its own rate; so all times ascend.

    Args:
        received: receive times of joint_states, ns, ascending [K].
        stamped: their header stamps, ns [K]; all zero where the driver does not stamp.

    Attributes:
        unstamped: the receive times stand for the stamps.
        jumps: how often the clock was set.
    """

    def __init__(self, received: np.ndarray, stamped: np.ndarray) -> None:
        self.unstamped = not np.count_nonzero(stamped) > len(stamped) / 2
        if self.unstamped:
            stamped = received
        self._received0, self._stamped0 = int(received[0]), int(stamped[0])
        self._received = (received - self._received0) * 1e-9
        seconds = (stamped - self._stamped0) * 1e-9
        leaps = _leaps(self._received, seconds)
        self.jumps = len(leaps)
        # stamps of each span between two jumps, moved so that the spans follow each other
        self._moved = np.concatenate(([0.0], np.cumsum([-leap for _, leap in leaps])))
        span = np.searchsorted([at for at, _ in leaps], np.arange(len(seconds)), side="right")
        self._shift = _running_median(seconds + self._moved[span] - self._received)

    def from_received(self, received: np.ndarray) -> np.ndarray:
        """Receive times, ns [M], on the joints' clock, s [M]."""
        seconds = (np.asarray(received, dtype=np.int64) - self._received0) * 1e-9
        return seconds + np.interp(seconds, self._received, self._shift)

    def from_stamps(self, stamped: np.ndarray, received: np.ndarray, latched: bool = False) -> np.ndarray:
        """Header stamps, ns [M], on the joints' clock, s [M].

        A message whose stamp cannot come from the joints' clock (unset, or wall time beside simulation time)
        is placed by its receive time instead; the stamps of another computer's clock are moved by its `skew`.

        Args:
            latched: the topic is transient local, so a message may be much older than its arrival. One that
                was stamped as it was received came at once, and its receive time is as good as its stamp.
        """
        stamped, received = np.asarray(stamped, dtype=np.int64), np.asarray(received, dtype=np.int64)
        seconds, early = self._nearest(stamped, received)
        if latched:
            at_once = np.abs(stamped - received) * 1e-9 < SKEW_S
            known = (stamped != 0) & (early > -SKEW_S) & (early < LATCHED_S) & ~at_once
        else:
            known = (stamped != 0) & (np.abs(early) < SAME_CLOCK_S)
            seconds = seconds + self.skew(stamped, received)
        return np.where(known, seconds, self.from_received(received))

    def skew(self, stamped: np.ndarray, received: np.ndarray) -> float:
        """How far a stamped topic's clock is behind the joints', s; 0 below SKEW_S.

        Args:
            stamped, received: header stamps and receive times, ns [M].
        """
        early = self._nearest(stamped, received)[1][np.asarray(stamped) != 0]
        early = early[np.abs(early) < SAME_CLOCK_S]
        skew = float(np.median(early)) if len(early) else 0.0
        return skew if abs(skew) > SKEW_S else 0.0

    def _nearest(self, stamped: np.ndarray, received: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stamps on the joints' clock, s [M], in that span between jumps in which each is nearest to its
        arrival; and how long before their arrival that is, s [M]."""
        arrived = self.from_received(received)
        spans = ((np.asarray(stamped, dtype=np.int64) - self._stamped0) * 1e-9)[:, None] + self._moved
        nearest = np.abs(spans - arrived[:, None]).argmin(-1)
        seconds = spans[np.arange(len(spans)), nearest]
        return seconds, arrived - seconds


def _leaps(received: np.ndarray, stamped: np.ndarray) -> list[tuple[int, float]]:
    """Where the stamps' clock was set: index of the first stamp after it, and by how much, s."""
    if len(received) < 3:
        return []
    passed, step = np.diff(received), np.diff(stamped)
    typical = float(np.median(passed)), float(np.median(step))
    # a simulation runs at a speed of its own, and may stand still: only what that cannot explain is a jump
    rate = max(typical[1] / typical[0], 1.0) if typical[0] > 0 else np.inf
    set_back = step < -_SET_BACK_S
    leapt = step - _LEAP_S > 3.0 * rate * passed if np.isfinite(rate) else np.zeros_like(set_back)
    expected = np.maximum(passed, max(typical[1], 0.0))
    return [(int(i) + 1, float(step[i] - expected[i])) for i in np.flatnonzero(set_back | leapt)]


def _running_median(x: np.ndarray) -> np.ndarray:
    half = min(_WINDOW, len(x) - (len(x) + 1) % 2) // 2
    if half < 1:
        return x
    inner = np.median(np.lib.stride_tricks.sliding_window_view(x, 2 * half + 1), axis=-1)
    ends = (
        [np.median(x[: 2 * k + 1]) for k in range(half)],
        [np.median(x[-2 * k - 1 :]) for k in range(half)][::-1],
    )
    return np.concatenate((ends[0], inner, ends[1]))
