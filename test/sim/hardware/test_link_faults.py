"""Delays and losses that are asked for happen, and the same ones again."""

from __future__ import annotations

import pytest

from irl_ros.sim.hardware import DelayLine, Gripper, LinkFaults


def test_what_is_sent_comes_out_in_order_and_not_before_its_time():
    line: DelayLine[str] = DelayLine(latency=0.1)
    line.put("a", 0.0)
    line.put("b", 0.05)
    assert line.due(0.09) == []
    assert line.due(0.1) == ["a"]
    assert line.due(1.0) == ["b"] and line.due(2.0) == []
    line.put("c", 2.0)
    line.clear()
    assert line.due(9.0) == []


def test_the_share_that_is_lost_is_the_one_asked_for_and_the_same_for_a_seed():
    lines = [DelayLine[int](loss=0.3, seed=seed) for seed in (1, 1, 2)]
    for i in range(2000):
        for line in lines:
            line.put(i, 0.0)
    first, again, other = (line.due(0.0) for line in lines)
    assert first == again != other
    assert len(first) / 2000 == pytest.approx(0.7, abs=0.04)
    assert DelayLine[int]().put(1, 0.0), "without faults nothing is lost"


@pytest.mark.parametrize("wrong", [{"latency": -0.1}, {"lost_states": 1.1}, {"lost_commands": -0.5}])
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LinkFaults(**wrong)


def test_a_gripper_lets_go_when_its_delay_is_over_and_repeating_the_command_changes_nothing():
    gripper = Gripper(delay=0.05)
    gripper.command(False, 0.0)
    gripper.command(True, 1.0)
    gripper.command(True, 1.04)
    assert not gripper.is_open(1.049)
    assert gripper.is_open(1.05)
    gripper.command(False, 2.0)
    assert not gripper.is_open(2.0)
