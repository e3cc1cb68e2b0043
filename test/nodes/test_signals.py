"""A waiting executor returns when a signal comes, without a timer that wakes it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from irl_ros.nodes.signals import woken_by_signals

LIMIT = 60.0


@pytest.fixture
def executor() -> Iterator[SingleThreadedExecutor]:
    """With a node that nothing ever happens to."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=231)
    node = rclpy.create_node("idle", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield executor
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def test_a_signal_ends_the_wait(executor: SingleThreadedExecutor) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        with woken_by_signals(executor):
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            begun = time.monotonic()
            while not seen and time.monotonic() - begun < LIMIT:
                executor.spin_once(timeout_sec=LIMIT)
            assert seen and time.monotonic() - begun < LIMIT / 2, "it woke up for the signal"
        assert signal.set_wakeup_fd(-1) == -1, "nothing is left behind"
    finally:
        signal.signal(signal.SIGUSR1, before)
