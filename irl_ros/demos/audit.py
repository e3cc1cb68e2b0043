"""What is in these bags: the verb `irl-ros demos`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from irl_ros.demos.bag import find_bags
from irl_ros.demos.demonstrations import nothing_usable
from irl_ros.demos.episode_audit import EpisodeAudit, TopicAudit, audit_topic
from irl_ros.demos.recording import Recording, read_recording
from irl_ros.demos.throw_reader import Content, ThrowReader
from irl_ros.errors import InputError
from irl_ros.sim.world import World

__all__ = ["EpisodeAudit", "TopicAudit", "demos_report", "describe", "notes"]

_COLUMNS = (
    "episode",
    "length",
    "error",
    "label",
    "joints",
    "gap",
    "ball",
    "commands",
    "cut",
    "padded",
    "notes",
)
_SLACK = 0.02  # s; delays below are a matter of a control step's phase, not of a slow arm or gripper
_UNITS = ("", "s", "cm", "", "Hz", "ms", "Hz", "Hz", "s", "s", "")


def describe(paths: str | Path | Sequence[str | Path], world: World) -> dict[str, Any]:
    """Plain values of all that is in the recordings; what is not known is None.

    Keys: world, robot, episodes (usable), skipped, discarded, hit_10cm, hit_5cm (of the usable) and bags;
    a bag has path, duration_s, topics, other_topics, other_joints, discarded, remarks (what is wrong with
    it), custom_data (what its recorder noted) and episodes (`EpisodeAudit`).

    Raises:
        InputError: as `load_demonstrations`; a bag whose episodes all have faults is described, not refused.
    """
    reader = ThrowReader(world)
    bags: list[dict[str, Any]] = []
    audits: list[EpisodeAudit] = []
    discarded = 0
    for bag in find_bags(paths):
        recording = read_recording(bag, world.robot)
        content = reader.read(recording)
        audits += content.audits
        discarded += content.discarded
        bags.append(_bag(recording, content))
    if not audits and not discarded:
        raise InputError(", ".join(b["path"] for b in bags[:3]), *nothing_usable([], 0))
    usable = [audit for audit in audits if not audit.skipped]
    error = np.array([audit.landing_error for audit in usable])
    return {
        "world": world.name,
        "robot": world.robot.name,
        "episodes": len(usable),
        "skipped": len(audits) - len(usable),
        "discarded": discarded,
        "hit_10cm": float((error <= 0.10).mean()) if usable else None,
        "hit_5cm": float((error <= 0.05).mean()) if usable else None,
        "bags": bags,
    }


def demos_report(paths: str | Path | Sequence[str | Path], world: World, as_json: bool = False) -> str:
    """What `irl-ros demos` prints: a table for people, or the JSON of `describe`.

    Raises:
        InputError: as `describe`.
    """
    facts = describe(paths, world)
    if as_json:
        return json.dumps(facts, indent=2)
    alike: dict[str, list[dict[str, Any]]] = {}
    for bag in facts["bags"]:
        alike.setdefault(_signature(bag), []).append(bag)
    lines: list[str] = []
    for bags in alike.values():
        lines += [*_heading(bags), *_table(bags), ""]
    return "\n".join([*lines, _total(facts)])


def _bag(recording: Recording, content: Content) -> dict[str, Any]:
    times = recording.joints.times
    start, stop = float(times[0]), float(times[-1])
    topics = {}
    for role, topic in recording.topics.items():
        seen = audit_topic(recording.arrivals[role], -np.inf, np.inf)
        gap = seen.gap if np.isfinite(seen.gap) else None
        topics[role] = {
            "name": topic.name,
            "type": topic.type,
            "count": seen.count,
            "rate": seen.rate,
            "gap": gap,
        }
    return {
        "path": str(recording.bag.path),
        "duration_s": stop - start,
        "topics": topics,
        "other_topics": [topic.name for topic in recording.other],
        "other_joints": list(recording.other_joints),
        "discarded": content.discarded,
        "remarks": list(recording.remarks),
        "custom_data": dict(recording.bag.custom_data),
        "episodes": [audit.as_dict() for audit in content.audits],
    }


def _signature(bag: dict[str, Any]) -> str:
    """Bags recorded alike (our recorder writes one an episode) share a heading and a table."""
    topics = {role: (topic["name"], topic["type"]) for role, topic in bag["topics"].items()}
    return repr((sorted(topics.items()), bag["other_topics"], bag["other_joints"]))


def _heading(bags: Sequence[dict[str, Any]]) -> list[str]:
    first, duration = bags[0], sum(bag["duration_s"] for bag in bags)
    where = first["path"] if len(bags) == 1 else os.path.commonpath([bag["path"] for bag in bags])
    count = "" if len(bags) == 1 else f"  {len(bags)} recordings"
    lines = [f"{where}{count}  {duration:.1f} s"]
    wide = max(len(topic["name"]) for topic in first["topics"].values())
    for role, topic in first["topics"].items():
        total = sum(bag["topics"][role]["count"] for bag in bags)
        rate = float(np.median([bag["topics"][role]["rate"] for bag in bags]))
        shown = f"  {rate:6.1f} Hz" if rate else ""
        lines.append(f"  {role:<12}  {topic['name']:<{wide}}  {total:6d}{shown}")
    missing = [r for r in ("commands", "gripper", "ball", "target", "episodes") if r not in first["topics"]]
    for label, names in (
        ("not recorded", missing),
        ("not read", first["other_topics"]),
        ("other joints", first["other_joints"]),
    ):
        if names:
            lines.append(f"  {label}: {', '.join(names)}")
    lines += [f"  ! {remark}" for bag in bags for remark in bag["remarks"]]
    if discarded := sum(bag["discarded"] for bag in bags):
        lines.append(f"  discarded by the operator: {discarded}")
    return lines


def _table(bags: Sequence[dict[str, Any]]) -> list[str]:
    prefixes = [f"{Path(bag['path']).name} # " if len(bags) > 1 else "" for bag in bags]
    rows = [_row(episode, prefix) for bag, prefix in zip(bags, prefixes) for episode in bag["episodes"]]
    if not rows:
        return []
    rows = [_COLUMNS, _UNITS, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    left = {3, len(_COLUMNS) - 1}
    return [
        "  "
        + "  ".join(
            x.ljust(w) if i in left else x.rjust(w) for i, (x, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _row(e: dict[str, Any], prefix: str) -> tuple[str, ...]:
    def rate(role: str) -> str:
        return f"{e['topics'][role]['rate']:.0f}" if role in e["topics"] else "-"

    number = prefix + e["source"].rpartition("# ")[2]
    gap = f"{1000 * e['topics']['joint_states']['gap']:.0f}" if "joint_states" in e["topics"] else "-"
    if e["skipped"]:
        empty = ("-", e["label"] or "-", rate("joint_states"), gap, rate("ball"), rate("commands"), "-", "-")
        return (number, f"{e['duration']:.2f}", *empty, f"skipped: {e['skipped']}")
    error = "-" if e["landing_error"] is None else f"{100 * e['landing_error']:.1f}"
    cut, padded = f"{e['cut_front'] + e['cut_back']:.2f}", f"{e['padded']:.2f}"
    label = e["label"] or "-"
    rates = (rate("joint_states"), gap, rate("ball"), rate("commands"))
    return (number, f"{e['duration']:.2f}", error, label, *rates, cut, padded, "; ".join(notes(e)))


def notes(e: dict[str, Any]) -> list[str]:
    """What is odd about an episode (an `EpisodeAudit` as plain values), in a few words each."""
    error = float("inf") if e["landing_error"] is None else e["landing_error"]
    found = []
    if e["label"] and (e["label"] == "success") != (error <= 0.10):
        found.append(f"labelled {e['label']}, measured otherwise")
    if not e["released"]:
        found.append("never released")
    elif not e["landing_observed"]:
        found.append("landing predicted")
    if e["cut_motion"]:
        found.append(f"{e['cut_motion']:.2f} s of the motion cut")
    if e["actions_inferred"]:
        found.append("actions inferred")
    elif abs(e["command_delay"]) > _SLACK:
        found.append(f"commands act {1000 * e['command_delay']:.0f} ms late")
    if e["action_residual"] is not None and e["action_residual"] > 0.1:
        found.append(f"actions miss the motion by {e['action_residual']:.2f} rad/s")
    if e["release_delay"] is not None and abs(e["release_delay"]) > _SLACK:
        found.append(f"ball leaves {1000 * e['release_delay']:.0f} ms after the command")
    if e["actions_clipped"] > 0:
        found.append(f"{e['actions_clipped']:.0%} of the commands above this world's limits")
    if not e["velocities_recorded"]:
        found.append("velocities differentiated")
    return found


def _total(facts: dict[str, Any]) -> str:
    parts = [f"{facts['episodes']} episodes for robot {facts['robot']}"]
    if facts["hit_10cm"] is not None:
        parts.append(f"{facts['hit_10cm']:.0%} within 10 cm, {facts['hit_5cm']:.0%} within 5 cm")
    parts += [f"{facts[key]} {key}" for key in ("skipped", "discarded") if facts[key]]
    return "; ".join(parts)
