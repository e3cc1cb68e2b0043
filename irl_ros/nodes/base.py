"""What all our nodes have in common: checked parameters, diagnostics, and an end without a traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from irl_ros.errors import InputError
from irl_ros.nodes.interface import DIAGNOSTICS
from irl_ros.nodes.lifeline import follow_parent

_PARAMETER_FAULTS = (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
_HEARTBEAT = 0.1  # s; how soon a signal is noticed while nothing else happens


class IrlNode(Node):
    """An rclpy node that declares its parameters with description and range, and reports on /diagnostics.

    Attributes:
        wall: a clock that never stands still, for time-outs; `get_clock()` may be simulated time.
        exit_code: set by `finish`; None while the node works.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.wall = Clock(clock_type=ClockType.STEADY_TIME)
        self.exit_code: int | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        self.create_wall_timer(1.0, self._report)

    def parameter(
        self, name: str, default: Any, description: str, low: float | None = None, high: float | None = None
    ) -> Any:
        """Declare a parameter that is set at start, within [low, high] where given, and return its value.

        An empty list has no type in ROS: give `Parameter.Type.STRING_ARRAY` as default and get None.
        """
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if low is not None and high is not None:
            if isinstance(default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(low), to_value=float(high))
                ]
        return self.declare_parameter(name, default, descriptor).value

    def create_wall_timer(self, period: float, callback: Callable[[], None]):
        """A timer in s of wall time, whatever /clock says."""
        return self.create_timer(period, callback, clock=self.wall)

    def seconds(self) -> float:
        """Wall time for time-outs, s."""
        return self.wall.now().nanoseconds * 1e-9

    async def sleep(self, seconds: float) -> None:
        """Let the executor do other things for a while (wall time)."""
        woken: Future = Future()
        timer = self.create_wall_timer(seconds, lambda: woken.set_result(None))
        await woken
        self.destroy_timer(timer)

    async def until(self, condition: Callable[[], bool], limit: float, what: str) -> None:
        """Wait for a condition.

        Raises:
            TimeoutError: it does not hold within `limit` s (wall); the text says `what` was missing.
        """
        end = self.seconds() + limit
        while not condition():
            if self.seconds() > end:
                raise TimeoutError(f"{what} within {limit:g} s")
            await self.sleep(0.02)

    def begin_soon(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine as soon as the node spins, beside all callbacks.

        As a callback itself it would hold its group while it waits, and nothing it waits for could come.
        """

        def once() -> None:
            timer.cancel()
            self.executor.create_task(work)

        timer = self.create_wall_timer(0.0, once)

    def status(self) -> tuple[bool, str, Mapping[str, Any]]:
        """For /diagnostics: all is well, one line, figures. Nodes say more."""
        return True, "running", {}

    def finish(self, code: int) -> None:
        """End the process soon, with this exit code."""
        self.exit_code = code

    def close(self) -> None:
        """Last words while publishers still work. Called once at the end, also after a signal."""

    def _report(self) -> None:
        well, line, figures = self.status()
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if well else DiagnosticStatus.ERROR,
            name=self.get_fully_qualified_name().lstrip("/"),
            message=line,
            values=[KeyValue(key=k, value=str(v)) for k, v in figures.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def run(build: Callable[[], IrlNode], arguments: Sequence[str] | None = None) -> int:
    """Spin a node until it finishes or SIGINT or SIGTERM comes; returns the exit code.

    The context stays valid until the node's `close` has run, so a node can still bring an arm to rest.
    """
    follow_parent()
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _: signals.append(n))
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = build()
        node.create_wall_timer(_HEARTBEAT, lambda: None)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not signals and node.exit_code is None:
            executor.spin_once()
        return node.exit_code or 0
    except InputError as error:
        return _complain(str(error))
    except _PARAMETER_FAULTS as error:
        return _complain(f"parameter: {error}")
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def _complain(line: str) -> int:
    print(f"irl_ros: {line}", file=sys.stderr, flush=True)
    return 2
