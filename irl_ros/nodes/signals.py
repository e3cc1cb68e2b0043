"""A signal wakes a node that waits for messages: nothing needs to wake it just to look for signals."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.executors import Executor


@contextmanager
def woken_by_signals(executor: Executor) -> Iterator[None]:
    """Inside, every signal makes `executor` return from its wait. To be used in the main thread.

    While it waits inside C, Python notes a signal but runs no handler.
    """
    note, noted = socket.socketpair()
    note.setblocking(False)

    def wake() -> None:
        while noted.recv(64):
            executor.create_task(lambda: None)  # `wake` alone would only make it wait again

    thread = threading.Thread(target=wake, name="signals", daemon=True)
    before = signal.set_wakeup_fd(note.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        note.close()
        thread.join()
        noted.close()
