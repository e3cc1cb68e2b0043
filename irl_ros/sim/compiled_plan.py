"""What a control step of N arms comes to while their torques suffice: compiled, for BulletWorld."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from irl_ros.robots.robot import Robot
from irl_ros.sim.compiled_throws import compiled_function
from irl_ros.sim.compiler import CannotCompile, say_once
from irl_ros.sim.throw_layout import PLAN, plan_rows

CPU = torch.device("cpu")


class CompiledPlan:
    """The plan of `Reference` and the torques that follow it, in double precision. `begin`, then call.

    Args:
        robot: the arm.

    Raises:
        CannotCompile: there is no compiler, or it fails.
    """

    def __init__(self, robot: Robot) -> None:
        self._function, self._n = compiled_function(PLAN, robot, CPU, torch.float64), robot.n

    def begin(self, constants: dict[str, Tensor]) -> None:
        """Limits and loads: [k] of all throws, or [N, k] of each."""
        parts = [constants[name].double() for name in plan_rows(self._n)]
        count = max((len(x) for x in parts if x.dim() == 2), default=1)
        rows = [(x if x.dim() == 2 else x[None]).expand(count, -1).T for x in parts]
        self._constants = torch.cat(rows).contiguous()

    def __call__(self, q: Tensor, qd: Tensor, action: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """A control step of S physics steps from q, qd [N, n] under the joint part of an action [N, n].

        Returns:
            Velocities after each physics step, rad/s, and the torques of it, N m, [N, S, n] each; and the
            joint state [N, 2n] that they lead to.
        """
        motion, count = torch.cat((q, qd, action), -1).T.contiguous(), len(q)
        out = torch.empty(steps + 1, 2 * self._n, count, dtype=torch.float64)
        arrays = [ctypes.c_void_p(x.data_ptr()) for x in (self._constants, motion, out)]
        each = self._constants.shape[1]
        self._function(*arrays, int(each > 1), each, steps, count)
        found = out.permute(2, 0, 1)
        return found[:, :-1, : self._n], found[:, :-1, self._n :], found[:, -1]


def compiled_plan(robot: Robot) -> CompiledPlan | None:
    """A robot's; None where nothing can be compiled, which is said once."""
    try:
        return CompiledPlan(robot)
    except CannotCompile as reason:
        say_once(f"irl_ros: throws are simulated without compiled code, slower: {reason}")
        return None
