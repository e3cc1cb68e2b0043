"""Compiled throws, called on tensors."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.robot import Robot
from irl_ros.sim.compiler import CannotCompile, compile_cpu, compile_cuda
from irl_ros.sim.pilot import Pilot
from irl_ros.sim.throw_kernel import ThrowKernel
from irl_ros.sim.throw_layout import FUNCTION, TRAJECTORY, constant_rows, state_rows

BLOCK = 128
"""CUDA threads of a block."""
SHARE = 2048
"""Control steps of throws that are worth a CPU thread of their own."""
FORMULAS = (
    "robots.components",
    "robots.inertia",
    "robots.kinematics",
    "robots.dynamics",
    "sim.arm_step",
    "sim.flight_step",
    "sim.joint_limits",
    "sim.kernel_values",
    "sim.recorded",
    "sim.throw_formulas",
    "sim.throw_kernel",
    "sim.throw_layout",
)
"""Modules that the source depends on: while they and the robot stay the same, it is not written anew."""

Function = Callable[..., None]
_known: dict[tuple[str, str, str, torch.dtype], Function | CannotCompile] = {}


@dataclass(frozen=True)
class Clock:
    """Time of some throws: physics steps in a control step, control steps done and in an episode."""

    steps: int
    time: int
    horizon: int


@dataclass(frozen=True)
class Run:
    """What came of some control steps.

    Attributes:
        state: rows of `state_rows`, [S, N].
        trajectory: rows of TRAJECTORY at each control step, [N, T + 1, R]; None where nobody asked.
        seen, acted, chosen: a Pilot's, as in `throw_layout.POINTERS`; None without one.
    """

    state: Tensor
    trajectory: Tensor | None = None
    seen: Tensor | None = None
    acted: Tensor | None = None
    chosen: Tensor | None = None


class CompiledThrows:
    """N throws in machine code. `begin`, then `run`.

    Args:
        function: `throws` of a `ThrowKernel`.
        n: joints.
        device, dtype: of the tensors.
    """

    def __init__(self, function: Function, n: int, device: torch.device, dtype: torch.dtype) -> None:
        self._function, self._n, self._device, self._dtype = function, n, device, dtype
        self._flags = 0
        self._nothing = torch.empty(0, device=device, dtype=dtype)

    def begin(self, constants: dict[str, Tensor], flags: int) -> None:
        """Limits, loads and air: [k] of all throws, or [N, k] of each."""
        parts = [constants[name].to(self._device, self._dtype) for name in constant_rows(self._n)]
        count = max((len(x) for x in parts if x.dim() == 2), default=1)
        rows = [(x if x.dim() == 2 else x[None]).expand(count, -1).T for x in parts]
        self._constants, self._flags = torch.cat(rows).contiguous(), flags

    def run(
        self,
        state: Tensor,
        clock: Clock,
        actions: Tensor | None = None,
        pilot: Pilot | None = None,
        noise: Tensor | None = None,
        watch: bool = False,
    ) -> Run:
        """Control steps.

        Args:
            state: before them, [S, N].
            clock: when.
            actions: [N, T, n + 1], where they are given.
            pilot: decides, where they are not.
            noise: for the pilot, as in `BatchWorld.fly`.
            watch: keep the states of every control step.
        """
        count, n = state.shape[1], self._n
        lent: dict[str, Tensor] = {}
        if pilot is not None:
            assert noise is not None
            periods = noise.shape[1]
            lent = {
                "seen": self._empty(periods + 1, count, 2 * n + 14),
                "acted": self._empty(periods, count, n + 1),
                "chosen": self._empty(periods, count, 2),
            }
            strides = [0, 0, 0]
        else:
            assert actions is not None
            periods = actions.shape[1]
            actions = actions.to(self._device, self._dtype)
            strides = [actions.stride(1), actions.stride(2), actions.stride(0)]
        if watch:
            width = sum(state_rows(n)[name] for name in TRAJECTORY)
            lent["trajectory"] = self._empty(periods + 1, count, width)
        state = state.contiguous()
        left = torch.empty_like(state)
        flags, nothing = self._flags, self._nothing
        layers = packed = nothing
        if pilot is not None:
            layers, packed = pilot.layers(self._device), pilot.packed(self._device, self._dtype)
            flags |= pilot.flags
        each = self._constants.shape[1] > 1
        pointers = [
            self._constants,
            state,
            left,
            nothing if actions is None else actions,
            lent.get("trajectory", nothing),
            packed,
            layers,
            nothing if noise is None else noise,
            *(lent.get(name, nothing) for name in ("seen", "acted", "chosen")),
        ]
        numbers = [int(each), self._constants.shape[1], *strides]
        numbers += [clock.steps, periods, clock.time, clock.horizon, flags, count]
        if self._device.type == "cuda":
            self._launch(pointers, numbers, count)
        else:
            self._call(pointers, numbers, count, periods)
        return Run(left, **{name: x.transpose(0, 1) for name, x in lent.items()})

    def try_out(self) -> None:
        """Start it once: what compiles may still ask more of a device than it has.

        Raises:
            CannotCompile: it cannot be started.
        """
        self.begin({name: torch.ones(rows) for name, rows in constant_rows(self._n).items()}, 0)
        state = self._empty(sum(state_rows(self._n).values()), 1).zero_()
        try:
            self.run(state, Clock(1, 0, 1), torch.zeros(1, 1, self._n + 1))
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()
            raise CannotCompile(f"it cannot be started ({reason[0] if reason else 'no message'})") from None

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(*shape, device=self._device, dtype=self._dtype)

    def _call(self, pointers: list[Tensor], numbers: list[int], count: int, periods: int) -> None:
        arguments = [ctypes.c_void_p(x.data_ptr()) for x in pointers]
        threads = min(torch.get_num_threads(), -(-count * periods // SHARE))
        if threads <= 1:  # none for no throws
            self._function(*arguments, *numbers, 0, count)
            return
        share = -(-count // (threads * 16)) * 16
        ranges = [(i, min(i + share, count)) for i in range(0, count, share)]
        list(_threads(threads).map(lambda r: self._function(*arguments, *numbers, *r), ranges))

    def _launch(self, pointers: list[Tensor], numbers: list[int], count: int) -> None:
        grid = (-(-count // BLOCK), 1, 1)
        with torch.cuda.device(self._device):
            self._function(grid=grid, block=(BLOCK, 1, 1), args=[*pointers, *numbers])


def compiled_throws(robot: Robot, device: torch.device, dtype: torch.dtype) -> CompiledThrows:
    """The compiled throws of a robot; compiled now unless they were before.

    Raises:
        CannotCompile: there is no compiler for this device, it fails, or a GPU cannot run what it made.
    """
    throws = CompiledThrows(compiled_function(FUNCTION, robot, device, dtype), robot.n, device, dtype)
    if device.type == "cuda":
        throws.try_out()
    return throws


def compiled_function(name: str, robot: Robot, device: torch.device, dtype: torch.dtype) -> Function:
    """A function of a robot's ThrowKernel. As `compiled_throws`."""
    key = (name, robot.sha256, device.type, dtype)
    if key not in _known:
        try:
            _known[key] = _compile(name, robot, device, dtype)
        except CannotCompile as reason:
            _known[key] = reason
    function = _known[key]
    if isinstance(function, CannotCompile):
        raise function
    return function


def _compile(function: str, robot: Robot, device: torch.device, dtype: torch.dtype) -> Function:
    cuda, double = device.type == "cuda", dtype == torch.float64
    if dtype not in (torch.float32, torch.float64):
        raise CannotCompile(f"{dtype} is neither float32 nor float64")
    if device.type not in ("cpu", "cuda"):
        raise CannotCompile(f"there is none for device '{device.type}'")

    def source() -> str:
        return ThrowKernel(robot.kinematics(), Dynamics(robot)).source(cuda, double)

    name = f"{robot.name}-{'float64' if double else 'float32'}"
    key = "\0".join((robot.sha256, str(cuda), str(double), formulas_sha256()))
    build = compile_cuda if cuda else compile_cpu
    return build(source, function, name, key)


@cache
def formulas_sha256() -> str:
    """Hash of the modules whose formulas are compiled."""
    digest = hashlib.sha256()
    for name in FORMULAS:
        digest.update(Path(str(sys.modules[f"irl_ros.{name}"].__file__)).read_bytes())
    return digest.hexdigest()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="irl_ros-throws")
