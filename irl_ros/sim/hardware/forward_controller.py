"""ros2_control's forward_command_controller: what it was sent last goes to the joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irl_ros.errors import InputError


class ControllerStopped(InputError):
    """An update ended in an error, upon which the controller manager deactivates the controller."""


class ForwardController:
    """A group of numbers passed on unchanged, as in ros2_controllers 6.9 (forward_controllers_base.cpp).

    There are no names, no stamps and no time-out: the last command persists, whoever sent it may be dead. One
    with a number that is not finite is dropped when it arrives, an empty one says nothing. One of the wrong
    length is found at the next update, and that stops the controller: it forgets its command, and takes no
    other until it is activated again.

    Args:
        name: for messages.
        size: numbers in a command.
        timeout: s after which a command is forgotten, as a watchdog in the hardware would; 0: never, which
            is what forward_command_controller does.
    """

    def __init__(self, name: str, size: int, timeout: float = 0.0) -> None:
        self.name, self.size, self.timeout = name, size, timeout
        self.activate()

    def activate(self) -> None:
        """Begin (again) without a command."""
        self.active = True
        self._command: np.ndarray | None = None

    def deactivate(self) -> None:
        """Forget the command and ignore what comes."""
        self.active, self._command = False, None

    def receive(self, values: Sequence[float], now: float) -> None:
        """A command arrives at `now`, s.

        Raises:
            InputError: it is dropped, because of a number that is not finite.
        """
        command = np.asarray(values, dtype=float)
        if not np.isfinite(command).all():
            raise InputError(self.name, "was sent a value that is not finite", "the command before persists")
        if self.active:
            self._command, self._received = command, now

    def update(self, now: float) -> np.ndarray | None:
        """The command to pass on at `now`, s, [size]; None where there is none.

        Raises:
            ControllerStopped: the command has the wrong length; the controller is inactive from now on.
        """
        if self._command is None or not len(self._command):
            return None
        if len(self._command) != self.size:
            found = len(self._command)
            self.deactivate()
            raise ControllerStopped(
                self.name, f"was sent {found} values, not {self.size}, and has stopped", "activate it again"
            )
        if self.timeout and now - self._received > self.timeout:
            self._command = None
        return self._command
