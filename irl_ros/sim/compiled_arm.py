"""The compiled control step of an arm, called on tensors."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.robot import Robot
from irl_ros.sim.arm_kernel import INPUTS, ArmKernel, output_rows
from irl_ros.sim.compiler import CannotCompile, compile_cpu, compile_cuda

BLOCK = 128
"""CUDA threads of a block."""
SHARE = 2048
"""Throws that are worth a CPU thread of their own."""
FORMULAS = (
    "robots.components",
    "robots.inertia",
    "robots.kinematics",
    "robots.dynamics",
    "sim.arm_kernel",
    "sim.arm_step",
    "sim.joint_limits",
    "sim.kernel_values",
    "sim.recorded",
)
"""Modules that the source depends on: while they and the robot stay the same, it is not written anew."""

Function = Callable[..., None]
_known: dict[tuple[str, str, torch.dtype], Function | CannotCompile] = {}


class CompiledArm:
    """A control step of N arms in machine code. `begin`, then call.

    Args:
        function: `control_step` of an `ArmKernel`.
        n: joints.
        device, dtype: of the tensors.
    """

    def __init__(self, function: Function, n: int, device: torch.device, dtype: torch.dtype) -> None:
        self._function, self._device, self._dtype = function, device, dtype
        self._rows = output_rows(n)
        self._size = sum(self._rows.values())

    def begin(self, constants: dict[str, Tensor]) -> None:
        """Limits and loads: [k] of all throws, or [N, k] of each."""
        self._constants = {
            name: (x.T if x.dim() == 2 else x[:, None]).contiguous() for name, x in constants.items()
        }

    def __call__(self, q: Tensor, qd: Tensor, action: Tensor, steps: int) -> dict[str, Tensor]:
        """The fields of an ArmMotion, for q, qd, action [N, n] and a number of physics steps."""
        count = q.shape[0]
        values = {"q": q.T, "qd": qd.T, "action": action.to(self._device, self._dtype).T} | self._constants
        arrays = [values[name] for name in INPUTS]
        out = torch.empty(self._size, count, device=self._device, dtype=self._dtype)
        if self._device.type == "cuda":
            self._launch(arrays, out, steps, count)
        else:
            self._run(arrays, out, steps, count)
        parts = out.split(list(self._rows.values()))
        return {
            name: part[0] if size == 1 else part.T
            for (name, size), part in zip(self._rows.items(), parts, strict=True)
        }

    def _run(self, arrays: list[Tensor], out: Tensor, steps: int, count: int) -> None:
        arguments: list[Any] = []
        for x in arrays:
            arguments += [ctypes.c_void_p(x.data_ptr()), x.stride(0), _lane(x)]
        arguments += [ctypes.c_void_p(out.data_ptr()), steps, count]
        threads = min(torch.get_num_threads(), -(-count // SHARE))
        if threads <= 1:  # none for no throws
            self._function(*arguments, 0, count)
            return
        share = -(-count // (threads * 16)) * 16
        ranges = [(i, min(i + share, count)) for i in range(0, count, share)]
        list(_threads(threads).map(lambda r: self._function(*arguments, *r), ranges))

    def _launch(self, arrays: list[Tensor], out: Tensor, steps: int, count: int) -> None:
        arguments: list[Any] = []
        for x in arrays:
            arguments += [x, x.stride(0), _lane(x)]
        grid = (-(-count // BLOCK), 1, 1)
        with torch.cuda.device(self._device):
            self._function(grid=grid, block=(BLOCK, 1, 1), args=[*arguments, out, steps, count])


def compiled_arm(robot: Robot, device: torch.device, dtype: torch.dtype) -> CompiledArm:
    """The compiled control step of a robot; compiled now unless it was before.

    Raises:
        CannotCompile: there is no compiler for this device, or it fails.
    """
    key = (robot.sha256, device.type, dtype)
    if key not in _known:
        try:
            _known[key] = _compile(robot, device, dtype)
        except CannotCompile as reason:
            _known[key] = reason
    function = _known[key]
    if isinstance(function, CannotCompile):
        raise function
    return CompiledArm(function, robot.n, device, dtype)


def _compile(robot: Robot, device: torch.device, dtype: torch.dtype) -> Function:
    cuda, double = device.type == "cuda", dtype == torch.float64
    if dtype not in (torch.float32, torch.float64):
        raise CannotCompile(f"{dtype} is neither float32 nor float64")
    if device.type not in ("cpu", "cuda"):
        raise CannotCompile(f"there is none for device '{device.type}'")

    def source() -> str:
        return ArmKernel(robot.kinematics(), Dynamics(robot)).source(cuda, double)

    name = f"{robot.name}-{'float64' if double else 'float32'}"
    key = "\0".join((robot.sha256, str(cuda), str(double), formulas_sha256()))
    build = compile_cuda if cuda else compile_cpu
    return build(source, "control_step", name, key)


@cache
def formulas_sha256() -> str:
    """Hash of the modules whose formulas are compiled."""
    digest = hashlib.sha256()
    for name in FORMULAS:
        digest.update(Path(str(sys.modules[f"irl_ros.{name}"].__file__)).read_bytes())
    return digest.hexdigest()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="irl_ros-arm")


def _lane(x: Tensor) -> int:
    """Steps from one throw to the next in memory; 0 for what all throws share."""
    return 0 if x.shape[1] == 1 else x.stride(1)
