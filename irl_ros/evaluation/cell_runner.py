"""Makes the cells of a comparison, some at a time, each in a process of its own.

A process a cell, so that a crash costs one cell. What is done is on disk at once; whatever ends the run, the
same cells handed in again go on from there.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from irl_ros.evaluation.cells import BLOCKED, DONE, FAILED, NO_REWARD, Cell, Result
from irl_ros.irl.run_directory import read_metrics
from irl_ros.irl.trainer import clock

PRELOADED = [__name__, "torch._dynamo"]
"""Imported once and not in every process; the second would be with the first optimiser, in seconds."""
HEARTBEAT = 60.0
"""Seconds between two lines about what is running, where nobody looks at a terminal."""


@dataclass
class _Running:
    cell: Cell
    process: Any
    began: float


class CellRunner:
    """Makes cells in order, as far as what they need is there.

    Args:
        cells: in the order they should be made.
        jobs: how many at a time.
        retry: make cells again that have failed before.
        after: called with every cell that has just been made, and its result.
        source: of the program, kept with every cell that is made.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        jobs: int = 1,
        retry: bool = False,
        after: Callable[[Cell, Result], None] = lambda cell, result: None,
        source: str = "",
    ) -> None:
        self.cells, self.jobs, self.after, self.source = cells, jobs, after, source
        self.results: dict[Cell, Result] = {}
        self.made: list[tuple[Cell, float]] = []
        for cell in cells:
            result = cell.result()
            if result is not None and result.status == FAILED and retry:
                cell.forget()
            elif result is not None:
                self.results[cell] = result
        self.found = len(self.results)

    def run(self) -> dict[Cell, Result]:
        """Make what is not there yet; returns the results of all cells.

        Raises:
            KeyboardInterrupt: stopped; what was being made goes on from its last checkpoint next time.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        running: list[_Running] = []
        progress = _Progress(self)
        try:
            while len(self.results) < len(self.cells):
                for cell in self._ready(running):
                    if len(running) == self.jobs:
                        break
                    running.append(_start(context, cell, self.source))
                progress.show(running)
                if running:
                    wait([r.process.sentinel for r in running], timeout=1.0)
                for ended in [r for r in running if not r.process.is_alive()]:
                    running.remove(ended)
                    self._collect(ended, progress)
        finally:
            for r in running:
                r.process.terminate()
            for r in running:
                r.process.join()
            progress.end()
        return {cell: self.results[cell] for cell in self.cells}

    def _ready(self, running: Sequence[_Running]) -> list[Cell]:
        """Cells that can be made now; those that never can get their result here."""
        busy = {r.cell for r in running}
        ready = []
        for cell in self.cells:
            if cell in self.results or cell in busy:
                continue
            needed = [self.results.get(c) for c in cell.needs]
            if outcome := _doomed(cell, needed):
                self.results[cell] = outcome
            elif all(r is not None for r in needed):
                ready.append(cell)
        return ready

    def _collect(self, ended: _Running, progress: _Progress) -> None:
        result = ended.cell.result()
        if result is None:
            code = ended.process.exitcode
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            reason = f"its process ended with {how}{hint}"
            result = Result(FAILED, reason, None, time.monotonic() - ended.began, self.source)
            ended.cell.keep(result)
        self.results[ended.cell] = result
        self.made.append((ended.cell, result.seconds))
        progress.tell(ended.cell, result)
        self.after(ended.cell, result)

    def seconds_left(self, running: Sequence[_Running]) -> float | None:
        """A guess from cells of the same kind; None while there is none."""
        known: dict[tuple[str, ...], list[float]] = {}
        for cell, result in self.results.items():
            if result.status == DONE:
                for kind in _kinds(cell):
                    known.setdefault(kind, []).append(result.seconds)
        ahead, now = 0.0, time.monotonic()
        under_way = {r.cell: now - r.began for r in running}
        for cell in self.cells:
            if cell in self.results:
                continue
            times = next((known[kind] for kind in _kinds(cell) if kind in known), None)
            if times is None:
                return None
            ahead += max(0.0, sum(times) / len(times) - under_way.get(cell, 0.0))
        return ahead / self.jobs


def _doomed(cell: Cell, needed: Sequence[Result | None]) -> Result | None:
    """The result of a cell that cannot be made, by the results of what it needs."""
    for result in needed:
        if result is not None and result.status == NO_REWARD:
            return Result(NO_REWARD)
        if result is not None and result.status != DONE:
            return Result(BLOCKED, result.reason)
        if result is not None and cell.needs_reward and not (result.figures or {}).get("reward"):
            return Result(NO_REWARD)
    return None


def _kinds(cell: Cell) -> tuple[tuple[str, ...], ...]:
    """From the most like to the least."""
    return (cell.stage, cell.place.algo), (cell.stage,), ()


# --- the process of a cell ---


def _start(context: Any, cell: Cell, source: str) -> _Running:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(cell, theirs, source))
    process.start()
    theirs.close()
    process.lifeline = ours  # kept open as long as we live: its end tells the cell to end
    return _Running(cell, process, time.monotonic())


def _work(cell: Cell, parent: Connection, source: str) -> None:
    """Make the cell and keep its result, or why there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which tells us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    began = time.monotonic()
    cell.folder.mkdir(parents=True, exist_ok=True)
    with _output_to(cell.file.with_suffix(".log")):
        try:
            figures = cell.make()
            result = Result(DONE, "", figures, time.monotonic() - began, source)
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            result = Result(FAILED, reason[:300], None, time.monotonic() - began, source)
    cell.keep(result)


def _follow(parent: Connection) -> None:
    """End with the parent, however that ended: checkpoints are whole at any moment."""
    with contextlib.suppress(EOFError, OSError):
        parent.recv()
    os._exit(1)


@contextlib.contextmanager
def _output_to(path: Path) -> Any:
    with path.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


# --- what a person sees ---


class _Progress:
    """A line for each cell made, and one about what is running: rewritten on a terminal, rare elsewhere."""

    def __init__(self, runner: CellRunner) -> None:
        self.runner, self.terminal = runner, sys.stdout.isatty()
        self.began, self.next = time.monotonic(), time.monotonic() + (0.0 if self.terminal else HEARTBEAT)
        total = len(runner.cells)
        if runner.found:
            print(f"{runner.found} of {total} cells are there already", flush=True)

    def tell(self, cell: Cell, result: Result) -> None:
        what = _headline(cell, result) if result.status == DONE else f"{result.status}: {result.reason}"
        text = f"{cell.name}: {what}  ({clock(result.seconds)})"
        print(f"\r{text:<118}" if self.terminal else text, flush=True)
        if not self.terminal:
            print(f"  {self._state()}", flush=True)

    def show(self, running: Sequence[_Running]) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + (1.0 if self.terminal else HEARTBEAT)
        doing = "; ".join(f"{r.cell.name}{_round(r.cell)}" for r in running)
        if self.terminal:
            print(f"\r{self._state(running) + '; ' + doing:<118.118}", end="", flush=True)
        else:
            print(f"  {self._state(running)}; now {doing}", flush=True)

    def end(self) -> None:
        if self.terminal:
            print()

    def _state(self, running: Sequence[_Running] = ()) -> str:
        r = self.runner
        minutes = max(time.monotonic() - self.began, 1e-9) / 60
        left = r.seconds_left(running)
        guess = "" if left is None else f", about {clock(left)} left"
        return f"{len(r.results)}/{len(r.cells)} cells, {len(r.made) / minutes:.1f} a minute{guess}"


def _headline(cell: Cell, result: Result) -> str:
    f = result.figures or {}
    if "hit_10cm" in f:
        return f"{f['hit_10cm']:.1%} @10 cm, {f['hit_5cm']:.1%} @5 cm"
    if "return" in f:
        return f"return {f['return']:.1f}"
    if "rounds" in f:
        return f"{f['rounds']} rounds, {f['env_steps']} env steps"
    return "done"


def _round(cell: Cell) -> str:
    metrics = read_metrics(cell.run) if cell.run_of is None else []
    return f" round {metrics[-1]['iteration']}/{metrics[-1]['iterations']}" if metrics else ""
