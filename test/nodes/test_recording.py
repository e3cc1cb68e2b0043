"""Operator and recorder over DDS: what lands in the bags is what the same person throws in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rosbags.rosbag2 import Reader

from irl_ros.demos.audit import describe
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import SyntheticOperator
from irl_ros.msg import EpisodeEvent
from irl_ros.nodes import interface as names
from irl_ros.nodes.recording import record_episodes
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.sim import BulletWorld, load_world

WORLD, SEED, EPISODES = load_world(), 1, 2
SKIP, FIRST = 1, 7


@pytest.fixture(scope="module")
def recorded(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list]]:
    """Bags of the person's throws, and the events that were announced meanwhile."""
    out, events = tmp_path_factory.mktemp("demos"), []
    (out / f"episode_{FIRST - 1:04d}").mkdir()  # as if an earlier session had been here
    session.node.create_subscription(EpisodeEvent, names.EPISODE, events.append, names.EVENT)
    record_episodes(session, out, EPISODES, "default", SEED, skip=SKIP)
    yield out, events


def in_this_process() -> list[torch.Tensor]:
    """Landings of the same person in BulletWorld, without ROS, filter or recorder."""
    person, landings = SyntheticOperator(WORLD, load_operator(), SEED), []
    targets = torch.Generator().manual_seed(SEED)
    with BulletWorld(WORLD) as world:
        for _ in range(SKIP):
            person.plan(WORLD.sample_targets(1, targets)[0])
        for _ in range(EPISODES):
            plan = person.plan(WORLD.sample_targets(1, targets)[0])
            state, step = world.reset(plan.target[None]), 0
            while step * WORLD.dt < float(plan.duration):
                state = world.step(plan.command(step * WORLD.dt, state[0])[None])
                step += 1
            landings.append(world.outcome().landing[0])
    return landings


def test_recorded_throws_land_where_the_same_person_throws_without_ros(recorded):
    throws = load_demonstrations(recorded[0], WORLD).throws
    for measured, expected in zip(throws.outcome.landing, in_this_process(), strict=True):
        assert measured.numpy() == pytest.approx(expected.numpy(), abs=1e-3)


def test_labels_are_what_demos_measures(recorded):
    for bag in describe(recorded[0], WORLD)["bags"]:
        (episode,) = bag["episodes"]
        assert not episode["skipped"] and episode["landing_observed"]
        assert (episode["label"] == "success") == (episode["landing_error"] <= 0.10)
        assert episode["action_residual"] < 0.01, "commands in the bag explain the motion, step by step"
        assert episode["command_delay"] == 0


def test_every_episode_is_announced_from_start_to_stop(recorded):
    seen = [(e.episode, e.event) for e in recorded[1]]
    story = (EpisodeEvent.START, EpisodeEvent.RELEASE, EpisodeEvent.STOP)
    assert seen == [(FIRST + k, event) for k in range(EPISODES) for event in story]
    times = [e.header.stamp.sec + 1e-9 * e.header.stamp.nanosec for e in recorded[1]]
    assert np.all(np.diff(times) >= 0)


def test_a_bag_is_a_whole_rosbag2_folder_with_its_definitions(recorded):
    bag = recorded[0] / f"episode_{FIRST:04d}"
    assert {p.name for p in bag.iterdir()} == {"metadata.yaml", f"{bag.name}.mcap"}
    with Reader(bag) as reader:
        topics = {c.topic: c for c in reader.connections}
        expected = {names.JOINT_STATES, names.ARM_COMMANDS, names.GRIPPER_COMMANDS, names.BALL, names.TARGET}
        assert set(topics) == {f"/{name}" for name in (*expected, names.EPISODE)}
        assert "string ended_by" in topics[f"/{names.EPISODE}"].msgdef.data


def test_the_sample_in_the_repository_reads_as_it_was_recorded(sample):
    facts = describe(sample, WORLD)
    episodes = [bag["episodes"][0] for bag in facts["bags"]]
    assert [e["label"] for e in episodes] == ["success", "success", "failure"]
    assert [e["landing_error"] for e in episodes] == pytest.approx([0.037, 0.083, 0.164], abs=0.001)
    assert facts["bags"][0]["other_topics"] == []


def test_the_recorder_refuses_to_start_while_topics_are_missing_and_names_them(session, tmp_path):
    recorder = session.start("recorder", out=str(tmp_path))
    started, message = session.ask("recorder/start_episode", LIMIT)
    assert not started
    assert all(
        topic in message for topic in (names.JOINT_STATES, names.BALL, names.TARGET, names.ARM_COMMANDS)
    )
    assert session.ask("recorder/stop_episode") == (False, "no episode is open")
    assert session.ask("recorder/discard_episode") == (False, "no episode is open")
    session.stop(recorder)
    assert not list(tmp_path.iterdir())
