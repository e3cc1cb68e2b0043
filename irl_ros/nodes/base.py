"""What all our nodes have in common: checked parameters, diagnostics, and an end without a traceback."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import (
    InvalidHandle,
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

from irl_ros.errors import InputError
from irl_ros.nodes.interface import DIAGNOSTICS
from irl_ros.nodes.lifeline import follow_parent
from irl_ros.nodes.parameters import Parameters, Rule
from irl_ros.nodes.priority import take_priority
from irl_ros.nodes.signals import woken_by_signals

_PARAMETER_FAULTS = (
    InvalidParameterException,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
EXECUTORS = ("single", "multi")


class IrlNode(Node):
    """An rclpy node that declares its parameters with description and range, and reports on /diagnostics.

    Attributes:
        wall: a clock that never stands still, for time-outs; `get_clock()` may be simulated time.
        exit_code: set by `finish`; None while the node works.
    """

    _read_only = True
    """Parameters that are not live are settled for good at start."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.wall = Clock(clock_type=ClockType.STEADY_TIME)
        self.exit_code: int | None = None
        self._naps: set[Timer] = set()
        self.parameters = Parameters(self, lambda: self.changed())
        self.parameter("executor", "single", "what runs the callbacks", choices=EXECUTORS)
        self.parameter(
            "priority",
            0,
            "real-time priority (SCHED_FIFO) of the node's threads; 0: an ordinary process",
            0,
            99,
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        self.create_wall_timer(1.0, self._report)

    def parameter(
        self,
        name: str,
        default: Any,
        description: str,
        low: float | None = None,
        high: float | None = None,
        *,
        choices: Sequence[str] = (),
        check: Callable[[Any], object] | None = None,
        live: bool = False,
    ) -> Any:
        """Declare a parameter and return its value.

        An empty list has no type in ROS: give `Parameter.Type.STRING_ARRAY` as default and get None.

        Args:
            name, default, description: as `ros2 param describe` tells them.
            low, high: the range of a number, both ends included.
            choices: all values there are.
            check: raises InputError where a value cannot be used; its text goes to whoever set it.
            live: may be set at any time; `changed` is called then. Others hold from the start on, or in a
                managed node from `configure` on.
        """
        rule = Rule(choices, check, live)
        return self.parameters.declare(
            name, default, description, low, high, rule, self._read_only and not live
        )

    def value(self, name: str) -> Any:
        """What a parameter is now; None for a list that was not given."""
        return self.get_parameter_or(name).value

    def changed(self) -> None:
        """Live parameters have been set. Called for those that need to be passed on."""

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
        self._naps.add(timer)
        await woken
        self._naps.discard(timer)
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

    def come_up(self) -> None:
        """Begin, once the executor has the node. Managed nodes do it by their transitions."""

    def finish(self, code: int) -> None:
        """End the process soon, with this exit code."""
        self.exit_code = code
        if self.executor is not None:
            self.executor.create_task(lambda: None)  # it may be waiting in another thread

    def close(self) -> None:
        """Last words while publishers still work. Called once at the end, also after a signal."""

    def condition(self) -> tuple[bool, str, Mapping[str, Any]]:
        """What is told on /diagnostics: `status`, and what the kind of node adds to it."""
        return self.status()

    def _report(self) -> None:
        well, line, figures = self.condition()
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK if well else DiagnosticStatus.ERROR,
            name=self.get_fully_qualified_name().lstrip("/"),
            message=line,
            values=[KeyValue(key=k, value=str(v)) for k, v in figures.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def _executor(kind: str) -> Executor:
    return MultiThreadedExecutor(2) if kind == "multi" else SingleThreadedExecutor()


def run(build: Callable[[], IrlNode], arguments: Sequence[str] | None = None) -> int:
    """Spin a node until it finishes or SIGINT, SIGTERM or SIGHUP comes; returns the exit code.

    The context stays valid until the node's `close` has run, so a node can still bring an arm to rest. That
    holds as well when a callback raises, which is a defect of ours: told with its traceback, exit code 1.
    """
    follow_parent()
    signals: list[int] = []
    # a terminal that is closed is no reason to leave an arm with its last command
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup
            signal.signal(number, lambda n, _: signals.append(n))
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = build()
        executor = _executor(node.value("executor"))
        executor.add_node(node)
        node.come_up()
        if node.value("priority"):
            take_priority(node.value("priority"))
        # what is loaded by now stays: a collection that walks through all of it would halt a control loop
        gc.collect()
        gc.freeze()
        with woken_by_signals(executor):
            while not signals and node.exit_code is None:
                # an answer may be due on a service that a transition has taken down meanwhile
                with contextlib.suppress(InvalidHandle):
                    executor.spin_once()
        return node.exit_code or 0
    except InputError as error:
        return _complain(str(error))
    except _PARAMETER_FAULTS as error:
        return _complain(f"parameter: {error}")
    except Exception:
        print(f"irl_ros: {traceback.format_exc()}", file=sys.stderr, flush=True)
        return 1
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()


def _complain(line: str) -> int:
    print(f"irl_ros: {line}", file=sys.stderr, flush=True)
    return 2
