"""The window holds the throw: its onset if it fits, its release and landing in any case."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from irl_ros.demos.window import LEAD, TAIL, choose_window


def resting(pattern: str) -> np.ndarray:
    """'.' stands still, 'x' moves."""
    return np.array([c == "." for c in pattern])


def test_begins_a_little_before_the_motion() -> None:
    steps = resting("." * 30 + "x" * 50)
    window = choose_window(steps, first=-40, release=0, landing=20, horizon=60)
    assert window.start == -40 + 29 - LEAD
    assert (window.cut_front, window.cut_motion) == (29 - LEAD, 0)
    assert window.cut_back == 0 and window.padded == window.start + 60 - 39


def test_cut_from_the_front_when_the_landing_would_not_fit() -> None:
    steps = resting("." * 10 + "x" * 90)
    window = choose_window(steps, first=-60, release=0, landing=25, horizon=60)
    assert window.start == 25 + TAIL - 60
    assert window.cut_front == 30 and window.cut_motion == window.start - (-60 + 9)
    assert window.cut_back == 39 - (window.start + 60)


def test_a_swing_back_passes_through_standstill() -> None:
    """A momentary stop between swing back and throw is no rest; a pause is."""
    turning = resting("." * 10 + "x" * 10 + ".." + "x" * 30)
    assert choose_window(turning, first=-25, release=0, landing=10, horizon=60).start == -25 + 9 - LEAD
    pausing = resting("." * 10 + "x" * 10 + "." * 8 + "x" * 30)
    assert choose_window(pausing, first=-35, release=0, landing=10, horizon=60).start == -35 + 27 - LEAD


def test_an_episode_that_begins_in_motion_begins_there() -> None:
    assert choose_window(resting("x" * 50), first=-20, release=0, landing=20, horizon=60).start == -20
    assert choose_window(resting("..." + "x" * 50), first=-20, release=0, landing=20, horizon=60).start == -20


def test_without_a_release_it_begins_with_the_first_motion() -> None:
    window = choose_window(resting("." * 20 + "x" * 40), first=0, release=None, landing=None, horizon=60)
    assert window.start == 19 - LEAD and window.padded == window.start + 60 - 59


@settings(deadline=None, max_examples=200)
@given(
    pattern=st.lists(st.booleans(), min_size=3, max_size=300),
    before=st.integers(0, 250),
    flight=st.integers(1, 80),
    horizon=st.integers(10, 120),
)
def test_whatever_happens_release_and_landing_are_inside(pattern, before, flight, horizon) -> None:
    steps = np.array(pattern)
    before = min(before, len(steps) - 2)
    window = choose_window(steps, first=-before, release=0, landing=flight, horizon=horizon)
    first, last = -before, -before + len(steps) - 1
    assert first <= window.start <= 0 < window.start + horizon
    if flight + TAIL + min(LEAD, before) <= horizon:
        assert window.start + horizon >= flight + TAIL
    assert window.cut_front == window.start - first >= window.cut_motion >= 0
    assert window.cut_front + horizon - window.padded + window.cut_back == last - first
