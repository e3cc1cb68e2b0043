"""Session: nodes as child processes, and an ear on their topics. None outlives it, however it ends."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from irl_ros.nodes.lifeline import mark
from irl_ros.nodes.nursery import ForkedNode
from irl_ros.nodes.terminal import clear_line

LIMIT = 120.0
"""s that a node gets to appear or to answer; a busy machine may need a good part of it."""
_PATIENCE = (10.0, 5.0)  # s after SIGINT, then after SIGTERM
_PORT_BASE = 32768  # as ros-domain-coordinator counts, so that both keep out of each other's domains


@dataclass
class Child:
    """A node's process."""

    name: str
    process: subprocess.Popen | ForkedNode
    log: Path
    wanted: bool = True
    """Its end would be a surprise."""


class Session:
    """Context manager around rclpy, one listening node, and the children it starts.

    Everything lives in a ROS domain of its own on this machine only, unless ROS_DOMAIN_ID says otherwise.

    Args:
        name: of the listening node.
        logs: folder for the children's output; default: a temporary one, kept when something fails.
        own_domain: False: live where the environment says, beside other nodes.
        forked: nodes are forked from a process that has imported them, which takes a fifth of the time.

    Attributes:
        node: for subscriptions, publishers and clients.
    """

    def __init__(
        self, name: str, logs: Path | None = None, own_domain: bool = True, forked: bool = False
    ) -> None:
        self.name, self._logs_given, self._own_domain, self._forked = name, logs, own_domain, forked
        self.children: list[Child] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Session:
        with contextlib.ExitStack() as stack:
            self.logs = self._logs_given or Path(tempfile.mkdtemp(prefix="irl_ros-"))
            self.logs.mkdir(parents=True, exist_ok=True)
            if self._own_domain:
                stack.enter_context(_own_domain())
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.node: Node = rclpy.create_node(self.name)
            stack.callback(self.node.destroy_node)
            self._executor = SingleThreadedExecutor()
            self._executor.add_node(self.node)
            stack.callback(self._stop_all)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._stack.close()
        if kind is None and self._logs_given is None:
            shutil.rmtree(self.logs, ignore_errors=True)

    def start(
        self, name: str, simulated_time: bool = True, terminal: bool = False, **parameters: Any
    ) -> Child:
        """Start one of our nodes.

        Args:
            name: which.
            simulated_time: it lives by /clock.
            terminal: it reads and writes our own terminal, not a log.
            parameters: of the node.
        """
        file = self.logs / f"{name}.yaml"
        values = {"use_sim_time": simulated_time, **parameters}
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        log = self.logs / f"{name}.log"
        arguments, environment = [name, "--ros-args", "--params-file", str(file)], _environment(terminal)
        process = (
            ForkedNode(arguments, environment, log)
            if self._forked and not terminal
            else _spawned(arguments, environment, None if terminal else log)
        )
        self.children.append(child := Child(name, process, log))
        return child

    def stop(self, *children: Child) -> None:
        """Take children down: SIGINT, then SIGTERM, then force."""
        for child in children:
            child.wanted = False
        with _deaf_to_interrupts():
            for number, patience in ((signal.SIGINT, _PATIENCE[0]), (signal.SIGTERM, _PATIENCE[1])):
                alive = [c.process for c in children if c.process.poll() is None]
                for process in alive:
                    process.send_signal(number)
                _wait(alive, patience)
            for child in children:
                child.process.kill()
                child.process.wait()
        self.children = [c for c in self.children if c not in children]

    def until(self, condition: Callable[[], bool], limit: float, what: str) -> None:
        """Spin until a condition holds.

        Raises:
            RuntimeError: it does not within `limit` s, or a child died; then the text has its last words.
        """
        end = time.monotonic() + limit
        while not condition():
            self._executor.spin_once(timeout_sec=0.1)
            self._check_children()
            if time.monotonic() > end:
                raise RuntimeError(f"{what} within {limit:g} s; logs: {self.logs}")

    def finish(self, child: Child, limit: float) -> None:
        """Spin until a child has done its work and ended.

        Raises:
            RuntimeError: it failed, or takes longer than `limit` s.
        """
        self.until(lambda: child.process.poll() is not None, limit, f"{child.name} did not end")
        child.wanted = False
        if child.process.returncode:
            raise RuntimeError(_obituary(child))

    def ask(self, service: str, limit: float = LIMIT) -> tuple[bool, str]:
        """Call a Trigger service, waiting for it to appear; returns success and message."""
        client = self.node.create_client(Trigger, service)
        try:
            self.until(client.service_is_ready, limit, f"no service {service}")
            future = client.call_async(Trigger.Request())
            self.until(future.done, limit, f"{service} did not answer")
            return future.result().success, future.result().message
        finally:
            self.node.destroy_client(client)

    def demand(self, service: str, limit: float = LIMIT) -> str:
        """`ask`, and a refusal is a RuntimeError."""
        success, message = self.ask(service, limit)
        if not success:
            raise RuntimeError(f"{service}: {message}")
        return message

    def _check_children(self) -> None:
        for child in self.children:
            if child.wanted and child.process.poll() not in (None, 0):
                raise RuntimeError(_obituary(child))

    def _stop_all(self) -> None:
        self.stop(*self.children)


def _spawned(arguments: list[str], environment: dict[str, str], log: Path | None) -> subprocess.Popen:
    """A node as a program of its own; without a log it reads and writes our own terminal."""
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("a")) if log else None
        return subprocess.Popen(
            [sys.executable, "-m", "irl_ros.nodes", *arguments],
            env=mark(environment),
            stdin=subprocess.DEVNULL if log else None,
            stdout=output,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,  # Ctrl-C reaches us only; we take them down in order
        )


def _environment(terminal: bool) -> dict[str, str]:
    """Of a child; a person who reads its log lines wants their text and nothing before it."""
    plain = {
        "RCUTILS_CONSOLE_OUTPUT_FORMAT": f"{clear_line()}{{message}}",
        "RCUTILS_LOGGING_USE_STDOUT": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
    }
    return {**(plain if terminal else {}), **os.environ}


def _obituary(child: Child) -> str:
    lines = [line for line in child.log.read_text(errors="replace").splitlines() if line.strip()]
    last = f": {lines[-1].strip()}" if lines else ""
    return f"node {child.name} ended with code {child.process.returncode}{last}; log: {child.log}"


def _wait(processes: list[subprocess.Popen | ForkedNode], patience: float) -> None:
    end = time.monotonic() + patience
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(end - time.monotonic(), 0.0))


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A second Ctrl-C must not leave children behind; they get only seconds anyway."""
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _own_domain() -> Iterator[None]:
    """ROS on this machine only, in a domain nobody else uses, unless the environment says otherwise."""
    wanted: dict[str, str] = {}
    claim = None
    if "ROS_AUTOMATIC_DISCOVERY_RANGE" not in os.environ:
        wanted["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if "ROS_DOMAIN_ID" not in os.environ:
        claim, domain = _claim_domain()
        wanted["ROS_DOMAIN_ID"] = str(domain)
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key in wanted:
            os.environ.pop(key, None)
        if claim is not None:
            claim.close()


def _claim_domain() -> tuple[socket.socket, int]:
    """A free domain id, and the socket that keeps it ours while it is open."""
    for domain in random.sample(range(1, 101), 100):
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind(("", _PORT_BASE + domain))
            return claim, domain
        except OSError:
            claim.close()
    raise RuntimeError("all ROS domains are taken; set ROS_DOMAIN_ID")
