"""Recording a session of throws over ROS topics: the verb `irl-ros record` and the first act of `demo`."""

from __future__ import annotations

import time
from pathlib import Path

from irl_ros.errors import InputError
from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.sim import load_world

LOCKSTEP_MAX_AGE = 5.0
"""Oldest joint state to act on, s (wall): a world in lock-step stands still while it waits."""
_EPISODE_LIMIT = 60.0  # s (wall) that a simulated throw may take on a busy machine


def record(out: Path, episodes: int, world: str, seed: int) -> int:
    """Record `episodes` more throws of a synthetic person into rosbag2 folders under `out`; returns 0.

    Raises:
        InputError: the world or the folder is wrong.
        RuntimeError: a node failed.
    """
    load_world(world)
    check_folder(out)
    before = recorded(out)
    try:
        with Session("irl_ros_record") as session:
            hits = record_episodes(session, out, episodes, world, seed, skip=before)
    except KeyboardInterrupt:
        kept = recorded(out) - before
        print(f"\n{kept} of {episodes} episodes are in {out}; --episodes {episodes - kept} adds the rest")
        raise
    print(f"{episodes} episodes in {out}, {hits / episodes:.0%} of them within 10 cm of the target")
    return 0


def record_episodes(session: Session, out: Path, episodes: int, world: str, seed: int, skip: int) -> int:
    """Arm, recorder and operator as processes of their own, until the operator has thrown; returns the hits.

    Args:
        session: where they run.
        out: folder for the bags.
        episodes: how many throws.
        world: name or YAML.
        seed: of the person and the targets.
        skip: throws this person has made before, which are not repeated.
    """
    progress = Progress(session, episodes)
    arm = session.start("sim_arm", world=world, real_time_factor=0.0)
    recorder = session.start("recorder", world=world, out=str(out), operator_name="synthetic")
    operator = session.start(
        "operator", world=world, episodes=episodes, seed=seed, skip=skip, max_age=LOCKSTEP_MAX_AGE
    )
    session.finish(operator, LIMIT + episodes * _EPISODE_LIMIT)
    session.until(lambda: progress.done == episodes, LIMIT, "the recorder did not report every episode")
    progress.close()
    session.stop(operator, recorder, arm)
    return progress.hits


class Progress:
    """A line for each episode, from irl/episode.

    Attributes:
        done, hits: episodes that were stopped, and those of them that landed within 10 cm.
    """

    def __init__(self, session: Session, episodes: int) -> None:
        self.episodes, self.done, self.hits = episodes, 0, 0
        self._begun: float | None = None
        self._node = session.node
        self._events = session.node.create_subscription(
            EpisodeEvent, names.EPISODE, self._on_event, names.EVENT
        )

    def close(self) -> None:
        """Listen no longer."""
        self._node.destroy_subscription(self._events)

    def _on_event(self, event: EpisodeEvent) -> None:
        now = time.monotonic()
        if event.event == EpisodeEvent.START and self._begun is None:
            self._begun = now
        if event.event != EpisodeEvent.STOP or self._begun is None:
            return
        self.done += 1
        self.hits += event.outcome == "success"
        each = (now - self._begun) / self.done
        left = each * (self.episodes - self.done)
        print(
            f"episode {self.done:>3}/{self.episodes}  {event.outcome:<7}  {event.notes:<24}"
            f"  {each:4.1f} s each, {left:3.0f} s left",
            flush=True,
        )


def recorded(out: Path) -> int:
    """Episodes that are in a folder already."""
    return sum(1 for _ in out.glob("episode_*/metadata.yaml")) if out.is_dir() else 0


def check_folder(out: Path) -> None:
    """Refuse a place where no folder can be.

    Raises:
        InputError: it is a file, or below one, or may not be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            out, f"cannot be made ({error.strerror})", "give a folder that can be written"
        ) from None
