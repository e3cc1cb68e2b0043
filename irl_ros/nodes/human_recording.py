"""A person records: `irl-ros record --operator human`, with keys in this terminal or a device on topics."""

from __future__ import annotations

import contextlib
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from geometry_msgs.msg import PointStamped
from std_srvs.srv import Trigger

from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import check_folder, recorded
from irl_ros.nodes.session import LIMIT, Child, Session
from irl_ros.nodes.terminal import clear_line
from irl_ros.sim import load_world
from irl_ros.sim.world import World
from irl_ros.teleop.hands import load_hands
from irl_ros.teleop.keyboard import check_terminal

_PATIENCE = {"max_age": 0.5, "tracking": 0.5}
"""A simulated arm may be late, and a busy machine's is; nobody stands beside it."""


@dataclass(frozen=True)
class Recording:
    """What a person was asked for."""

    out: Path
    """Folder for the bags."""
    episodes: int
    """How many throws to keep."""
    world: str
    """Name or YAML."""
    moves: str
    """What moves the arm: one of INPUTS."""
    mapping: str
    """YAML for that device; "": as shipped."""
    arm: str
    """"sim": a simulated one, and targets drawn for each throw; "real": what is on the topics."""
    controller: str
    """Of the arm: what its command topic takes."""
    name: str
    """Of the person."""
    countdown: float
    """Before each episode, s."""
    seed: int
    """Of the targets."""


def record_by_hand(asked: Recording) -> int:
    """Record until a person has kept the episodes, or quits; returns 0.

    Raises:
        InputError: something given is wrong.
        RuntimeError: a node failed.
    """
    world, simulated = load_world(asked.world), asked.arm == "sim"
    load_hands(world, asked.moves, asked.mapping)
    if asked.moves == "keyboard":
        check_terminal(sys.stdin.isatty())
    check_folder(asked.out)
    before = recorded(asked.out)
    with _terminal_restored(), Session("irl_ros_record", own_domain=simulated) as session:
        company = _Company(session, world, simulated, asked.seed + before)
        if simulated:
            # with a clock: on a slow machine the arm moves slowly, rather than not where it was told to be
            session.start("sim_arm", world=asked.world, publish_clock=True, controller=asked.controller)
        facts = {"out": str(asked.out), "operator_name": asked.name, "countdown": asked.countdown}
        clock = {"simulated_time": simulated}
        session.start("recorder", **clock, terminal=True, world=asked.world, **facts)
        company.wait_for("recorder/start_episode")
        teleop = session.start(
            "teleop",
            **clock,
            terminal=True,
            world=asked.world,
            input=asked.moves,
            mapping=asked.mapping,
            controller=asked.controller,
            reset="sim_arm/reset" if simulated else "",
            echo=False,
            **(_PATIENCE if simulated else {}),
        )
        company.until_done(teleop, asked.episodes)
    kept = recorded(asked.out) - before
    print(f"{kept} episodes more in {asked.out}; `irl-ros demos {asked.out}` says what they are")
    return 0


class _Company:
    """What goes on beside the person: after each episode a new target and, in simulation, a new ball."""

    def __init__(self, session: Session, world: World, simulated: bool, seed: int) -> None:
        self._session, self._world, self._simulated = session, world, simulated
        self._targets = torch.Generator().manual_seed(seed)
        self._target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
        self._reset = session.node.create_client(Trigger, "sim_arm/reset")
        self._kept: set[int] = set()
        session.node.create_subscription(EpisodeEvent, names.EPISODE, self._on_event, names.EVENT)
        if simulated:
            self._aim()

    def wait_for(self, service: str) -> None:
        """Until a node is up."""
        client = self._session.node.create_client(Trigger, service)
        self._session.until(client.service_is_ready, LIMIT, f"no service {service}")
        self._session.node.destroy_client(client)

    def until_done(self, teleop: Child, episodes: int) -> None:
        """Until so many episodes are kept, or the person quits.

        Raises:
            RuntimeError: a node failed.
        """
        self._session.until(
            lambda: len(self._kept) >= episodes or teleop.process.poll() == 0,
            float("inf"),
            "nobody came",
        )

    def _on_event(self, event: EpisodeEvent) -> None:
        if event.event == EpisodeEvent.STOP:
            self._kept.add(event.episode)
        elif event.event == EpisodeEvent.DISCARD:
            self._kept.discard(event.episode)
        if self._simulated and event.event in (EpisodeEvent.STOP, EpisodeEvent.DISCARD):
            if event.event == EpisodeEvent.STOP:
                self._aim()
            self._reset.call_async(Trigger.Request())

    def _aim(self) -> None:
        x, y, z = self._world.sample_targets(1, self._targets)[0].tolist()
        message = PointStamped()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
        message.header.frame_id = names.WORLD_FRAME
        message.point.x, message.point.y, message.point.z = x, y, z
        self._target.publish(message)
        side = "left" if y > 0 else "right"
        print(f"{clear_line()}target: {x:.2f} m ahead, {abs(y):.2f} m to the {side}", flush=True)


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """Whatever becomes of a child that reads keys, the terminal is afterwards as it was."""
    before = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    try:
        yield
    finally:
        if before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
