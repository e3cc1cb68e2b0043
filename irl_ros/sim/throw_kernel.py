"""Throws as machine code: whole control steps of arm and ball, as many as are asked for, a policy inside.

`JointLimits`, `ArmStep`, `FlightStep` and the tool's motion are written out as C from the formulas themselves
(`recorded`), for an arm; limits, loads, time steps and a policy's weights are inputs, so that one kernel
serves every world and policy of a robot. A block of throws stays in the processor's nearest memory from its
first control step to its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.kinematics import Kinematics
from irl_ros.sim.arm_step import ArmStep, Load
from irl_ros.sim.flight_step import FlightStep, touches
from irl_ros.sim.joint_limits import TOLERANCE, JointLimits
from irl_ros.sim.kernel_values import CPU, CUDA
from irl_ros.sim.recorded import record
from irl_ros.sim.state_vector import MISS

FUNCTION, PLAN = "throws", "plan"
"""The functions of the kernel; the second, on CPUs only, foresees a control step of the arm."""
UNITS = 8
"""Of a network's layer, computed together: sizes of layers are rounded up to a multiple of it."""
TOGETHER = 16
"""Throws whose noise stands together, so that a block of them reads it from one place."""
MOST_UNITS = 256
"""Of a layer."""
IN_AIR, RIM, SEES_AIR = 1, 2, 4
"""Flags: the ball is slowed by air; the target is a bin; a policy foresees flights through air."""
LIMITS = ("velocity", "acceleration", "lower", "upper", "period")
LOAD = ("effort", "locked", "least", "most", "payload", "gravity", "h", "rate")
JOINT_CONSTANTS = ("full", "velocity", "acceleration", "lower", "upper", "effort", "locked", "least", "most")
CONSTANTS = ("payload", "gravity", "h", "rate", "period", "drag", "radius", "rim", "physics")
POINTERS = (
    "const T *constants",
    "const T *given",
    "T *left",
    "const T *actions",
    "T *trajectory",
    "const T *pilot",
    "const int *layers",
    "const T *noise",
    "T *seen",
    "T *acted",
    "T *chosen",
)
"""[K, N or 1]; state rows [S, N] before and after; actions; states of every step [T + 1, N, R]; a policy's
constants and weights, its numbers of layers and units; its noise [N / 16, T, n + 1, 16]; observations
[T + 1, N, D], actions [T, N, n + 1], and logit of the release and Σz² of the noise [T, N, 2]. The last seven
may be null: without `pilot` the actions are given."""
NUMBERS = (
    "lane",  # of constants, from one throw to the next: 0 or 1
    "row",  # of constants, from one to the next
    "action_time",  # of actions, from one to the next control step; joint; throw
    "action_row",
    "action_lane",
    "steps",  # physics steps in a control step
    "periods",  # control steps to be done
    "time",  # control steps done before
    "horizon",
    "flags",
    "count",
)


def state_rows(n: int) -> dict[str, int]:
    """Rows of a state, in order; the first up to `held` are those of a trajectory, with `landed`."""
    return {
        "q": n,
        "qd": n,
        "ball": 3,
        "speed": 3,
        "held": 1,
        "landed": 1,
        "target": 3,
        "violated": 1,
        "clipped": 1,
    }


TRAJECTORY = ("q", "qd", "ball", "speed", "held", "landed")
"""The rows of a state that a trajectory has."""


def constant_rows(n: int) -> dict[str, int]:
    """Rows of the constants, in order."""
    return dict.fromkeys(JOINT_CONSTANTS, n) | dict.fromkeys(CONSTANTS, 1)


def plan_rows(n: int) -> dict[str, int]:
    """Rows of the constants of a plan, in order."""
    names = ("payload", "gravity", "h", "rate", "period")
    return {k: size for k, size in constant_rows(n).items() if k in (*LIMITS, "full", *names)}


def pilot_rows(n: int) -> dict[str, int]:
    """A policy's constants, in order, before its weights."""
    seen = 2 * n + 14
    return {
        "mean": seen,
        "sharpness": seen,
        "share": n,
        "deviation": n,
        "gain": 1,
        "seen_gravity": 1,
        "seen_drag": 1,
    }


class ThrowKernel:
    """C source of the throws of an arm.

    Args:
        kinematics, dynamics: of the arm.
    """

    def __init__(self, kinematics: Kinematics, dynamics: Dynamics) -> None:
        self.kinematics, self.step, self.n = kinematics, ArmStep(dynamics), dynamics.n
        n = self.n
        joint = ("start", "command", "aim", "torque", "velocity_now", "impulse", "sine", "cosine", "action")
        single = ("now", "concern", "trouble", "weak", "beyond", "k", "down", "at", "t")
        tool = ("tool", "tool_velocity", "moved", "moved_speed", "miss")
        self.sizes = constant_rows(n) | state_rows(n) | pilot_rows(n)
        self.sizes |= dict.fromkeys(joint, n) | dict.fromkeys(single, 1) | dict.fromkeys(tool, 3)
        self.sizes |= {"mass": n * n, "action": n + 1, "seen_now": 2 * n + 14, "shown": 2 * n + 8}

    def source(self, cuda: bool, double: bool) -> str:
        """The whole text: an extern "C" function `throws`."""
        parts = ["#define DOUBLE" if double else "", CUDA if cuda else CPU, self._network()]
        arguments = ", ".join((*POINTERS, *(f"int {x}" for x in NUMBERS)))
        if cuda:
            parts.append(
                f'extern "C" __global__ void __launch_bounds__(128) {FUNCTION}({arguments}) {{\n'
                "const long begin = (long)blockIdx.x * blockDim.x + threadIdx.x;\n"
                f"if (begin >= count) return;\nconst int lanes = 1;\n{self._body()}\n}}"
            )
        else:
            parts.append(
                f'extern "C" void {FUNCTION}({arguments}, int first, int end) {{\n'
                "for (long begin = first; begin < end; begin += LANES) {\n"
                f"const int lanes = end - begin < LANES ? end - begin : LANES;\n{self._body()}\n}}\n}}"
            )
            parts.append(self._plan_function())
        return "\n".join(parts) + "\n"

    def _plan_function(self) -> str:
        """Joint motion [2n, N] and action [n, N] → [S, 2n, N] velocities and torques, q and q̇ at the end."""
        n, rows = self.n, {"q": self.n, "qd": self.n, "action": self.n + 1}
        used = ("start", "command", "aim", "torque", "sine", "cosine", "now")
        lines = [f"V {name}[{self.sizes[name]}];" for name in (*plan_rows(n), *rows, *used)]
        lines += self._loads("constants", plan_rows(n), "row", "lane")
        lines += self._loads("motion", {"q": n, "qd": n, "action": n}, "count", "1")
        lines += [
            f"for (int j = 0; j < {n}; ++j) start[j] = qd[j];",
            self._record(self._plan, "q", "qd", "action", "full", *LIMITS),
            "for (int s = 1; s <= steps; ++s, out += (long)row_count * count) {",
            "now[0] = K(s) * h[0];",
            self._record(self._turns, "q"),
            self._record(
                self._driven,
                *("q", "qd", "start", "command", "acceleration", "now"),
                *("payload", "gravity", "rate", "sine", "cosine"),
            ),
            f"for (int j = 0; j < {n}; ++j) {{",
            "store(out + (long)j * count, begin, lanes, aim[j]);",
            f"store(out + (long)({n} + j) * count, begin, lanes, torque[j]);",
            "q[j] = q[j] + h[0] * aim[j];",
            "qd[j] = aim[j];",
            "}",
            "}",
            f"for (int j = 0; j < {n}; ++j) {{",
            "store(out + (long)j * count, begin, lanes, q[j]);",
            f"store(out + (long)({n} + j) * count, begin, lanes, qd[j]);",
            "}",
        ]
        body = "\n".join(lines)
        return (
            f'extern "C" void {PLAN}(const T *constants, const T *motion, T *whole, int lane, int row, '
            f"int steps, int count) {{\nconst int row_count = {2 * n};\n"
            "for (long begin = 0; begin < count; begin += LANES) {\n"
            "const int lanes = count - begin < LANES ? count - begin : LANES;\n"
            f"T *out = whole;\n{body}\n}}\n}}"
        )

    @staticmethod
    def _network() -> str:
        """A layer of a policy's network: biases, then weights in blocks [outputs / UNITS][inputs][UNITS]."""
        return f"""INLINE const T *layer(const T *w, int inputs, int outputs, const V *in, V *out,
bool last) {{
const T *bias = w;
w += outputs;
for (int o = 0; o < outputs; o += {UNITS}) {{
V a[{UNITS}];
UNROLLED
for (int u = 0; u < {UNITS}; ++u) a[u] = spread(bias[o + u]);
for (int i = 0; i < inputs; ++i, w += {UNITS}) {{
const V x = in[i];
UNROLLED
for (int u = 0; u < {UNITS}; ++u) a[u] = a[u] + x * spread(w[u]);
}}
UNROLLED
for (int u = 0; u < {UNITS}; ++u) out[o + u] = last ? a[u] : vtanh(a[u]);
}}
return w;
}}"""

    def _body(self) -> str:
        n, known = self.n, constant_rows(self.n) | state_rows(self.n)
        locals_ = {k: size for k, size in self.sizes.items() if k not in known and k not in pilot_rows(n)}
        lines = [f"V {name}[{size}];" for name, size in {**known, **locals_}.items()]
        lines += self._loads("constants", constant_rows(n), "row", "lane")
        lines += self._loads("given", state_rows(n), "count", "1")
        width = sum(state_rows(n)[name] for name in TRAJECTORY)
        lines += [
            f"const int seen_size = {2 * n + 14}, width = {width};",
            f"V hidden[2][{MOST_UNITS}];",
            "for (int s = 0; ; ++s) {",
            "if (trajectory) {",
            *self._copies("shown", TRAJECTORY),
            "store_beside(trajectory + (long)s * count * width, begin, lanes, shown, width);",
            "}",
            "t[0] = K((double)(time + s) / horizon);",
            "if (seen) {",
            self._observation(),
            "store_beside(seen + (long)s * count * seen_size, begin, lanes, seen_now, seen_size);",
            "}",
            "if (s == periods) break;",
            "if (pilot) {",
            self._decision(),
            "} else {",
            "const T *now_given = actions + (long)s * action_time;",
            f"if (action_row == 1) load_beside(now_given, action_lane, begin, lanes, action, {n + 1});",
            f"else for (int j = 0; j <= {n}; ++j) "
            "action[j] = load(now_given + (long)j * action_row, action_lane, begin, lanes);",
            "}",
            f"held[0] = choose(less(K(0.0), action[{n}]), K(0.0), held[0]);",
            self._flight(),
            self._arm(),
            "}",
        ]
        lines += self._stores()
        return "\n".join(lines)

    def _loads(self, array: str, rows: Mapping[str, int], row: str, lane: str) -> list[str]:
        lines, at = [], 0
        for name, size in rows.items():
            lines.append(
                f"for (int j = 0; j < {size}; ++j) "
                f"{name}[j] = load({array} + (long)({at} + j) * {row}, {lane}, begin, lanes);"
            )
            at += size
        return lines

    def _stores(self) -> list[str]:
        lines, at = [], 0
        for name, size in state_rows(self.n).items():
            lines.append(
                f"for (int j = 0; j < {size}; ++j) "
                f"store(left + (long)({at} + j) * count, begin, lanes, {name}[j]);"
            )
            at += size
        return lines

    def _copies(self, to: str, names: Sequence[str]) -> list[str]:
        """Registers side by side in another."""
        lines, at = [], 0
        for name in names:
            lines.append(f"for (int j = 0; j < {self.sizes[name]}; ++j) {to}[{at} + j] = {name}[j];")
            at += self.sizes[name]
        return lines

    def _observation(self) -> str:
        """What a policy sees, as `Observation` has it."""
        n, lines, at = self.n, ["const T *p = pilot;"], 0
        for name, size in pilot_rows(n).items():
            lines.append(f"V {name}[{size}];")
            lines.append(f"for (int j = 0; j < {size}; ++j) {name}[j] = spread(p[{at} + j]);")
            at += size
        for in_air in (True, False):
            lines += [
                f"if ({'' if in_air else '!'}(flags & {SEES_AIR}))",
                self._record(
                    lambda in_air=in_air, **r: self._miss(in_air, **r),
                    *("ball", "speed", "target", "h", "seen_gravity", "seen_drag"),
                ),
            ]
        names = ("q", "qd", "target", "ball", "speed", "miss", "held", "landed", "t")
        lines.append(self._record(self._seen, *names, "mean", "sharpness", "share"))
        return "\n".join(lines)

    def _decision(self) -> str:
        """The network's answer to `seen_now`, and an action drawn from it."""
        n, rows = self.n, pilot_rows(self.n)
        first = sum(rows.values())
        at = {name: sum(list(rows.values())[:i]) for i, name in enumerate(rows)}
        return "\n".join(
            [
                f"const T *w = pilot + {first};",
                "const V *in = seen_now;",
                "for (int l = 0; l < layers[0]; ++l) {",
                "w = layer(w, layers[1 + l], layers[2 + l], in, hidden[l & 1], l == layers[0] - 1);",
                "in = hidden[l & 1];",
                "}",
                f"const T *z = noise + ((begin / {TOGETHER} * periods + s) * {n + 1}) * {TOGETHER} + "
                f"begin % {TOGETHER};",
                f"V answer[2] = {{in[{n}] * spread(pilot[{at['gain']}]), K(0.0)}};",
                f"for (int j = 0; j < {n}; ++j) {{",
                f"const V draw = load(z + j * {TOGETHER}, 1, 0, lanes);",
                f"action[j] = in[j] + spread(pilot[{at['deviation']} + j]) * draw;",
                "answer[1] = answer[1] + draw * draw;",
                "}",
                f"const V odds = load(z + {n * TOGETHER}, 1, 0, lanes);",
                f"action[{n}] = choose(less(odds, answer[0]), K(1.0), K(-1.0));",
                f"store_beside(acted + (long)s * count * {n + 1}, begin, lanes, action, {n + 1});",
                "store_beside(chosen + (long)s * count * 2, begin, lanes, answer, 2);",
            ]
        )

    def _flight(self) -> str:
        """`Flight.advance` of the balls that fly."""
        flying = "both(less(held[0], K(0.5)), less(landed[0], K(0.5)))"
        fall = ("ball", "speed", "target", "gravity", "h", "physics")
        step = ("moved", "moved_speed", "down", "target", "gravity", "drag", "h")
        return "\n".join(
            [
                f"if (any({flying})) {{",
                f"if (flags & {IN_AIR}) {{",
                "for (int i = 0; i < 3; ++i) { moved[i] = ball[i]; moved_speed[i] = speed[i]; }",
                "down[0] = choose(both(at_most(ball[2], target[2]), at_most(speed[2], K(0.0))), K(1.0), "
                "K(0.0));",
                "for (int j = 0; j < steps; ++j) {",
                self._record(self._through_air, *step),
                f"if (flags & {RIM})",
                self._record(self._touched, "moved", "target", "rim", "radius", "down"),
                "}",
                "} else {",
                self._record(self._fall, *fall),
                f"if (flags & {RIM}) for (int j = steps; j > 0; --j) {{",
                "at[0] = K(j);",
                self._record(self._touched_at, *fall[:5], "k", "at", "down", "rim", "radius"),
                "}",
                self._record(self._after, *fall[:2], "k", "gravity", "h"),
                "}",
                f"const M fly = {flying}, rest = less(K(0.5), down[0]);",
                "for (int i = 0; i < 3; ++i) {",
                "ball[i] = choose(fly, moved[i], ball[i]);",
                "speed[i] = choose(fly, choose(rest, K(0.0), moved_speed[i]), speed[i]);",
                "}",
                "landed[0] = choose(both(fly, rest), K(1.0), landed[0]);",
                "}",
            ]
        )

    def _arm(self) -> str:
        """A control step of the arm; a held ball goes along."""
        n = self.n
        turns = ("sine", "cosine")
        return "\n".join(
            [
                f"for (int j = 0; j < {n}; ++j) start[j] = qd[j];",
                self._record(self._turns, "q"),
                self._record(self._plan, "q", "qd", "action", "full", *LIMITS),
                "for (int i = 1; i <= steps; ++i) {",
                "now[0] = K(i) * h[0];",
                self._record(
                    self._servo, "q", "qd", "start", "command", "acceleration", "now", *LOAD, *turns
                ),
                "if (any(less(K(0.0), concern[0]))) {",
                self._record(self._yielding, "q", "aim", "torque", *LOAD, *turns),
                "if (any(less(K(0.5), beyond[0])))",
                self._record(self._stopped, "q", "aim", "mass", "impulse", "velocity_now", "beyond", *LOAD),
                # lanes without trouble keep what they aimed at: no throw's result depends on its neighbours
                f"for (int j = 0; j < {n}; ++j)",
                "aim[j] = choose(less(K(0.5), trouble[0]), velocity_now[j], aim[j]);",
                "clipped[0] = clipped[0] + weak[0];",
                "}",
                "if (sizeof(T) == 4)",
                self._record(self._turned_on, "aim", "h", *turns),
                "else",
                self._record(self._turned, "q", "aim", "h"),
                f"for (int j = 0; j < {n}; ++j) {{ q[j] = q[j] + h[0] * aim[j]; qd[j] = aim[j]; }}",
                "}",
                self._record(self._finish, "q", "qd", "start", "violated", *turns, *LIMITS),
                "const M carried = less(K(0.5), held[0]);",
                "for (int i = 0; i < 3; ++i) {",
                "ball[i] = choose(carried, tool[i], ball[i]);",
                "speed[i] = choose(carried, tool_velocity[i], speed[i]);",
                "}",
            ]
        )

    def _record(self, function: Any, *names: str) -> str:
        return record(function, {name: self.sizes[name] for name in names})

    def _plan(self, q: Any, qd: Any, action: Any, **limits: Any) -> dict[str, Any]:
        joints = _joints(self.n, **limits)
        return {"command": [j.command(*m) for j, *m in zip(joints, q, qd, action[:-1], strict=True)]}

    def _turns(self, q: Any) -> dict[str, Any]:
        turns = self.step.dynamics.turns(q)
        return {"sine": [0.0 if t is None else t[0] for t in turns]} | {
            "cosine": [1.0 if t is None else t[1] for t in turns]
        }

    def _turned(self, q: Any, aim: Any, h: Any) -> dict[str, Any]:
        """Sines and cosines after a physics step."""
        return self._turns([p + h[0] * v for p, v in zip(q, aim, strict=True)])

    @staticmethod
    def _turned_on(aim: Any, h: Any, sine: Any, cosine: Any) -> dict[str, Any]:
        """As `_turned`, by the angle of the step: enough for float32, as each control step begins anew."""
        found: dict[str, Any] = {"sine": [], "cosine": []}
        for v, s, c in zip(aim, sine, cosine, strict=True):
            angle = h[0] * v
            square = angle * angle
            sin = angle + angle * square * (square * (1 / 120) - 1 / 6)
            less = square * (0.5 - square * (1 / 24 - square * (1 / 720)))  # 1 − cosine
            found["sine"].append(s + (c * sin - s * less))
            found["cosine"].append(c - (s * sin + c * less))
        return found

    def _pairs(self, sine: Any, cosine: Any) -> list[Any]:
        links = self.step.dynamics.links
        return [None if x.slides else (s, c) for x, s, c in zip(links, sine, cosine, strict=True)]

    def _servo(
        self,
        q: Any,
        qd: Any,
        start: Any,
        command: Any,
        acceleration: Any,
        now: Any,
        sine: Any,
        cosine: Any,
        **load: Any,
    ) -> dict[str, Any]:
        joints = _joints(self.n, acceleration=acceleration)
        aim = [j.ramp(v, c, now[0]) for j, v, c in zip(joints, start, command, strict=True)]
        numbers = _load_of(**load)
        torque = self.step.servo(q, qd, aim, numbers, self._pairs(sine, cosine))
        return {"aim": aim, "torque": torque, "concern": [self.step.concern(q, torque, numbers)]}

    def _driven(
        self,
        q: Any,
        qd: Any,
        start: Any,
        command: Any,
        acceleration: Any,
        now: Any,
        payload: Any,
        gravity: Any,
        rate: Any,
        sine: Any,
        cosine: Any,
    ) -> dict[str, Any]:
        """`_servo` without a look at what might keep the arm from it."""
        joints = _joints(self.n, acceleration=acceleration)
        aim = [j.ramp(v, c, now[0]) for j, v, c in zip(joints, start, command, strict=True)]
        wanted = [(a - v) * rate[0] for a, v in zip(aim, qd, strict=True)]
        turns = self._pairs(sine, cosine)
        torque = self.step.dynamics.torque_of(q, qd, wanted, payload[0], gravity[0], turns)
        return {"aim": aim, "torque": torque}

    def _yielding(self, q: Any, aim: Any, torque: Any, sine: Any, cosine: Any, **load: Any) -> dict[str, Any]:
        numbers, step = _load_of(**load), self.step
        weak = step.weak(torque, numbers)
        mass, impulse, velocity, beyond = step.yielding(q, aim, torque, numbers, self._pairs(sine, cosine))
        return {
            "mass": [x for row in mass for x in row],
            "impulse": impulse,
            "velocity_now": velocity,
            "beyond": [_number(beyond)],
            "weak": [_number(weak)],
            "trouble": [_number(weak | step.kept(q, aim, numbers))],
        }

    def _stopped(
        self, q: Any, aim: Any, mass: Any, impulse: Any, velocity_now: Any, beyond: Any, **load: Any
    ) -> dict[str, Any]:
        rows = [mass[i : i + self.n] for i in range(0, self.n**2, self.n)]
        velocity = self.step.stopped(q, aim, rows, impulse, velocity_now, _load_of(**load))
        found = zip(velocity, velocity_now, strict=True)
        return {"velocity_now": [torch.where(beyond[0] > 0.5, v, w) for v, w in found]}

    def _finish(
        self, q: Any, qd: Any, start: Any, violated: Any, sine: Any, cosine: Any, **limits: Any
    ) -> dict[str, Any]:
        tool, velocity = self.kinematics.tool_motion_of(q, qd, self._pairs(sine, cosine))
        excess = [j.excess(*m) for j, *m in zip(_joints(self.n, **limits), q, qd, start, strict=True)]
        worst = excess[0]
        for x in excess[1:]:
            worst = torch.maximum(worst, x)
        return {
            "tool": tool,
            "tool_velocity": velocity,
            "violated": [violated[0] + _number(worst > TOLERANCE)],
        }

    @staticmethod
    def _fall(ball: Any, speed: Any, target: Any, gravity: Any, h: Any, physics: Any) -> dict[str, Any]:
        k = FlightStep(gravity[0], 0.0, h[0]).fall(ball, speed, target[2])
        return {"k": [torch.minimum(k, physics[0])], "down": [_number(k <= physics[0])]}

    @staticmethod
    def _touched_at(
        ball: Any,
        speed: Any,
        target: Any,
        gravity: Any,
        h: Any,
        k: Any,
        at: Any,
        down: Any,
        rim: Any,
        radius: Any,
    ) -> dict[str, Any]:
        place, _ = FlightStep(gravity[0], 0.0, h[0]).after(ball, speed, at[0])
        touched = (at[0] <= k[0]) & touches(place, target, rim[0], radius[0])
        return {"k": [torch.where(touched, at[0], k[0])], "down": [torch.where(touched, 1.0, down[0])]}

    @staticmethod
    def _after(ball: Any, speed: Any, k: Any, gravity: Any, h: Any) -> dict[str, Any]:
        moved, moved_speed = FlightStep(gravity[0], 0.0, h[0]).after(ball, speed, k[0])
        return {"moved": moved, "moved_speed": moved_speed}

    @staticmethod
    def _through_air(
        moved: Any, moved_speed: Any, down: Any, target: Any, gravity: Any, drag: Any, h: Any
    ) -> dict[str, Any]:
        step = FlightStep(gravity[0], drag[0], h[0])
        place, speed, landed = step.through_air(moved, moved_speed, down[0] > 0.5, target[2])
        return {"moved": place, "moved_speed": speed, "down": [_number(landed)]}

    @staticmethod
    def _touched(moved: Any, target: Any, rim: Any, radius: Any, down: Any) -> dict[str, Any]:
        touched = touches(moved, target, rim[0], radius[0])
        return {"down": [torch.where(touched, 1.0, down[0])]}

    @staticmethod
    def _miss(
        in_air: bool, ball: Any, speed: Any, target: Any, h: Any, seen_gravity: Any, seen_drag: Any
    ) -> dict[str, Any]:
        step = FlightStep(seen_gravity[0], seen_drag[0], h[0])
        _, place = step.foreseen(ball, speed, target[2], in_air)
        return {"miss": [(p - x).clamp(-MISS, MISS) for p, x in zip(place[:2], target[:2], strict=True)]}

    @staticmethod
    def _seen(
        q: Any,
        qd: Any,
        target: Any,
        ball: Any,
        speed: Any,
        miss: Any,
        held: Any,
        landed: Any,
        t: Any,
        mean: Any,
        sharpness: Any,
        share: Any,
    ) -> dict[str, Any]:
        speeds = [v * x for v, x in zip(qd, share, strict=True)]
        raw = [*q, *speeds, *target, *ball, *speed, *miss[:2], *held, *landed, *t]
        scaled = zip(raw, mean, sharpness, strict=True)
        return {"seen_now": [((x - m) * s).clamp(-6.0, 6.0) for x, m, s in scaled]}


def _joints(n: int, period: Any = None, **limits: Sequence[Any]) -> list[JointLimits]:
    """The rules of each joint, of the limits that are needed."""
    names = ("full", "velocity", "acceleration", "lower", "upper")

    def given(j: int) -> dict[str, Any]:
        return {name: limits[name][j] if name in limits else None for name in names}

    return [JointLimits(**given(j), period=period[0] if period else None) for j in range(n)]


def _load_of(
    effort: Any, locked: Any, least: Any, most: Any, payload: Any, gravity: Any, h: Any, rate: Any
) -> Load:
    return Load(effort, locked, least, most, payload[0], gravity[0], h[0], rate[0], 0.0)


def _number(condition: Any) -> Any:
    return torch.where(condition, 1.0, 0.0)
