"""Measures how long a gripper takes to let go: the hand opens, and the ball's fall tells when it left."""

from __future__ import annotations

import numpy as np
from rclpy.task import Future

from irl_ros.nodes.arm_link import ArmLink
from irl_ros.safety import StopReason
from irl_ros.sim.reference import Flight

FALL = (0.01, 0.15)
"""m; a ball that fell less may hang on a finger, one that fell more may lie on something."""
_LONGEST = 3.0  # s for a ball to fall


def leaving_time(times: np.ndarray, heights: np.ndarray, gravity: float) -> float:
    """When a ball began to fall, s; NaN where it did not.

    Args:
        times: of the samples, s, [M], from before the fall on.
        heights: m, [M]; the first is where it was held.
        gravity: m/s².
    """
    fallen = heights[0] - heights
    clear = np.flatnonzero(fallen > FALL[0])
    if not len(clear):
        return float("nan")
    some = clear[(fallen[clear] <= FALL[1]) & (clear < clear[0] + 20)]
    if not len(some):
        some = clear[:1]
    return float(np.median(times[some] - np.sqrt(2.0 * fallen[some] / gravity)))


class GripperTrial:
    """Opens the gripper of an arm at rest when the next state comes, as a throw does, and watches the ball.

    Attributes:
        over: its result is the delay from the stamp of that state to the ball's leaving, s; NaN where it did
            not fall.
    """

    def __init__(self, link: ArmLink) -> None:
        self._link, self.over = link, Future()
        self._opened: float | None = None
        self._samples: list[tuple[float, float]] = []
        link.begin()
        link.hold(StopReason.DISABLED)

    def on_state(self) -> None:
        """A new state: open, or look at the ball."""
        if self.over.done():
            return
        now = self._link.time
        if self._opened is None:
            self._opened = now
            self._link.move_gripper(True)
        self._link.hold(
            StopReason.DISABLED
        )  # stays where it is; in lock-step, the answer that makes the next step
        if self._link.ball is not None and (not self._samples or self._link.ball[0] > self._samples[-1][0]):
            self._samples.append(self._link.ball)
        fallen = bool(self._samples) and self._samples[0][1] - self._samples[-1][1] > FALL[1]
        if fallen or now - self._opened > _LONGEST:
            self._finish()

    def _finish(self) -> None:
        times, heights = np.array(self._samples or [(0.0, 0.0)]).T
        left = leaving_time(times, heights, Flight(self._link.world).g)
        self.over.set_result(left - self._opened)

    def stop(self) -> None:
        """Give up; the arm is at rest anyway."""
        if not self.over.done():
            self.over.set_result(float("nan"))
