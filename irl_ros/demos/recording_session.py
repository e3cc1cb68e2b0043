"""RecordingSession: what a recorder does with the messages it hears and the orders it gets. No ROS here."""

from __future__ import annotations

import datetime
import enum
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import irl_ros
from irl_ros.demos.episode_tape import HIT, EpisodeTape, SimulatedTime, landing_error
from irl_ros.demos.message_types import EPISODE_EVENT, FLOAT_ARRAY, ODOMETRY, POINT_STAMPED, typestore
from irl_ros.demos.recording import DISCARD, RELEASE, START, STOP, ball_track, nanoseconds
from irl_ros.demos.session_folder import SessionFolder
from irl_ros.demos.start_gate import ROLES, StartGate
from irl_ros.errors import InputError, unknown_name
from irl_ros.settings import at_least
from irl_ros.sim.world import World

_SAME_CLOCK = 100_000_000  # ns; stamps that are off by more are of another clock


@dataclass(frozen=True)
class SessionSettings:
    """How a session records."""

    operator_name: str = ""
    """Who throws; noted in every episode."""
    needs: tuple[str, ...] = ROLES
    """Roles that must be there before an episode starts."""
    max_age: float = 1.0
    """Oldest joint state and ball an episode may start with, s (wall)."""
    max_duration: float = 60.0
    """An episode is stopped after this long, s (wall)."""

    def __post_init__(self) -> None:
        at_least(self, 0.01, "max_age", "max_duration")
        for role in self.needs:
            if role not in ROLES:
                problem, cure = unknown_name("role", role, ROLES)
                raise ValueError(f"needs: {problem}; {cure}")
        if "joint_states" not in self.needs:
            raise ValueError("needs: joint_states is missing; nothing can be learned without it")


@dataclass(frozen=True)
class Answer:
    """Whether an order was carried out, and one line for people."""

    done: bool
    text: str


@dataclass(frozen=True)
class Kept:
    """An episode that lies in the folder: which, where, what it was worth, and how its recording ended."""

    number: int
    path: Path
    outcome: str
    ended_by: str


class State(enum.Enum):
    """What the session is doing."""

    READY = "ready"
    RECORDING = "recording"
    UNSAVED = "not saved yet"


@dataclass
class _Episode:
    number: int
    opened: float
    tape: EpisodeTape
    released: int | None = None
    """ns, on the clock of the tape's bag."""
    outcome: str | None = None
    """Once stopped: 'success' or 'failure'."""
    ended_by: str = ""
    landed: str = ""


class RecordingSession:
    """Keeps the open episode in memory and writes it when it is stopped: a crash loses at most that one.

    Three clocks: `now`, s, never stands still and is for time-outs; message times, ns (wall), are when
    a message was sent (where time is simulated) or received; stamps, ns, may be simulated.

    Args:
        world: robot, rules of flight.
        folder: where episodes go.
        topics: role → (full topic name, message type), of ROLES and "episodes".
        announce: publishes an EpisodeEvent, serialized.
        stamp: the present stamp, ns.
        wall: the present message time, ns.
        settings: how.
        clock: where time is simulated: message times → stamps.

    Attributes:
        state: what it does.
        gate: what it hears outside episodes, too.
        number: of the open episode, or of the last one; -1 before the first.
        saved, hits: episodes kept, and those of them that are labelled a success.
        last: the last one kept.
    """

    def __init__(
        self,
        world: World,
        folder: SessionFolder,
        topics: Mapping[str, tuple[str, str]],
        announce: Callable[[bytes], None],
        stamp: Callable[[], int],
        wall: Callable[[], int],
        settings: SessionSettings | None = None,
        clock: SimulatedTime | None = None,
    ) -> None:
        self.world, self.folder, self.topics = world, folder, dict(topics)
        self.settings, self._clock = settings or SessionSettings(), clock
        self._announce, self._stamp, self._wall = announce, stamp, wall
        self._episode: _Episode | None = None
        names = {role: name for role, (name, _) in self.topics.items()}
        self.gate = StartGate(world.robot, names, self.settings.needs, self.settings.max_age)
        self.state, self.number, self.saved, self.hits = State.READY, -1, 0, 0
        self.last: Kept | None = None
        self._hit = False

    def hear(self, role: str, when: int, cdr: bytes, now: float) -> None:
        """A message of a role, of message time `when`."""
        self.gate.hear(role, when, cdr, now)
        if self.state is State.RECORDING:
            assert self._episode is not None
            self._episode.tape.add(when, self.topics[role][0], cdr)
            if role == "gripper" and self._episode.released is None:
                self._note_release(when, cdr)

    def missing(self, now: float, offered: Collection[str]) -> list[str]:
        """Why no episode can start now, one text a topic.

        Args:
            offered: roles that somebody publishes.
        """
        timeless = self._clock is not None and self._clock.at(self._wall()) is None
        return [*self.gate.missing(now, offered), *(["/clock (nothing heard)"] if timeless else [])]

    def start(self, now: float, offered: Collection[str]) -> Answer:
        """Begin an episode.

        Args:
            offered: roles that somebody publishes.
        """
        if self.state is State.RECORDING:
            return Answer(False, f"episode {self.number} is open: stop or discard it first")
        if self.state is State.UNSAVED:
            return Answer(False, f"episode {self.number} is not saved yet: stop it again, or discard it")
        if missing := self.missing(now, offered):
            return Answer(False, f"waiting for {', '.join(missing)}")
        self.number = self.folder.next_number
        self._episode = _Episode(self.number, now, EpisodeTape())
        for when, role, cdr in self.gate.first_messages(self._wall()):
            self._episode.tape.add(when, self.topics[role][0], cdr)
        self.state = State.RECORDING
        self._event(START)
        return Answer(True, f"episode {self.number}")

    def stop(self, ended_by: str = "service", outcome: str = "") -> Answer:
        """End the open episode and keep it.

        A full disk loses nothing: the episode stays in memory, and `stop` tries again.

        Args:
            ended_by: "operator", "service", "timeout" or "canceled": how the recording ended, whatever came
                of the throw.
            outcome: "success" or "failure" as a person judges it; "": as the landing was measured.
        """
        episode = self._episode
        if episode is None:
            return Answer(False, "no episode is open")
        if episode.outcome is None:
            error = self._landing_error(episode)
            if error is None:
                episode.outcome, episode.landed = outcome, "nobody tracked the ball"
            else:
                episode.outcome = outcome or ("success" if error <= HIT else "failure")
                missed = f"{100 * error:.1f} cm from the target"
                episode.landed = missed if np.isfinite(error) else "did not land"
            episode.ended_by = ended_by
            facts = {"outcome": episode.outcome, "ended_by": ended_by, "notes": episode.landed}
            self._stop_event = self._event(STOP, facts, announce=False)
        types = dict(self.topics.values())
        try:
            path = self.folder.keep(episode.number, episode.tape, types, self._clock, self.provenance())
        except InputError as fault:
            self.state = State.UNSAVED
            return Answer(
                False, f"episode {episode.number} is kept in memory: {fault}, then stop again (or discard)"
            )
        self._close()
        self.last = Kept(episode.number, path, episode.outcome, episode.ended_by)
        self._announce(self._stop_event)  # who hears it may read the bag
        self._hit = episode.outcome == "success"
        self.saved, self.hits = self.saved + 1, self.hits + self._hit
        return Answer(True, f"{path}: {episode.outcome or 'not judged'}, {episode.landed}")

    def discard(self) -> Answer:
        """Forget the open episode."""
        if self._episode is None:
            return Answer(False, "no episode is open")
        self._event(DISCARD)
        self._close()
        return Answer(True, f"episode {self.number} discarded")

    def withdraw(self) -> Answer:
        """Forget the open episode, or else take the last kept one back; its number comes again."""
        if self._episode is not None:
            return self.discard()
        last = self.folder.next_number - 1
        if last < 0 or self.saved == 0:
            return Answer(False, "no episode of this session to take back")
        try:
            away = self.folder.withdraw(last)
        except InputError as fault:
            return Answer(False, str(fault))
        self.number, self.saved, self.hits = last, self.saved - 1, self.hits - self._hit
        self._hit = False
        self._event(DISCARD)
        return Answer(True, f"episode {last} taken back; it lies in {away}")

    def expired(self, now: float) -> bool:
        """The open episode has lasted too long."""
        return self.state is State.RECORDING and self.elapsed(now) > self.settings.max_duration

    def elapsed(self, now: float) -> float:
        """Age of the open episode, s; 0 where there is none."""
        return now - self._episode.opened if self._episode is not None else 0.0

    @property
    def samples(self) -> int:
        """Joint states of the open episode."""
        return self._episode.tape.count(self.topics["joint_states"][0]) if self._episode is not None else 0

    @property
    def released(self) -> bool:
        """The ball of the open episode has left the hand."""
        return self._episode is not None and self._episode.released is not None

    def provenance(self) -> dict[str, str]:
        """For the bag's custom_data: what it takes to know later where an episode comes from."""
        robot = self.world.robot
        return {
            "irl_ros.version": irl_ros.__version__,
            "irl_ros.robot": robot.name,
            "irl_ros.robot_sha256": robot.sha256,
            "irl_ros.world": self.world.name,
            "irl_ros.world_sha256": self.world.sha256,
            "irl_ros.operator": self.settings.operator_name,
            "irl_ros.ros_distro": os.environ.get("ROS_DISTRO", "wheels"),
            "irl_ros.recorded_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }

    def _close(self) -> None:
        self._episode, self.state = None, State.READY

    def _landing_error(self, episode: _Episode) -> float | None:
        """Horizontal distance of the measured landing from the target, m; infinite where none was seen.

        None: nobody tracked the ball. It is read as `read_recording` reads it later.
        """
        heard = episode.tape.timed(self.topics["ball"][0])
        balls = [self._decode(cdr, ODOMETRY) for _, cdr in heard]
        times = self._ball_times([when for when, _ in heard], balls)
        origin = times[0] if len(times) else 0
        ball = ball_track((times - origin) * 1e-9, balls)
        if ball is None:
            return None
        targets = episode.tape.of(self.topics["target"][0])
        if episode.released is None or not targets:
            return float("inf")
        point = self._decode(targets[-1], POINT_STAMPED).point
        target = np.array([point.x, point.y, point.z])
        if not np.isfinite(target).all():
            return float("inf")
        return landing_error(self.world, ball, (episode.released - origin) * 1e-9, target)

    def _ball_times(self, heard: list[int], balls: list[Any]) -> np.ndarray:
        """Of ball samples, ns, on the clock of the release: stamps, less what their clock is off."""
        stamps = np.array([nanoseconds(m) for m in balls], dtype=np.int64)
        arrived = np.array(heard, dtype=np.int64)
        if self._clock is not None:
            arrived = np.array([self._clock.at(when) or 0 for when in heard], dtype=np.int64)
        if not len(stamps) or not stamps.all():
            return arrived
        off = int(np.median(arrived - stamps))
        return stamps + off if abs(off) > _SAME_CLOCK else stamps

    def _note_release(self, when: int, cdr: bytes) -> None:
        values = self._decode(cdr, FLOAT_ARRAY).data
        if len(values) and values[0] > 0.0:
            simulated = self._clock.at(when) if self._clock else None
            assert self._episode is not None
            self._episode.released = when if simulated is None else simulated
            self._event(RELEASE, stamp=self._episode.released)

    @staticmethod
    def _decode(cdr: bytes, kind: str) -> Any:
        return typestore().deserialize_cdr(cdr, kind)

    def _event(
        self,
        event: int,
        facts: Mapping[str, str] | None = None,
        stamp: int | None = None,
        announce: bool = True,
    ) -> bytes:
        """An event of the open episode, onto its tape and to who listens."""
        types = typestore().types
        seconds, nanoseconds = divmod(self._stamp() if stamp is None else stamp, 1_000_000_000)
        header = types["std_msgs/msg/Header"](
            stamp=types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds), frame_id=""
        )
        given = {"outcome": "", "ended_by": "", "notes": "", **(facts or {})}
        message = types[EPISODE_EVENT](
            header=header,
            episode=self.number,
            event=event,
            operator_name=self.settings.operator_name,
            **given,
        )
        cdr = bytes(typestore().serialize_cdr(message, EPISODE_EVENT))
        if self._episode is not None:
            self._episode.tape.add(self._wall(), self.topics["episodes"][0], cdr)
        if announce:
            self._announce(cdr)
        return cdr
