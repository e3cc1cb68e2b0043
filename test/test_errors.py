"""What a user is told is one line."""

from __future__ import annotations

import warnings

import pytest

from irl_ros.errors import InputWarning, warn_in_one_line


def test_a_doubt_is_said_in_one_line_without_our_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # puts it back
    warn_in_one_line()
    doubt = InputWarning("arm.urdf", "link 'hand' has an odd inertia", "taken as 1")
    shown = warnings.formatwarning(doubt, InputWarning, "inertia.py", 3, "a line of code")
    assert shown == "arm.urdf: link 'hand' has an odd inertia; taken as 1\n"
    assert "inertia.py:3" in warnings.formatwarning("other", UserWarning, "inertia.py", 3)
