"""BulletPool: BulletWorlds in processes of their own, so that PyBullet throws use every core."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import fields
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from irl_ros.sim import rollout
from irl_ros.sim.bullet_world import BulletWorld
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Readings
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World

AT_ONCE = 8  # throws a process holds in `throw`: 28 MB each, and more would be hardly faster
Arrays = dict[str, np.ndarray]


class BulletPool:
    """N throws in PyBullet, spread over processes and advanced together. Implements `Simulator`.

    The policy stays in this process and is asked once a step for all throws, so it may be any callable, on
    any device, with any state of its own. The processes come from a fork server, which is safe beside the
    threads of torch, CUDA and ROS; the first pool of a program takes about two seconds to start, later ones a
    fraction.

    Args:
        world: what is simulated.
        processes: default: one a core.
        dtype: of the tensors shown (inside all is float64).
    """

    def __init__(
        self, world: World, processes: int | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.world, self.dtype, self.device = world, dtype, torch.device("cpu")
        self.conditions: Conditions | None = None
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for _ in range(processes or len(os.sched_getaffinity(0))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, world), daemon=True)
            with _without_main():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._sizes = [0] * len(self._pipes)

    def throw(
        self,
        policy: Callable[[State], Tensor],
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> Throws:
        """Whole throws at any number of targets, some at a time. As `rollout.throw`."""
        size, parts = AT_ONCE * len(self._pipes), []
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more would only get in the processes' way: twice as slow on two cores
        try:
            for i in range(0, targets.shape[0], size):
                begin = None if start is None else (start[0][i : i + size], start[1][i : i + size])
                drawn = None if conditions is None else conditions[i : i + size]
                parts.append(rollout.throw(self, policy, targets[i : i + size], begin, drawn))
        finally:
            torch.set_num_threads(threads)
        return Throws.cat(parts)

    def reset(
        self,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> State:
        """Begin N throws. As `BulletWorld.reset`."""
        self.conditions = conditions
        if conditions is None:
            self.conditions = self.world.sample_conditions(targets.shape[0])
        self._readings = None if self.conditions is None else Readings(self.conditions)
        self._steps = 0
        share, extra = divmod(targets.shape[0], len(self._pipes))
        self._sizes = [share + (i < extra) for i in range(len(self._pipes))]
        count, n = targets.shape[0], self.world.robot.n
        if start is None:
            start = (torch.as_tensor(self.world.home).expand(count, n), torch.zeros(count, n))
        drawn = [] if self.conditions is None else [_numpy(self.conditions.packed())]
        return self._state(self._call("reset", _numpy(targets), *map(_numpy, start), *drawn))

    def step(self, action: Tensor) -> State:
        """Advance one control step. As `BulletWorld.step`."""
        self._steps += 1
        return self._state(self._call("step", _numpy(action)))

    def observed(self) -> State:
        """The latest state as sensors show it. As `BulletWorld.observed`."""
        return self.state if self._readings is None else self._readings(self.state, self._steps)

    def outcome(self) -> Outcome:
        """What came of the throws so far."""
        return Outcome(**self._call("outcome")).to(dtype=self.dtype)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()
        self._pipes, self._processes = [], []

    def __enter__(self) -> BulletPool:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _state(self, values: dict[str, Tensor]) -> State:
        self.state = State(**values).to(dtype=self.dtype)
        return self.state

    def _call(self, verb: str, *arrays: np.ndarray) -> dict[str, Tensor]:
        """Give every process its rows of `arrays`, then gather the rows they answer."""
        busy = [(pipe, size) for pipe, size in zip(self._pipes, self._sizes) if size]
        row = 0
        try:
            for pipe, size in busy:
                pipe.send((verb, [array[row : row + size] for array in arrays]))
                row += size
            answers = [pipe.recv() for pipe, _ in busy]
        except (EOFError, ConnectionError):
            raise RuntimeError("a simulation process has died (out of memory?)") from None
        for answer in answers:
            if isinstance(answer, str):
                raise RuntimeError(f"a simulation process failed:\n{answer}")
        return {k: torch.from_numpy(np.concatenate([a[k] for a in answers])) for k in answers[0]}


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keeps a starting process from running the program's main module again, which it has no need of.

    So pools work in scripts without a `__main__` guard and in Python read from stdin.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _serve(pipe: Connection, world: World) -> None:
    """What a process of the pool does until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end closes the pipe
    torch.set_num_threads(1)  # the cores are taken by the processes
    simulator = BulletWorld(world)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            verb, arrays = pipe.recv()
            try:
                answer: Arrays | str = _do(simulator, verb, [torch.from_numpy(a) for a in arrays])
            except Exception:
                answer = traceback.format_exc()
            pipe.send(answer)


def _do(simulator: BulletWorld, verb: str, rows: list[Tensor]) -> Arrays:
    if verb == "reset":
        drawn = Conditions.unpack(rows[3], simulator.world.robot.n) if len(rows) > 3 else None
        result: State | Outcome = simulator.reset(rows[0], (rows[1], rows[2]), drawn)
    elif verb == "step":
        result = simulator.step(rows[0])
    else:
        result = simulator.outcome()
    return {field.name: getattr(result, field.name).numpy() for field in fields(result)}


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().to("cpu", torch.float64).numpy()
