"""What a process of a BulletPool does: the parent's rows of a batch, in a BulletWorld of its own."""

from __future__ import annotations

import contextlib
import gc
import pickle
import signal
import traceback
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

import torch

from irl_ros.errors import InputError
from irl_ros.sim.bullet_world import BulletWorld
from irl_ros.sim.shared_batch import SharedBatch
from irl_ros.sim.state import State
from irl_ros.sim.world import World

ACTION = "action"
"""What the parent writes before a step; a process writes the fields of State after it, each by its name."""
STEP, DONE = b"step", b"done"
"""The messages of a step. All others are pickled: they are sent once a throw."""


@dataclass(frozen=True)
class Fault:
    """An exception in a process, told to the parent.

    Attributes:
        error: what to raise there, in one line.
        traceback: where it was.
    """

    error: Exception
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> Fault:
        told: Exception = error
        if not isinstance(error, InputError):
            text = " ".join(str(error).split())
            told = RuntimeError(f"a simulation process failed: {type(error).__name__}: {text}")
        return cls(told, traceback.format_exc())


def serve(pipe: Connection, world: World, shared: SharedBatch) -> None:
    """Answer the parent until it closes the pipe or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end closes the pipe
    torch.set_num_threads(1)  # the cores are taken by the processes
    gc.freeze()  # the modules stay: going through them again and again took a twentieth of the time
    worker = _Worker(world, shared)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            message = pipe.recv_bytes()
            try:
                answer = worker.step() if message == STEP else worker.answer(*pickle.loads(message))
            except Exception as error:
                answer = pickle.dumps(Fault.of(error))
            pipe.send_bytes(answer)


class _Worker:
    """A BulletWorld for some rows of the batch."""

    def __init__(self, world: World, shared: SharedBatch) -> None:
        self.world, self.shared, self.rows = world, shared, slice(0)
        self.simulator: BulletWorld | None = None

    def answer(self, verb: str, arguments: dict[str, Any]) -> bytes:
        """`reset` or `outcome`, pickled."""
        if verb == "reset":
            return self.reset(**arguments)
        assert self.simulator is not None
        outcome = self.simulator.outcome()
        return pickle.dumps({field.name: getattr(outcome, field.name).numpy() for field in fields(outcome)})

    def reset(self, total: int, rows: slice, **arguments: Any) -> bytes:
        """Begin the throws of `rows`, of `total` in the batch."""
        if self.simulator is None:  # here, so that what is wrong with the robot reaches the parent
            self.simulator = BulletWorld(self.world)
        self.shared.resize(total)
        self.rows = rows
        return self._show(self.simulator.reset(**arguments))

    def step(self) -> bytes:
        assert self.simulator is not None
        # a copy: a world with latency keeps it, and the parent will write the next one over it
        return self._show(self.simulator.step(self.shared[ACTION][self.rows].clone()))

    def _show(self, state: State) -> bytes:
        for field in fields(State):
            self.shared[field.name][self.rows] = getattr(state, field.name)
        return DONE
