"""The audit of one kept episode, as a person reads it right after the throw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irl_ros.demos.audit import describe, notes
from irl_ros.errors import InputError
from irl_ros.sim.world import World


def episode_report(path: Path, world: World) -> list[str]:
    """Lines about the episode in a bag, read back from the disk: counts, rates, gaps, joints, what is odd.

    Args:
        path: a bag, or a file of a split one, with one episode.
        world: the robot it was recorded with.
    """
    try:
        (bag,) = describe(path, world)["bags"]
    except InputError as error:
        return [f"  ! no demonstration: {error}"]
    lines = [_topic(role, topic) for role, topic in bag["topics"].items() if role != "episodes"]
    lines[0] += f"  {world.robot.n} joints of {world.robot.name}"
    if bag["other_joints"]:
        lines[0] += f", others: {', '.join(bag['other_joints'])}"
    for episode in bag["episodes"]:
        if episode["skipped"]:
            lines.append(f"  ! no demonstration: {episode['skipped']}")
        else:
            lines += [f"  ! {note}" for note in notes(episode)]
    return lines


def _topic(role: str, topic: dict[str, Any]) -> str:
    line = f"  {topic['name']:<30} {topic['count']:>5}"
    if topic["rate"] and role not in ("gripper", "target"):
        line += f"  {topic['rate']:6.1f} Hz"
        line += f"  longest gap {1000 * topic['gap']:4.0f} ms" if topic["gap"] is not None else ""
    return line
