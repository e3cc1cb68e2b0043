"""The arm's control step as machine code: `JointLimits`, `ArmStep` and the tool's motion in one loop.

Source is written from the formulas themselves (`recorded`), for an arm; limits, loads and time steps are
inputs, so that one kernel serves every world of a robot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.kinematics import Kinematics
from irl_ros.sim.arm_step import ArmStep, Load
from irl_ros.sim.joint_limits import TOLERANCE, JointLimits
from irl_ros.sim.kernel_values import CPU, CUDA
from irl_ros.sim.recorded import record

LIMITS = ("velocity", "acceleration", "lower", "upper", "period")
LOAD = ("effort", "locked", "least", "most", "payload", "gravity", "h")
JOINT_INPUTS = ("q", "qd", "action")
JOINT_CONSTANTS = ("full", "velocity", "acceleration", "lower", "upper", "effort", "locked", "least", "most")
CONSTANTS = ("payload", "gravity", "h", "period")
INPUTS = (*JOINT_INPUTS, *JOINT_CONSTANTS, *CONSTANTS)


def output_rows(n: int) -> dict[str, int]:
    """Rows of the kernel's result, in order: motion of joints and tool, clipped physics steps, violation."""
    return {"q": n, "qd": n, "tool": 3, "tool_velocity": 3, "clipped": 1, "violated": 1}


class ArmKernel:
    """C source of one control step of an arm.

    Args:
        kinematics, dynamics: of the arm.
    """

    def __init__(self, kinematics: Kinematics, dynamics: Dynamics) -> None:
        self.kinematics, self.step, self.n = kinematics, ArmStep(dynamics), dynamics.n
        self.sizes = dict.fromkeys((*JOINT_INPUTS, *JOINT_CONSTANTS), self.n) | dict.fromkeys(CONSTANTS, 1)

    def source(self, cuda: bool, double: bool) -> str:
        """The whole text: an extern "C" function `control_step`."""
        parts = ["#define DOUBLE" if double else "", CUDA if cuda else CPU]
        arrays = ", ".join(f"const T *{name}_, int {name}_row, int {name}_lane" for name in INPUTS)
        body = self._body()
        if cuda:
            parts.append(
                f'extern "C" __global__ void control_step({arrays}, T *out, int steps, int count) {{\n'
                "const long begin = (long)blockIdx.x * blockDim.x + threadIdx.x;\n"
                f"if (begin >= count) return;\nconst int lanes = 1;\n{body}\n}}"
            )
        else:
            parts.append(
                f'extern "C" void control_step({arrays}, T *out, int steps, int count, int first, int end) '
                "{\n"
                "for (long begin = first; begin < end; begin += LANES) {\n"
                f"const int lanes = end - begin < LANES ? end - begin : LANES;\n{body}\n}}\n}}"
            )
        return "\n".join(parts) + "\n"

    def _body(self) -> str:
        n = self.n
        lines = [self._load(name, size) for name, size in self.sizes.items()]
        lines += [
            f"V start[{n}], command[{n}], aim[{n}], torque[{n}], velocity_now[{n}], impulse[{n}];",
            f"V mass[{n * n}], time[1], weak[1], ends[1], beyond[1], clipped[1], violated[1];",
            "V tool[3], tool_velocity[3];",
            "clipped[0] = K(0.0);",
            f"for (int j = 0; j < {n}; ++j) start[j] = qd[j];",
            self._record(self._plan, "q", "qd", "action", "full", *LIMITS),
            "for (int s = 1; s <= steps; ++s) {",
            "time[0] = K(s) * h[0];",
            self._record(self._servo, "q", "qd", "start", "command", "acceleration", "time", *LOAD),
            "if (any(weak[0] + ends[0])) {",
            self._record(self._yielding, "q", "aim", "torque", *LOAD),
            "if (any(beyond[0]))",
            self._record(self._stopped, "q", "aim", "mass", "impulse", "velocity_now", "beyond", *LOAD),
            # lanes without trouble keep what they aimed at: no throw's result depends on its neighbours
            f"for (int j = 0; j < {n}; ++j)",
            "aim[j] = choose(weak[0] + ends[0] > K(0.0), velocity_now[j], aim[j]);",
            "clipped[0] = clipped[0] + weak[0];",
            "}",
            f"for (int j = 0; j < {n}; ++j) {{ q[j] = q[j] + h[0] * aim[j]; qd[j] = aim[j]; }}",
            "}",
            self._record(self._finish, "q", "qd", "start", *LIMITS),
        ]
        row = 0
        for name, size in output_rows(n).items():
            for i in range(size):
                lines.append(f"store(out + (long){row} * count, begin, lanes, {name}[{i}]);")
                row += 1
        return "\n".join(lines)

    @staticmethod
    def _load(name: str, size: int) -> str:
        return (
            f"V {name}[{size}];\nfor (int j = 0; j < {size}; ++j) "
            f"{name}[j] = load({name}_ + (long)j * {name}_row, {name}_lane, begin, lanes);"
        )

    def _record(self, function: Any, *names: str) -> str:
        n = self.n
        sizes = self.sizes | {
            "start": n,
            "command": n,
            "aim": n,
            "torque": n,
            "velocity_now": n,
            "impulse": n,
            "mass": n * n,
            "time": 1,
            "beyond": 1,
        }
        return record(function, {name: sizes[name] for name in names})

    def _plan(self, q: Any, qd: Any, action: Any, **limits: Any) -> dict[str, Any]:
        joints = _joints(self.n, **limits)
        return {"command": [j.command(*m) for j, *m in zip(joints, q, qd, action, strict=True)]}

    def _servo(
        self, q: Any, qd: Any, start: Any, command: Any, acceleration: Any, time: Any, **load: Any
    ) -> dict[str, Any]:
        joints = _joints(self.n, acceleration=acceleration)
        aim = [j.ramp(v, c, time[0]) for j, v, c in zip(joints, start, command, strict=True)]
        torque, weak, ends = self.step.servo(q, qd, aim, _load_of(**load))
        return {"aim": aim, "torque": torque, "weak": [_number(weak)], "ends": [_number(ends)]}

    def _yielding(self, q: Any, aim: Any, torque: Any, **load: Any) -> dict[str, Any]:
        mass, impulse, velocity, beyond = self.step.yielding(q, aim, torque, _load_of(**load))
        return {
            "mass": [x for row in mass for x in row],
            "impulse": impulse,
            "velocity_now": velocity,
            "beyond": [_number(beyond)],
        }

    def _stopped(
        self, q: Any, aim: Any, mass: Any, impulse: Any, velocity_now: Any, beyond: Any, **load: Any
    ) -> dict[str, Any]:
        rows = [mass[i : i + self.n] for i in range(0, self.n**2, self.n)]
        velocity = self.step.stopped(q, aim, rows, impulse, velocity_now, _load_of(**load))
        found = zip(velocity, velocity_now, strict=True)
        return {"velocity_now": [torch.where(beyond[0] > 0.0, v, w) for v, w in found]}

    def _finish(self, q: Any, qd: Any, start: Any, **limits: Any) -> dict[str, Any]:
        tool, velocity = self.kinematics.tool_motion_of(q, qd)
        excess = [j.excess(*m) for j, *m in zip(_joints(self.n, **limits), q, qd, start, strict=True)]
        worst = excess[0]
        for x in excess[1:]:
            worst = torch.maximum(worst, x)
        return {"tool": tool, "tool_velocity": velocity, "violated": [_number(worst > TOLERANCE)]}


def _joints(n: int, period: Any = None, **limits: Sequence[Any]) -> list[JointLimits]:
    """The rules of each joint, of the limits that are needed."""
    names = ("full", "velocity", "acceleration", "lower", "upper")

    def given(j: int) -> dict[str, Any]:
        return {name: limits[name][j] if name in limits else None for name in names}

    return [JointLimits(**given(j), period=period[0] if period else None) for j in range(n)]


def _load_of(effort: Any, locked: Any, least: Any, most: Any, payload: Any, gravity: Any, h: Any) -> Load:
    return Load(effort, locked, least, most, payload[0], gravity[0], h[0], 0.0)


def _number(condition: Any) -> Any:
    return torch.where(condition, 1.0, 0.0)
