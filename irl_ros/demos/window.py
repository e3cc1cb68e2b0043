"""The part of an episode that becomes a demonstration: `horizon` control steps around the release."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAD = 2
"""Control steps of rest kept before the motion begins."""
TAIL = 5
"""Control steps of the landed ball at rest kept inside the horizon."""
REST_RUN = 5
"""Control steps the arm stands still to count as resting; a throw that swings back passes through a stop."""
REST_SPEED = 0.02
"""Share of its velocity limit below which a joint stands still."""


@dataclass(frozen=True)
class Window:
    """Which control steps of an episode are kept. Steps count from the release (or from the episode's start).

    Attributes:
        start: first step of the window.
        cut_front: steps of the episode before it.
        cut_motion: those of them in which the throw was already under way.
        cut_back: steps of the episode after the window.
        padded: steps at its end that the episode does not have, filled with rest.
    """

    start: int
    cut_front: int
    cut_motion: int
    cut_back: int
    padded: int


def choose_window(
    resting: np.ndarray, first: int, release: int | None, landing: int | None, horizon: int
) -> Window:
    """The window of an episode that has the control steps first … first + len(resting) − 1.

    It starts a little before the motion's onset if the landing then still fits into the horizon; otherwise it
    is cut from the front until the landing and a few steps of rest are inside. The release is inside in any
    case.

    Args:
        resting: the arm stands still at that step, bool [K].
        release, landing: their steps; None when there was none.
        horizon: steps to keep.
    """
    last = first + len(resting) - 1
    onset = first + _onset(resting, None if release is None else release - first)
    wanted = max(onset - LEAD, first)
    start = wanted
    if release is not None and landing is not None:
        start = max(start, min(landing + TAIL - horizon, max(release - LEAD, first)))
    end = start + horizon
    return Window(
        start=start,
        cut_front=start - first,
        cut_motion=max(start - onset, 0),
        cut_back=max(last - end, 0),
        padded=max(end - last, 0),
    )


def _onset(resting: np.ndarray, release: int | None) -> int:
    """Index of the last step at rest before the throw; 0 when the episode begins in motion."""
    moving = np.flatnonzero(~resting)
    if release is None:  # nothing was thrown: from the first motion on
        return max(int(moving[0]) - 1, 0) if len(moving) else 0
    run = 0
    onset = 0
    for i, still in enumerate(resting[: max(release, 0)]):
        run = run + 1 if still else 0
        if run >= REST_RUN or run == i + 1:
            onset = i
    return onset
