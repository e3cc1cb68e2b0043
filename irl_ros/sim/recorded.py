"""Formulas into C: torch code on numbers, recorded with torch.fx and written out as straight-line source.

The same text compiles for a CPU, where a value `V` is a short vector of throws and a condition `M` one of
lane masks, and for CUDA, where both are scalars (`kernel_values`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

Registers = dict[str, list[Any]]
"""Values by name: [k] numbers each."""

OPERATIONS: dict[Any, str] = {
    operator.add: "({} + {})",
    operator.sub: "({} - {})",
    operator.mul: "({} * {})",
    operator.truediv: "({} / {})",
    operator.neg: "(-{})",
    operator.abs: "vabs({})",
    abs: "vabs({})",
    operator.lt: "less({0}, {1})",
    operator.le: "at_most({0}, {1})",
    operator.gt: "less({1}, {0})",
    operator.ge: "at_most({1}, {0})",
    operator.and_: "both({}, {})",
    operator.or_: "either({}, {})",
    operator.invert: "no({})",
    torch.where: "choose({}, {}, {})",
    torch.minimum: "vmin({}, {})",
    torch.maximum: "vmax({}, {})",
    torch.abs: "vabs({})",
    torch.sin: "vsin({})",
    torch.cos: "vcos({})",
    "sqrt": "vsqrt({})",
    "ceil": "vceil({})",
    "abs": "vabs({})",
    "clamp_min": "vmax({}, {})",
    "clamp_max": "vmin({}, {})",
    "clamp": "vmin(vmax({}, {}), {})",
}
CONDITIONS = frozenset(
    (operator.lt, operator.le, operator.gt, operator.ge, operator.and_, operator.or_, operator.invert)
)


def record(function: Callable[..., Mapping[str, Sequence[Any]]], sizes: Mapping[str, int]) -> str:
    """C statements that do to registers what `function` does to lists of numbers.

    Args:
        function: called with one list a register, by name; gives the registers that change.
        sizes: of the registers it takes, by name.

    Raises:
        NotImplementedError: an operation without a C counterpart here.
    """
    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    given = {
        name: [fx.Proxy(graph.placeholder(f"{name}__{i}"), tracer) for i in range(size)]
        for name, size in sizes.items()
    }
    writer = _Writer()
    results = [
        (f"{name}[{i}]", writer.value(x.node if isinstance(x, fx.Proxy) else float(x)))
        for name, values in function(**given).items()
        for i, x in enumerate(values)
    ]
    # two passes, so that no register is overwritten that another result still is to be read from
    kept = [f"const V r{k} = {value};" for k, (_, value) in enumerate(results)]
    written = [f"{name} = r{k};" for k, (name, _) in enumerate(results)]
    return "\n".join(["{", *writer.lines, *kept, *written, "}"])


class _Writer:
    """Writes the nodes that are needed, each once, and equal ones together."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[fx.Node, str] = {}
        self._known: dict[str, str] = {}

    def value(self, x: Any) -> str:
        if not isinstance(x, fx.Node):
            return _constant(float(x))
        # recursion would go as deep as the formulas are long
        waiting = [x]
        while waiting:
            node = waiting[-1]
            ready = [n for n in node.all_input_nodes if n not in self._names]
            if node in self._names or not ready:
                waiting.pop()
                self._names.setdefault(node, self._written(node))
            else:
                waiting += ready
        return self._names[x]

    def _written(self, node: fx.Node) -> str:
        if node in self._names:
            return self._names[node]
        if node.op == "placeholder":
            name, _, index = str(node.target).rpartition("__")
            return f"{name}[{index}]"
        if node.target not in OPERATIONS or node.kwargs:
            raise NotImplementedError(f"no C for {node.format_node()}")
        arguments = [self._names[a] if isinstance(a, fx.Node) else _constant(float(a)) for a in node.args]  # type: ignore[arg-type]
        text = OPERATIONS[node.target].format(*arguments)
        if text not in self._known:
            self._known[text] = f"t{len(self.lines)}"
            kind = "M" if node.target in CONDITIONS else "V"
            self.lines.append(f"const {kind} {self._known[text]} = {text};")
        return self._known[text]


def _constant(x: float) -> str:
    return f"K({x!r})"
