"""`irl-ros demos`: the same facts for people and for programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from irl_ros.demos.audit import demos_report, describe
from irl_ros.demos.episode_audit import audit_topic
from irl_ros.errors import InputError
from irl_ros.sim import load_world


def test_json_is_what_describe_says(record, throws, world) -> None:
    (path,) = record(throws, discard=(3,), other_joints=("panda_finger_joint1",))
    facts = describe(path, world)
    assert json.loads(demos_report(path, world, as_json=True)) == facts
    assert (facts["episodes"], facts["skipped"], facts["discarded"]) == (3, 0, 1)
    assert facts["robot"] == "panda" and facts["world"] == "default"
    (bag,) = facts["bags"]
    assert bag["path"] == str(path) and bag["other_joints"] == ["panda_finger_joint1"]
    joints = bag["topics"]["joint_states"]
    assert (joints["name"], joints["type"]) == ("/joint_states", "sensor_msgs/msg/JointState")
    assert joints["rate"] == pytest.approx(50, rel=0.02) and joints["gap"] == pytest.approx(0.02, rel=0.05)
    errors = [e["landing_error"] for e in bag["episodes"]]
    np.testing.assert_allclose(errors, throws.outcome.error[:3], atol=1e-6)
    assert facts["hit_10cm"] == float((throws.outcome.error[:3] <= 0.1).double().mean())
    assert bag["episodes"][0]["topics"]["commands"]["count"] == 60


def test_what_is_not_known_is_null(record, throws, world) -> None:
    """NaN and Infinity are no JSON."""
    text = demos_report(record(throws, gripper=False, ball=False), world, as_json=True)
    facts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert {e["landing_error"] for e in facts["bags"][0]["episodes"]} == {None}


def test_the_table_is_aligned_and_says_what_was_done(record, throws, world) -> None:
    short = load_world("default", ["horizon=45"])
    text = demos_report(record(throws, commands=False, velocities=False, ball=False), short)
    header, units, *rows = [line for line in text.splitlines() if line.startswith("  ")][-6:]
    assert header.split()[:4] == ["episode", "length", "error", "label"] and units.split()[:2] == ["s", "cm"]
    column = header.index("notes")
    assert all(row[column - 2 : column] == "  " and row[column] != " " for row in rows)
    for row in rows:
        assert "actions inferred" in row and "velocities differentiated" in row and "landing predicted" in row
    assert "not recorded: commands, ball" in text
    assert text.splitlines()[-1].startswith("4 episodes for robot panda; ")
    assert all(len(line) == len(line.rstrip()) for line in text.splitlines())


def test_a_bag_for_each_episode_makes_one_table(record, throws, world) -> None:
    folders = record(throws, a_bag=1)
    text = demos_report(folders[0].parent, world)
    assert text.splitlines()[0].startswith(f"{folders[0].parent}  4 recordings  ")
    assert text.count("joint_states") == 2  # the role and the topic, once
    for i, line in enumerate(text.splitlines()[-6:-2]):
        assert line.split()[:3] == [f"episode_{i}", "#", str(i)]


def test_labels_that_contradict_the_landing_are_pointed_out(record, throws, world) -> None:
    text = demos_report(record(throws, mislabel=True), world)
    assert text.count("measured otherwise") == 4
    assert demos_report(record(throws, name="right"), world).count("measured otherwise") == 0


def test_skipped_episodes_are_listed_with_their_reason(record, throws, world) -> None:
    facts = describe(record(throws, hole=True), world)
    assert facts["skipped"] == 1 and facts["episodes"] == 3
    text = demos_report(record(throws, name="again", hole=True), world)
    assert "skipped: has 0." in text and text.endswith("1 skipped")


def test_a_bag_without_any_episode_is_an_error(record, throws, world) -> None:
    with pytest.raises(InputError, match="has no episodes"):
        describe(record(throws, events=False, gripper=False, ball=False), world)


def test_all_discarded_is_a_description(record, throws, world) -> None:
    facts = describe(record(throws, discard=(0, 1, 2, 3)), world)
    assert facts["discarded"] == 4 and facts["hit_10cm"] is None
    assert "4 discarded" in demos_report(record(throws, name="again", discard=(0, 1, 2, 3)), world)


def test_rates_and_gaps() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6])
    audit = audit_topic(times, 0.05, 10.0)
    assert audit.count == 4 and audit.rate == pytest.approx(3 / 0.5) and audit.gap == pytest.approx(0.3)
    assert audit_topic(np.zeros(0), 1.0, 3.0).gap == 2.0
