"""Recording: what one bag shows, as arrays on one clock, before it is cut into episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from irl_ros.demos.bag import Bag, RawMessages, Topic, read_bag, roles_of
from irl_ros.demos.clock import Clock
from irl_ros.demos.interpolation import BALL_SPAN_S, Track, hermite
from irl_ros.demos.resampler import JointOrder, twist_in_world
from irl_ros.errors import InputError
from irl_ros.robots import Robot

START, STOP, DISCARD, RELEASE = 0, 1, 2, 3
"""EpisodeEvent.event."""
WORLD_FRAME = "world"
_UNLIKE = 0.1  # rad/s; commands that are as near as that to the measured velocities are velocities


@dataclass(frozen=True)
class Commands:
    """Stampless commands: in force from their time until the next one.

    Attributes:
        times: s, ascending, [K].
        values: [K, d].
    """

    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Event:
    """An EpisodeEvent: when (s), which episode, what, and what was noted about it."""

    time: float
    episode: int
    kind: int
    outcome: str
    ended_by: str


@dataclass(frozen=True)
class Recording:
    """A bag's content on the joints' clock, s since its first joint state.

    Attributes:
        bag: where it comes from.
        topics: role → topic, for what the bag has.
        other: topics that were not needed.
        robot_joints_only: names in joint_states that belong to something else.
        joints: rad, rad/s.
        velocities_recorded: False when joint velocities had to be differentiated.
        ball: m, m/s; None when not recorded.
        commands: rad/s in the order of the robot's joints; None when not recorded.
        openings: s, when the gripper was told to open.
        targets: m; empty when not recorded.
        events: in order.
        arrivals: role → times, s, at which its messages arrived or were stamped, for rates and gaps.
        remarks: what is wrong with the bag without making it unreadable.
    """

    bag: Bag
    topics: dict[str, Topic]
    other: tuple[Topic, ...]
    other_joints: tuple[str, ...]
    joints: Track
    velocities_recorded: bool
    ball: Track | None
    commands: Commands | None
    openings: np.ndarray
    targets: Commands
    events: tuple[Event, ...]
    arrivals: dict[str, np.ndarray]
    remarks: tuple[str, ...] = ()


def read_recording(bag: Bag, robot: Robot) -> Recording:
    """The recording of `robot` in a bag.

    Raises:
        InputError: the bag is damaged, empty, of another robot, or lacks joint_states; a command has the
        wrong length.
    """
    raw = read_bag(bag, roles_of(robot))
    joints, clock, others, recorded = _joints(raw, robot)
    command_times, command_values = _commands(raw, robot, clock)
    openings, gripper_times = _openings(raw, clock)
    target_times, targets = _stamped(
        raw, "target", clock, lambda m: (m.point.x, m.point.y, m.point.z), latched=True
    )
    if not np.isfinite(targets).all():
        raise InputError(bag.path, f"topic '{raw.topics['target'].name}' has a target that is not a number")
    positions = len(command_times) > 0 and _are_positions(command_times, command_values, joints)
    ball = _ball(raw, clock)
    event_times, events = _events(raw, clock)
    arrivals = {
        "joint_states": joints.times,
        "commands": command_times,
        "gripper": gripper_times,
        "ball": np.zeros(0) if ball is None else ball.times,
        "target": target_times,
        "episodes": event_times,
    }
    return Recording(
        bag=bag,
        topics=raw.topics,
        other=raw.other,
        other_joints=others,
        joints=joints,
        velocities_recorded=recorded,
        ball=ball,
        commands=Commands(command_times, command_values) if len(command_times) and not positions else None,
        openings=openings,
        targets=Commands(target_times, targets),
        events=events,
        arrivals=arrivals,
        remarks=(
            *raw.remarks,
            *_jumps(clock),
            *_skew(raw, clock),
            *_frames(raw, robot),
            *(["the commands are positions: actions are read off the motion"] if positions else []),
        ),
    )


def _joints(raw: RawMessages, robot: Robot) -> tuple[Track, Clock, tuple[str, ...], bool]:
    messages = raw.messages.get("joint_states")
    if not messages:
        has = ", ".join(t.name for t in (*raw.other, *raw.topics.values())[:8])
        raise InputError(
            raw.bag.path, "has no joint_states messages", f"record that topic too; the bag has {has}"
        )
    order = JointOrder(robot)
    names: dict[str, None] = {}
    received, stamps, rows = [], [], []
    for arrival, message in messages:
        names.update(dict.fromkeys(message.name))
        picked = order.pick(message.name, message.position, message.velocity)
        if picked is not None:
            received.append(arrival)
            stamps.append(nanoseconds(message))
            rows.append(picked)
    if not rows:
        missing = [j for j in robot.joints if j not in names]
        problem = f"joint_states has the joints {', '.join(names) or '(none)'}, not {', '.join(missing)}"
        if not missing:
            problem = f"no joint_states message has positions of all joints ({', '.join(robot.joints)})"
        raise InputError(
            raw.bag.path, problem, f"the world's robot is {robot.name}; choose the robot that was recorded"
        )
    if len(rows) < 2:
        raise InputError(
            raw.bag.path, "has a single joint_states message", "nothing moves in it; leave it out"
        )
    arrived, stamped = np.array(received, dtype=np.int64), np.array(stamps, dtype=np.int64)
    clock = Clock(arrived, stamped)
    q, qd = np.stack([r[0] for r in rows]), np.stack([r[1] for r in rows])
    if not np.isfinite(q).all():
        raise InputError(raw.bag.path, "joint_states: position is not a number in some message")
    track = Track.of(clock.from_stamps(stamped, arrived), q, qd)
    return track, clock, tuple(n for n in names if n not in robot.joints), not bool(np.isnan(qd).any())


def _commands(raw: RawMessages, robot: Robot, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    messages = raw.messages.get("commands", [])
    for _, message in messages:
        if len(message.data) != robot.n:
            problem = f"topic '{raw.topics['commands'].name}' has a command of {len(message.data)} values"
            raise InputError(raw.bag.path, problem, f"robot {robot.name} takes {robot.n} joint velocities")
    if not messages:
        return np.zeros(0), np.zeros((0, robot.n))
    values = np.stack([np.asarray(m.data, dtype=float) for _, m in messages])
    if not np.isfinite(values).all():
        problem = f"topic '{raw.topics['commands'].name}' has a command that is not a number"
        raise InputError(raw.bag.path, problem, "leave the bag out, or that topic (`ros2 bag convert`)")
    return _ascending(clock.from_received(np.array([t for t, _ in messages]))), values


def _are_positions(times: np.ndarray, values: np.ndarray, joints: Track) -> bool:
    """Whether commands [K, n] at `times` s are where the arm is, not how fast it goes: they may have gone to
    a controller that takes positions."""
    q, qd = hermite(joints.times, joints.x, joints.v, times)
    from_position, from_velocity = (float(np.median(np.abs(values - x).max(1))) for x in (q, qd))
    return from_velocity > _UNLIKE and from_position < 0.25 * from_velocity


def _frames(raw: RawMessages, robot: Robot) -> tuple[str, ...]:
    """What is said in another frame than the world's, where nothing transforms it."""
    known = ("", WORLD_FRAME, robot.chain[0].parent)
    odd = {role: {m.header.frame_id for _, m in raw.messages.get(role, [])} for role in ("ball", "target")}
    return tuple(
        f"the {role} is in frame '{frame}' and is taken as if that were '{WORLD_FRAME}'"
        for role, frames in odd.items()
        for frame in sorted(frames.difference(known))
    )


def _openings(raw: RawMessages, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """Times of the commands that open a closed gripper (value > 0 after one that is not), and of all."""
    messages = [(t, m) for t, m in raw.messages.get("gripper", []) if len(m.data)]
    if not messages:
        return np.zeros(0), np.zeros(0)
    times = _ascending(clock.from_received(np.array([t for t, _ in messages])))
    opened = np.array([m.data[0] > 0 for _, m in messages])
    return times[opened & ~np.concatenate(([False], opened[:-1]))], times


def ball_track(times: np.ndarray, messages: Sequence[Any]) -> Track | None:
    """The path of a ball, m and m/s in the world frame; None where it was seen less than twice.

    Args:
        times: of the messages, s, [K].
        messages: nav_msgs/Odometry. Where a position is not finite the tracker had lost the ball.
    """

    def motion(message: Any) -> tuple[float, ...]:
        p, o, v = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
        turned = o.x or o.y or o.z
        velocity = twist_in_world((o.x, o.y, o.z, o.w), (v.x, v.y, v.z)) if turned else (v.x, v.y, v.z)
        return (p.x, p.y, p.z, *velocity)

    rows = np.array([motion(m) for m in messages], dtype=float).reshape(-1, 6)
    seen = np.isfinite(rows[:, :3]).all(1)
    if seen.sum() < 2:
        return None
    x, v = rows[seen, :3], rows[seen, 3:]
    measured = v if v.any() else np.full_like(v, np.nan)  # some trackers know positions only
    return Track.of(times[seen], x, measured, BALL_SPAN_S)


def _ball(raw: RawMessages, clock: Clock) -> Track | None:
    messages = raw.messages.get("ball", [])
    if not messages:
        return None
    return ball_track(clock.from_stamps(*_both_times(messages), False), [m for _, m in messages])


def _events(raw: RawMessages, clock: Clock) -> tuple[np.ndarray, tuple[Event, ...]]:
    def fields(message: Any) -> tuple[float, ...]:
        return (float(message.episode), float(message.event))

    times, _ = _stamped(raw, "episodes", clock, fields, latched=True)
    messages = [m for _, m in raw.messages.get("episodes", [])]
    events = [
        Event(float(t), int(m.episode), int(m.event), str(m.outcome), str(m.ended_by))
        for t, m in zip(times, messages, strict=True)
    ]
    events.sort(key=lambda e: e.time)
    return np.array([e.time for e in events]), tuple(events)


def _stamped(
    raw: RawMessages, role: str, clock: Clock, values: Callable[[Any], Sequence[float]], latched: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Times on the clock and values of a stamped topic, in order of arrival."""
    messages = raw.messages.get(role, [])
    if not messages:
        return np.zeros(0), np.zeros((0, 3))
    times = clock.from_stamps(*_both_times(messages), latched)
    return times, np.array([values(m) for _, m in messages], dtype=float)


def _both_times(messages: Sequence[tuple[int, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Header stamps and receive times, ns, [M]."""
    stamps = np.array([nanoseconds(m) for _, m in messages], dtype=np.int64)
    return stamps, np.array([t for t, _ in messages], dtype=np.int64)


def _skew(raw: RawMessages, clock: Clock) -> tuple[str, ...]:
    skew = clock.skew(*_both_times(raw.messages.get("ball", [])))
    if not skew:
        return ()
    side = "behind" if skew > 0 else "ahead of"
    return (f"the clock of the ball's tracker is {abs(skew):.2f} s {side} that of joint_states",)


def _jumps(clock: Clock) -> tuple[str, ...]:
    times = "once" if clock.jumps == 1 else f"{clock.jumps} times"
    return (f"the clock of joint_states was set {times} while recording",) if clock.jumps else ()


def _ascending(times: np.ndarray) -> np.ndarray:
    """Jitter taken out of the receive times may not turn their order round."""
    return np.maximum.accumulate(times)


def nanoseconds(message: Any) -> int:
    """The header's stamp, ns."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
