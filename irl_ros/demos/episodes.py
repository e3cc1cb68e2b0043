"""Cuts a recording into episodes: by irl/episode, or where that is missing by release and landing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irl_ros.demos.interpolation import Track
from irl_ros.demos.recording import DISCARD, RELEASE, START, STOP, Event, Recording
from irl_ros.demos.resampler import Resampler

_MOVING = 0.1  # m/s; opening the gripper with a slower tool loads a ball, it does not throw one
_IN_HAND = 0.15  # m from the tool point
_LABELS = {"success", "failure"}


@dataclass(frozen=True)
class Episode:
    """One throw in a recording.

    Attributes:
        number: as the recorder counted, or from 0 in order.
        start, stop: s; what lies outside belongs to something else.
        limit: s; until then the ball may still be watched as it comes down.
        told: s, when the gripper was told to open; None when it was not.
        label: "success", "failure" or "".
    """

    number: int
    start: float
    stop: float
    limit: float
    told: float | None
    label: str


def find_episodes(recording: Recording, resampler: Resampler) -> tuple[list[Episode], int]:
    """The episodes of a recording in order, and how many more were discarded by the operator."""
    begin, end = float(recording.joints.times[0]), float(recording.joints.times[-1])
    if any(event.kind in (START, STOP) for event in recording.events):
        return _by_events(recording, resampler, begin, end)
    return _by_release(recording, resampler, begin, end), 0


def _by_events(
    recording: Recording, resampler: Resampler, begin: float, end: float
) -> tuple[list[Episode], int]:
    spans: list[list[Event | None]] = []  # START or None, STOP or None
    discarded: list[int] = []
    for event in recording.events:
        is_open = bool(spans) and spans[-1][1] is None
        if event.kind == START:
            spans.append([event, None])
        elif event.kind == STOP and is_open:
            spans[-1][1] = event
        elif event.kind == STOP and not spans:
            spans.append([None, event])  # the recording began within the episode
        elif event.kind == DISCARD:
            mine = [i for i, span in enumerate(spans) if any(e and e.episode == event.episode for e in span)]
            discarded += mine[-1:]
            if is_open and mine and mine[-1] == len(spans) - 1:
                spans[-1][1] = event
    episodes = []
    for i, (start, stop) in enumerate(spans):
        first = begin if start is None else max(start.time, begin)
        following = spans[i + 1][0] if i + 1 < len(spans) else None
        limit = end if following is None else following.time
        last = min(limit, end) if stop is None else min(stop.time, end)
        if i in discarded or last <= first:
            continue
        known = start or stop
        label = stop.outcome if stop is not None and stop.outcome in _LABELS else ""
        told = _told(recording, resampler, first, limit)
        episodes.append(Episode(known.episode if known else i, first, last, limit, told, label))
    return episodes, len(set(discarded))


def _told(recording: Recording, resampler: Resampler, start: float, stop: float) -> float | None:
    """When in [start, stop] the gripper was told to throw: of several openings, the one at top speed."""
    inside = recording.openings[(recording.openings >= start) & (recording.openings <= stop)]
    if len(inside):
        speed = np.linalg.norm(resampler.tool(recording.joints, inside)[1], axis=-1)
        return float(inside[speed.argmax()])
    for event in recording.events:
        if event.kind == RELEASE and start <= event.time <= stop:
            return event.time
    departures = _departures(recording, resampler)
    inside = departures[(departures >= start) & (departures <= stop)]
    return float(inside[0]) if len(inside) else None


def _by_release(recording: Recording, resampler: Resampler, begin: float, end: float) -> list[Episode]:
    world = resampler.world
    releases = recording.openings
    if not len(releases):
        releases = np.array([e.time for e in recording.events if e.kind == RELEASE])
    if len(releases):
        speed = np.linalg.norm(resampler.tool(recording.joints, releases)[1], axis=-1)
        releases = releases[speed > _MOVING]
    else:
        releases = _departures(recording, resampler)
    episodes, start = [], begin
    for i, told in enumerate(releases):
        limit = float(releases[i + 1]) if i + 1 < len(releases) else end
        height = (
            float(target_at(recording, told)[2])
            if len(recording.targets.times)
            else world.settings.target.height
        )
        ball = None if recording.ball is None else recording.ball.within(begin, limit)
        landing = resampler.landing(recording.joints, ball, told, height)
        down = told if landing is None else landing.time
        stop = min(
            down + world.horizon * world.dt, end, max(0.5 * (down + limit), down) if limit < end else end
        )
        if stop > start:
            episodes.append(Episode(i, start, stop, limit, float(told), ""))
            start = stop
    return episodes


def target_at(recording: Recording, time: float) -> np.ndarray:
    """The target in force at `time`, m, [3]: the latest one before, or else the first one."""
    before = np.flatnonzero(recording.targets.times <= time)
    return recording.targets.values[before[recording.targets.times[before].argmax()] if len(before) else 0]


def _departures(recording: Recording, resampler: Resampler) -> np.ndarray:
    """Times, s, at which the ball parts from the tool, for recordings without any word about the gripper."""
    ball = recording.ball
    if ball is None:
        return np.zeros(0)
    gap = distance_to_tool(recording.joints, ball, resampler)
    in_hand = gap < _IN_HAND
    left = np.flatnonzero(in_hand[:-1] & ~in_hand[1:])
    before = [np.flatnonzero(gap[: i + 1] < 0.1 * _IN_HAND) for i in left]
    return np.array([ball.times[b[-1] if len(b) else i] for i, b in zip(left, before, strict=True)])


def distance_to_tool(joints: Track, ball: Track, resampler: Resampler) -> np.ndarray:
    """Distance of each ball sample from the tool point at that time, m, [L]."""
    tool, _ = resampler.tool(joints, ball.times)
    return np.linalg.norm(ball.x - tool, axis=-1)
