"""Throws as machine code: whole control steps of arm and ball, as many as are asked for, a policy inside.

`JointLimits`, `ArmStep`, `FlightStep` and the tool's motion are written out as C from the formulas themselves
(`recorded`), for an arm; limits, loads, time steps and a policy's weights are inputs, so that one kernel
serves every world and policy of a robot. A block of throws stays in the processor's nearest memory from its
first control step to its last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from irl_ros.robots.dynamics import Dynamics
from irl_ros.robots.kinematics import Kinematics
from irl_ros.sim.arm_step import ArmStep
from irl_ros.sim.kernel_values import CPU, CUDA
from irl_ros.sim.recorded import record
from irl_ros.sim.throw_formulas import ThrowFormulas
from irl_ros.sim.throw_layout import (
    FUNCTION,
    IN_AIR,
    LIMITS,
    LOAD,
    MOST_UNITS,
    NUMBERS,
    PLAN,
    POINTERS,
    RIM,
    SEES_AIR,
    TOGETHER,
    TRAJECTORY,
    UNITS,
    constant_rows,
    pilot_rows,
    plan_rows,
    state_rows,
)


class ThrowKernel:
    """C source of the throws of an arm.

    Args:
        kinematics, dynamics: of the arm.
    """

    def __init__(self, kinematics: Kinematics, dynamics: Dynamics) -> None:
        self.n = n = dynamics.n
        self.formulas = ThrowFormulas(kinematics, ArmStep(dynamics))
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
            self._record(self.formulas.plan, "q", "qd", "action", "full", *LIMITS),
            "for (int s = 1; s <= steps; ++s, out += (long)row_count * count) {",
            "now[0] = K(s) * h[0];",
            self._record(self.formulas.turns, "q"),
            self._record(
                self.formulas.driven,
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
                    lambda in_air=in_air, **r: self.formulas.miss(in_air, **r),
                    *("ball", "speed", "target", "h", "seen_gravity", "seen_drag"),
                ),
            ]
        names = ("q", "qd", "target", "ball", "speed", "miss", "held", "landed", "t")
        lines.append(self._record(self.formulas.seen, *names, "mean", "sharpness", "share"))
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
                self._record(self.formulas.through_air, *step),
                f"if (flags & {RIM})",
                self._record(self.formulas.touched, "moved", "target", "rim", "radius", "down"),
                "}",
                "} else {",
                self._record(self.formulas.fall, *fall),
                f"if (flags & {RIM}) for (int j = steps; j > 0; --j) {{",
                "at[0] = K(j);",
                self._record(self.formulas.touched_at, *fall[:5], "k", "at", "down", "rim", "radius"),
                "}",
                self._record(self.formulas.after, *fall[:2], "k", "gravity", "h"),
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
                self._record(self.formulas.turns, "q"),
                self._record(self.formulas.plan, "q", "qd", "action", "full", *LIMITS),
                "for (int i = 1; i <= steps; ++i) {",
                "now[0] = K(i) * h[0];",
                self._record(
                    self.formulas.servo, "q", "qd", "start", "command", "acceleration", "now", *LOAD, *turns
                ),
                "if (any(less(K(0.0), concern[0]))) {",
                self._record(self.formulas.yielding, "q", "aim", "torque", *LOAD, *turns),
                "if (any(less(K(0.5), beyond[0])))",
                self._record(
                    self.formulas.stopped, "q", "aim", "mass", "impulse", "velocity_now", "beyond", *LOAD
                ),
                # lanes without trouble keep what they aimed at: no throw's result depends on its neighbours
                f"for (int j = 0; j < {n}; ++j)",
                "aim[j] = choose(less(K(0.5), trouble[0]), velocity_now[j], aim[j]);",
                "clipped[0] = clipped[0] + weak[0];",
                "}",
                "if (sizeof(T) == 4)",
                self._record(self.formulas.turned_on, "aim", "h", *turns),
                "else",
                self._record(self.formulas.turned, "q", "aim", "h"),
                f"for (int j = 0; j < {n}; ++j) {{ q[j] = q[j] + h[0] * aim[j]; qd[j] = aim[j]; }}",
                "}",
                self._record(self.formulas.finish, "q", "qd", "start", "violated", *turns, *LIMITS),
                "const M carried = less(K(0.5), held[0]);",
                "for (int i = 0; i < 3; ++i) {",
                "ball[i] = choose(carried, tool[i], ball[i]);",
                "speed[i] = choose(carried, tool_velocity[i], speed[i]);",
                "}",
            ]
        )

    def _record(self, function: Any, *names: str) -> str:
        return record(function, {name: self.sizes[name] for name in names})
