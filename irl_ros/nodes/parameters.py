"""Parameters of a node: described, checked against range or choices, and fixed while they are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from irl_ros.errors import InputError, unknown_name


@dataclass(frozen=True)
class Rule:
    """What a parameter's value must satisfy beside the range that ROS checks.

    Attributes:
        choices: the values allowed; empty: all.
        check: raises InputError on a value it does not like.
        live: may be set while the node is at work.
    """

    choices: Sequence[str] = ()
    check: Callable[[Any], object] | None = None
    live: bool = False


class Parameters:
    """Declares a node's parameters and answers those who set them.

    Args:
        node: whose they are.
        changed: called after live ones were set.
    """

    def __init__(self, node: Node, changed: Callable[[], None]) -> None:
        self._node, self._changed = node, changed
        self.rules: dict[str, Rule] = {}
        self.defaults: dict[str, Any] = {}
        self.fixed = ""
        """Why a parameter that is not live cannot be set now; "": it can."""
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._tell)

    def declare(
        self,
        name: str,
        default: Any,
        description: str,
        low: float | None,
        high: float | None,
        rule: Rule,
        read_only: bool,
    ) -> Any:
        """Declare a parameter and return its value: the default, or what the command line or a file gives.

        Raises:
            InputError: the rule forbids it.
            ParameterException: it is out of range, or of another type.
        """
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        if rule.choices:
            descriptor.additional_constraints = f"one of: {', '.join(rule.choices)}"
        if low is not None and high is not None:
            if isinstance(default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(low), to_value=float(high))
                ]
        value = self._node.declare_parameter(name, default, descriptor).value
        if value is not None:
            self._check(name, value, rule)
        self.defaults[name] = default
        self.rules[name] = rule  # from now on setting it is a change
        return value

    def _judge(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            rule = self.rules.get(parameter.name)
            if rule is None:
                continue  # ROS's own, as use_sim_time
            try:
                if self.fixed and not rule.live:
                    raise InputError(f"parameter {parameter.name}", "cannot be set now", self.fixed)
                self._check(parameter.name, parameter.value, rule)
            except InputError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    @staticmethod
    def _check(name: str, value: Any, rule: Rule) -> None:
        if rule.choices and value not in rule.choices:
            raise InputError(f"parameter {name}", *unknown_name(name, value, rule.choices))
        if rule.check is not None:
            rule.check(value)

    def _tell(self, parameters: list[Parameter]) -> None:
        if self.fixed and any(p.name in self.rules for p in parameters):
            self._changed()
