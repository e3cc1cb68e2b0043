"""What an episode is and what was done to make a demonstration of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TopicAudit:
    """How a topic was recorded during an episode.

    Attributes:
        count: messages.
        rate: per s; 0 for fewer than two messages.
        gap: the longest time without one, s.
    """

    count: int
    rate: float
    gap: float


@dataclass(frozen=True)
class EpisodeAudit:
    """What an episode is and what was done to make a demonstration of it.

    Attributes:
        source: bag path # episode.
        duration: of the recorded episode, s.
        label: "success", "failure" or "" as the operator or recorder judged it.
        skipped: why it is no demonstration; "" when it is one.
        released: the ball left the hand.
        release_delay: s from the command to open until the ball was free; NaN when not seen.
        landing_error: horizontal distance of the measured landing from the target, m; infinite when it did
            not land, or not in the world's bin.
        landing_observed: the ball was tracked to the ground; otherwise its landing is predicted.
        actions_inferred, command_delay, action_residual, actions_clipped: see `JointActions`.
        velocities_recorded: False when joint velocities were differentiated from positions.
        start: of the demonstration's window, s since the bag's first joint state.
        cut_front, cut_motion, cut_back, padded: s; see `Window`.
        topics: role → how it was recorded.
        other_joints: joints in joint_states that are not this robot's.
    """

    source: str
    duration: float
    label: str = ""
    skipped: str = ""
    released: bool = False
    release_delay: float = float("nan")
    landing_error: float = float("inf")
    landing_observed: bool = False
    actions_inferred: bool = False
    command_delay: float = float("nan")
    action_residual: float = float("nan")
    actions_clipped: float = 0.0
    velocities_recorded: bool = True
    start: float = float("nan")
    cut_front: float = 0.0
    cut_motion: float = 0.0
    cut_back: float = 0.0
    padded: float = 0.0
    topics: dict[str, TopicAudit] = field(default_factory=dict)
    other_joints: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a number that is not known is null."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def audit_topic(times: np.ndarray, start: float, stop: float) -> TopicAudit:
    """How often messages at `times`, s, came within [start, stop]."""
    inside = np.sort(times[(times >= start) & (times <= stop)])
    spans = np.diff(inside)
    rate = (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 and inside[-1] > inside[0] else 0.0
    return TopicAudit(len(inside), float(rate), float(spans.max()) if len(spans) else stop - start)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
