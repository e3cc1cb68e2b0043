"""forward_command_controller: the last command persists, and a wrong one stops it."""

from __future__ import annotations

import numpy as np
import pytest

from irl_ros.errors import InputError
from irl_ros.sim.hardware import ControllerStopped, ForwardController


def controller(**options: float) -> ForwardController:
    return ForwardController("arm_controller", 3, **options)


def test_the_last_command_persists_for_ever():
    forward = controller()
    assert forward.update(0.0) is None, "nothing was commanded yet"
    forward.receive([1.0, 2.0, 3.0], 0.0)
    for now in (0.0, 1.0, 1e6):
        assert forward.update(now).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 2.0], [1.0] * 4])
def test_a_wrong_length_stops_it_until_it_is_activated_again(wrong):
    forward = controller()
    forward.receive([1.0, 2.0, 3.0], 0.0)
    forward.receive(wrong, 0.1)
    with pytest.raises(ControllerStopped, match=f"{len(wrong)} values, not 3"):
        forward.update(0.1)
    forward.receive([1.0, 2.0, 3.0], 0.2)
    assert not forward.active and forward.update(0.2) is None, "a right command does not start it again"
    forward.activate()
    assert forward.update(0.3) is None, "what came while it was inactive is forgotten"
    forward.receive([1.0, 2.0, 3.0], 0.4)
    assert forward.update(0.4) is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_dropped_on_arrival(value):
    forward = controller()
    forward.receive([1.0, 2.0, 3.0], 0.0)
    with pytest.raises(InputError, match="not finite"):
        forward.receive([value, 0.0, 0.0], 0.1)
    assert forward.active and forward.update(0.2).tolist() == [1.0, 2.0, 3.0]


def test_an_empty_command_says_nothing():
    forward = controller()
    forward.receive([], 0.0)
    assert forward.update(0.0) is None and forward.active


def test_a_watchdog_forgets_the_command_of_a_sender_that_fell_silent():
    forward = controller(timeout=0.1)
    forward.receive([1.0, 2.0, 3.0], 0.0)
    assert forward.update(0.1) is not None
    assert forward.update(0.11) is None and forward.active
    forward.receive([1.0, 2.0, 3.0], 0.2)
    assert forward.update(0.25) is not None
