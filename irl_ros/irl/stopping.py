"""Ctrl-C in the midst of a round: the round is finished and saved first. A second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody has asked to stop.

    Attributes:
        asked: they have.
    """

    asked = False

    def obey(self) -> None:
        """Where it is safe to stop.

        Raises:
            KeyboardInterrupt: somebody has asked.
        """
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def stop_between_rounds() -> Iterator[Stop]:
    """Inside, signals that would raise KeyboardInterrupt anywhere only ask for it, the first time.

    Nothing changes outside the main thread, or for signals that somebody else handles.
    """
    stop, ours = Stop(), (signal.SIGINT, signal.SIGTERM)
    taken = [n for n in ours if signal.getsignal(n) is signal.default_int_handler]
    if threading.current_thread() is not threading.main_thread():
        taken = []

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            signal.default_int_handler(number, frame)
        stop.asked = True

    for number in taken:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number in taken:
            signal.signal(number, signal.default_int_handler)
