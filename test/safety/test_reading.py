"""Joints by name out of whatever a joint state holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irl_ros.safety.latch import StopReason
from irl_ros.safety.reading import JointReader, JointReading, as_vector

JOINTS = ("a", "b", "c")


def read(names: object, position: object, velocity: object) -> object:
    return JointReader(JOINTS).read(JointReading(names, position, velocity, 0.0))


def test_joints_are_picked_by_name_among_others_in_any_order():
    q, qd = read(["x", "c", "a", "y", "b"], [9, 3, 1, 9, 2], [0, 0.3, 0.1, 0, 0.2])
    assert q == [1, 2, 3] and qd == [0.1, 0.2, 0.3]


def test_the_order_may_change_from_one_reading_to_the_next():
    reader, names = JointReader(JOINTS), ["a", "b", "c"]
    assert reader.read(JointReading(names, [1, 2, 3], [0, 0, 0], 0.0))[0] == [1, 2, 3]
    names.reverse()
    assert reader.read(JointReading(names, [1, 2, 3], [0, 0, 0], 0.0))[0] == [3, 2, 1]


def test_a_joint_of_another_robot_may_be_anything():
    assert read(["a", "b", "c", "x"], [1, 2, 3, math.nan], [0, 0, 0, math.inf])[0] == [1, 2, 3]


@pytest.mark.parametrize(
    ("names", "position", "velocity"),
    [
        (["a", "b"], [0, 0], [0, 0]),
        (["a", "b", "c"], [0, 0], [0, 0, 0]),
        (["a", "b", "c"], [0, 0, 0], []),
        (["a", "b", "c", "a"], [0, 0, 0, 1], [0, 0, 0, 0]),
        (["a", "b", "c"], None, [0, 0, 0]),
        (["a", "b", "c"], ["much", 0, 0], [0, 0, 0]),
        (None, [0, 0, 0], [0, 0, 0]),
        ([], [], []),
        ([1, 2, 3], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_a_reading_that_is_not_whole_is_incomplete(names, position, velocity):
    assert read(names, position, velocity) is StopReason.INCOMPLETE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_named_as_such(bad):
    assert read(JOINTS, [0, bad, 0], [0, 0, 0]) is StopReason.NOT_FINITE
    assert read(JOINTS, [0, 0, 0], [0, 0, bad]) is StopReason.NOT_FINITE


class Hostile:
    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise OSError("no array for you")


@pytest.mark.parametrize(
    "value", [None, "12", "nonsense", [[1, 2]], [1, [2]], 1.0, [1, 2, 3], [10**400, 1], Hostile()]
)
def test_what_is_no_vector_of_that_size_is_none(value):
    assert as_vector(value, 2) is None
