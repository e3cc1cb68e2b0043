"""BulletPool: BulletWorlds in processes of their own, so that PyBullet throws use every core."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import fields
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NoReturn

import torch
from torch import Tensor

from irl_ros.sim import rollout
from irl_ros.sim.batch_world import BatchWorld
from irl_ros.sim.conditions import Conditions
from irl_ros.sim.disturbances import Readings
from irl_ros.sim.pool_worker import ACTION, DONE, STEP, Fault, serve
from irl_ros.sim.shared_batch import Layout, SharedBatch
from irl_ros.sim.state import Outcome, State, Throws
from irl_ros.sim.world import World

PATIENCE = 10.0
"""How long a process may take to finish its step and end, s, before it is killed."""


class BulletPool:
    """N throws in PyBullet, spread over processes and advanced together. Implements `Simulator`.

    The policy stays in this process and is asked once a step for all throws, so it may be any callable, on
    any device, with any state of its own. Actions and states pass through shared memory, a step costs a
    short message to and from each process. A throw is the same bit by bit in any number of processes.

    The processes come from a fork server, which is safe beside the threads of torch, CUDA and ROS; the first
    pool of a program takes about two seconds to start, later ones a fraction. They end with this process,
    however it ends. Where one of them dies, the others are ended and the pool is closed.

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
        self._shared = _shared_memory(world)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for _ in range(processes or len(os.sched_getaffinity(0))):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, world, self._shared), daemon=True)
            with _without_main():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._busy: list[tuple[int, slice]] = []

    def throw(
        self,
        policy: Callable[[State], Tensor],
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> Throws:
        """Whole throws. As `rollout.throw`."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more would only get in the processes' way: twice as slow on two cores
        try:
            return rollout.throw(self, policy, targets, start, conditions)
        finally:
            torch.set_num_threads(threads)

    def reset(
        self,
        targets: Tensor,
        start: tuple[Tensor, Tensor] | None = None,
        conditions: Conditions | None = None,
    ) -> State:
        """Begin N throws. As `BulletWorld.reset`."""
        count = targets.shape[0]
        # drawn here, by this process's generator: no matter how many processes there are
        if conditions is None:
            conditions = self.world.sample_conditions(count)
        self.conditions = conditions
        self._readings = None if conditions is None else Readings(conditions)
        self._steps = 0
        self._deal(count)
        self._shared.resize(count)
        targets = _own(targets)
        if start is not None:
            start = _own(start[0]), _own(start[1])
        messages = []
        for _, rows in self._busy:
            begin = None if start is None else (start[0][rows], start[1][rows])
            drawn = None if conditions is None else conditions[rows]
            arguments = {"targets": targets[rows], "start": begin, "conditions": drawn}
            messages.append(pickle.dumps(("reset", {"total": count, "rows": rows, **arguments})))
        self._ask(messages)
        return self._show()

    def step(self, action: Tensor) -> State:
        """Advance one control step. As `BulletWorld.step`."""
        self._shared[ACTION].copy_(action.detach())
        self._ask([STEP] * len(self._busy))
        self._steps += 1
        return self._show()

    def observed(self) -> State:
        """The latest state as sensors show it. As `BulletWorld.observed`."""
        return self.state if self._readings is None else self._readings(self.state, self._steps)

    def outcome(self) -> Outcome:
        """What came of the throws so far."""
        answers = self._ask([pickle.dumps(("outcome", {}))] * len(self._busy))
        outcomes = [Outcome(**{k: torch.from_numpy(x) for k, x in answer.items()}) for answer in answers]
        return Outcome.cat(outcomes).to(dtype=self.dtype)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(PATIENCE)
            if process.exitcode is None:
                process.kill()
                process.join()
        self._pipes, self._processes, self._busy = [], [], []
        self._shared.close()

    def __enter__(self) -> BulletPool:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _deal(self, count: int) -> None:
        """Give every process its rows, as equally many as can be."""
        if not self._pipes:
            raise RuntimeError("the simulation processes have ended: make a new BulletPool")
        share, extra = divmod(count, len(self._pipes))
        ends = [0]
        for i in range(len(self._pipes)):
            ends.append(ends[-1] + share + (i < extra))
        dealt = [(i, slice(a, b)) for i, (a, b) in enumerate(itertools.pairwise(ends))]
        self._busy = [(i, rows) for i, rows in dealt if rows.start < rows.stop]

    def _show(self) -> State:
        """A copy of what the processes have written."""
        shared = State(**{field.name: self._shared[field.name] for field in fields(State)})
        self.state = shared.map(lambda x: x.to(self.dtype if x.is_floating_point() else x.dtype, copy=True))
        return self.state

    def _ask(self, messages: list[bytes]) -> list[Any]:
        """Send every busy process its message and gather their answers; None where there is but `DONE`."""
        if not self._busy:
            raise RuntimeError("no throws have begun in this BulletPool: reset comes first")
        answers = []
        try:
            for (i, _), message in zip(self._busy, messages, strict=True):
                self._pipes[i].send_bytes(message)
            for i, _ in self._busy:
                answers.append(self._pipes[i].recv_bytes())
        except (EOFError, ConnectionError):
            self._tell_of_death(i)
        told = [None if answer == DONE else pickle.loads(answer) for answer in answers]
        for fault in told:
            if isinstance(fault, Fault):
                raise fault.error from RuntimeError(fault.traceback)
        return told

    def _tell_of_death(self, i: int) -> NoReturn:
        process, count = self._processes[i], len(self._processes)
        process.join(PATIENCE)
        code = process.exitcode
        self.close()
        if code is not None and code < 0:
            reason = f"killed by {signal.Signals(-code).name}"
            reason += " (out of memory?)" if -code == signal.SIGKILL else ""
        else:
            reason = f"ended with exit code {code}"
        raise RuntimeError(f"simulation process {i + 1} of {count} has died: {reason}") from None


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


def _shared_memory(world: World) -> SharedBatch:
    """What passes at every step: an action, and a State as BulletWorld has it."""
    state = BatchWorld(world, dtype=torch.float64).reset(torch.zeros(1, 3))
    layout: Layout = {ACTION: (torch.float64, (world.action_dim,))}
    for field in fields(State):
        shown = getattr(state, field.name)
        layout[field.name] = (shown.dtype, tuple(shown.shape[1:]))
    return SharedBatch(layout)


def _own(x: Tensor) -> Tensor:
    """On the CPU, in double precision."""
    return x.detach().to("cpu", torch.float64)
