"""A table of throws a second: measured, printed row by row. For throughput.py and its peers."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from irl_ros.sim.world import World

Throw = Callable[[], Any]


class Table:
    """Measures and prints rows as they are known.

    Args:
        seconds: for a row.
        device: whose work is waited for.
    """

    def __init__(self, seconds: float, device: torch.device) -> None:
        self.seconds, self.device, self.first = seconds, device, 0.0
        self.clock = time.perf_counter if device.type == "cuda" else time.process_time

    def head(self) -> None:
        print(f"\n{'':56}{'N':>8}{'throws/s':>12}{'lowest':>12}{'highest':>12}{'ratio':>8}  bounded by")

    def row(self, name: str, count: int, throw: Throw, bound: str | Callable[[], str]) -> None:
        """`throw` makes `count` throws; `bound` says, or finds out, what takes the time."""
        rates = self.rates(count, throw)
        middle = statistics.median(rates)
        self.first = self.first or middle
        why = bound if isinstance(bound, str) else bound()
        numbers = f"{middle:12,.0f}{min(rates):12,.0f}{max(rates):12,.0f}{middle / self.first:8.1f}"
        print(f"{name:56}{count:8}{numbers}  {why}", flush=True)

    def rates(self, count: int, throw: Throw) -> list[float]:
        """Throws a second, again and again, after one to warm up."""
        self._timed(throw)
        rates: list[float] = []
        deadline = time.perf_counter() + self.seconds
        while len(rates) < 3 or time.perf_counter() < deadline:
            rates.append(count / self._timed(throw))
        return rates

    def _timed(self, throw: Throw) -> float:
        begin = self.clock()
        throw()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return self.clock() - begin


@contextlib.contextmanager
def skipping(what: str) -> Iterator[None]:
    """Say in a line why rows are missing."""
    try:
        yield
    except ImportError as error:
        print(f"{what}: skipped, {error}", flush=True)
    except Exception as error:
        print(f"{what}: failed, {type(error).__name__}: {str(error).splitlines()[0][:120]}", flush=True)


def random_actions(world: World, count: int, device: torch.device) -> list[torch.Tensor]:
    """Joint velocities anywhere in their range; let go after a third of the throw. [T] of [count, n + 1]."""
    draw = torch.Generator(device=device).manual_seed(0)
    shape = count, world.action_dim
    actions = [2 * torch.rand(shape, generator=draw, device=device) - 1 for _ in range(world.horizon)]
    for t, action in enumerate(actions):
        action[:, -1] = 1.0 if t >= world.horizon // 3 else -1.0
    return actions
