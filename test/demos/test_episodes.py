"""Where episodes begin and end, which are dropped, and what an operator does that is not a throw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irl_ros.demos.bag import find_bags
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.episodes import find_episodes
from irl_ros.demos.interpolation import Track
from irl_ros.demos.recording import DISCARD, RELEASE, START, STOP, Commands, Event, Recording, read_recording
from irl_ros.demos.resampler import Resampler


@pytest.fixture
def recording(record, throws, world) -> Recording:
    """Four throws; the k-th begins at 2.2 k s and takes 1.2 s."""
    return read_recording(find_bags(record(throws))[0], world.robot)


def with_events(recording: Recording, *events: Event, **changes) -> Recording:
    return type(recording)(
        **{**vars(recording), "events": tuple(sorted(events, key=lambda e: e.time)), **changes}
    )


def event(time: float, episode: int, kind: int, outcome: str = "") -> Event:
    return Event(time, episode, kind, outcome, "")


def spans(recording: Recording, world) -> list[tuple[int, float, float]]:
    found, _ = find_episodes(recording, Resampler(world))
    return [(e.number, round(e.start, 6), round(e.stop, 6)) for e in found]


def test_discarded_episodes_are_dropped_and_counted(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, discard=(1, 2)), world)
    assert [s.rpartition("# ")[2] for s in demos.sources] == ["0", "3"]
    torch.testing.assert_close(demos.throws.states.q.double(), throws.states.q[[0, 3]], rtol=0, atol=2e-6)


def test_discarded_after_its_end(recording, world) -> None:
    events = event(0.0, 7, START), event(1.2, 7, STOP), event(2.2, 8, START), event(3.4, 8, STOP)
    late = with_events(recording, *events, event(1.5, 7, DISCARD))
    assert spans(late, world) == [(8, 2.2, 3.4)] and find_episodes(late, Resampler(world))[1] == 1


def test_numbers_used_twice_by_two_sessions_in_one_bag(recording, world) -> None:
    events = [event(2.2 * k + d, 0, kind) for k in range(3) for d, kind in ((0.0, START), (1.2, STOP))]
    twice = with_events(recording, *events, event(3.5, 0, DISCARD))
    assert spans(twice, world) == [(0, 0.0, 1.2), (0, 4.4, 5.6)]  # the one that had just ended


def test_a_stop_left_over_from_before_the_recording(recording, world) -> None:
    """irl/episode is latched: a recorder that comes later gets the last STOP again."""
    stale = with_events(recording, event(-5.0, 3, STOP), event(0.0, 4, START), event(1.2, 4, STOP))
    assert spans(stale, world) == [(4, 0.0, 1.2)]


def test_recordings_that_begin_or_end_within_an_episode(recording, world) -> None:
    cut = with_events(recording, event(1.2, 3, STOP), event(2.2, 4, START))
    end = round(float(recording.joints.times[-1]), 6)
    assert spans(cut, world) == [(3, 0.0, 1.2), (4, 2.2, end)]


def test_a_start_without_stop_ends_at_the_next_start(recording, world) -> None:
    lost = with_events(recording, event(0.0, 0, START), event(2.2, 1, START), event(3.4, 1, STOP))
    assert spans(lost, world) == [(0, 0.0, 2.2), (1, 2.2, 3.4)]


def test_opening_the_gripper_at_rest_is_no_throw(recording, throws, world) -> None:
    """Between throws it is opened to load the next ball."""
    releases = [float(2.2 * i + world.dt * int(throws.states.held[i].sum() - 1)) for i in range(4)]
    loading = np.sort([*releases, 2.15, 4.35])
    plain = with_events(recording, openings=loading)
    found, _ = find_episodes(plain, Resampler(world))
    assert [e.told for e in found] == pytest.approx(releases)
    by_event = with_events(recording, event(1.9, 0, START), event(3.4, 0, STOP), openings=loading)
    assert [e.told for e in find_episodes(by_event, Resampler(world))[0]] == pytest.approx(releases[1:2])


def test_release_events_serve_where_the_gripper_was_not_recorded(recording, throws, world) -> None:
    releases = [float(2.2 * i + world.dt * int(throws.states.held[i].sum() - 1)) for i in range(4)]
    told = with_events(recording, *[event(t, 0, RELEASE) for t in releases], openings=np.zeros(0), ball=None)
    assert [e.told for e in find_episodes(told, Resampler(world))[0]] == pytest.approx(releases)


def test_a_ball_that_parts_from_the_hand_is_release_enough(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, events=False, gripper=False), world)
    assert len(demos) == 4 and demos.throws.outcome.released.all()
    torch.testing.assert_close(
        demos.throws.outcome.landing.double(), throws.outcome.landing, rtol=0, atol=2e-6
    )
    for i in range(4):
        shift = round((demos.audits[i].start - 2.2 * i) / world.dt)
        assert int(demos.throws.states.held[i].sum()) + shift == int(throws.states.held[i].sum())


def test_an_episode_without_a_release_is_a_failure_worth_keeping(record, throws, world) -> None:
    demos = load_demonstrations(record(throws, gripper=False, ball=False, commands=False), world)
    assert len(demos) == 4 and not demos.throws.outcome.released.any()
    assert demos.throws.outcome.error.isinf().all() and demos.throws.outcome.landing.isnan().all()
    assert (demos.throws.actions[..., -1] == -1).all() and demos.throws.states.held.all()
    assert demos.hit_10cm == 0.0


def test_a_ball_that_stays_in_the_hand_is_left_out_and_named(recording, throws, world) -> None:
    from irl_ros.demos.throw_reader import ThrowReader

    resampler = Resampler(world)
    tool, speed = resampler.tool(recording.joints, recording.joints.times)
    stuck = with_events(recording, *recording.events, ball=Track(recording.joints.times, tool, speed))
    content = ThrowReader(world).read(stuck)
    assert not content.throws
    assert {a.skipped for a in content.audits} == {"opens the gripper, but the ball stays in the hand"}


def test_holes_in_the_joint_states_are_not_bridged(recording, world) -> None:
    from irl_ros.demos.throw_reader import ThrowReader

    times = recording.joints.times
    keep = ~((times > 2.51) & (times < 2.91))
    joints = Track(times[keep], recording.joints.x[keep], recording.joints.v[keep])
    content = ThrowReader(world).read(with_events(recording, *recording.events, joints=joints))
    assert len(content.throws) == 3
    assert [a.skipped for a in content.audits if a.skipped] == ["has 0.42 s without joint states"]


def test_the_target_is_the_latest_before_the_release(recording, throws, world) -> None:
    from irl_ros.demos.episodes import target_at

    targets = Commands(np.array([5.0, 1.0, 9.0]), np.array([[5.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]]))
    moved = with_events(recording, targets=targets)
    assert [target_at(moved, t)[0] for t in (0.0, 1.0, 4.9, 5.1, 20.0)] == [5.0, 1.0, 1.0, 5.0, 9.0]
