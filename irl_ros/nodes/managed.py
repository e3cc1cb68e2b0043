"""ManagedNode: a node with a life cycle, for lifecycle managers, that also comes up by itself."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin

from irl_ros.errors import InputError
from irl_ros.nodes.base import IrlNode

_IN_USE = "it is in use: deactivate and clean up the node first"


class ManagedNode(LifecycleNodeMixin, IrlNode):
    """An IrlNode whose work is in `configure`, `activate`, `deactivate` and `cleanup`.

    The constructor declares parameters and nothing else, so that they can be set before `configure` reads
    them with `value`. What `configure` creates on the node (publishers, services, action servers, ...) is
    destroyed by cleanup, and what `activate` creates by deactivate: a node that subscribes in `activate` is
    deaf while inactive.

    An InputError in a transition is a refusal: the node stays in the state it was in. Any other exception is
    an error: all is taken down, and the node is unconfigured again, or finalized where even that fails.

    Attributes:
        fault: why the last transition failed; "" when it did not.
    """

    _read_only = False

    def __init__(self, name: str) -> None:
        IrlNode.__init__(self, name)
        LifecycleNodeMixin.__init__(self)
        self.fault = ""
        self._cause: Exception | None = None
        self._coming_up = False
        self._before_configure: set[Any] = set()
        self._before_activate: set[Any] = set()
        self._autostart = self.parameter(
            "autostart", True, "configure and activate at start; false: a lifecycle manager does"
        )

    def configure(self) -> None:
        """Read parameters, load what takes long, create what lasts."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; bring what moves to rest. Called before a shutdown too, also by a signal."""

    def cleanup(self) -> None:
        """Let go of what `configure` loaded. Must be able to follow a `configure` that broke off."""

    @property
    def state_label(self) -> str:
        """unconfigured, inactive, active, finalized, or the transition under way."""
        return self._state_machine.current_state[1]

    @property
    def active(self) -> bool:
        """At work."""
        return self._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE

    def come_up(self) -> None:
        """Configure and activate, unless a lifecycle manager is to do it.

        Raises:
            Exception: what went wrong.
        """
        if not self._autostart:
            return
        self._coming_up = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                assert self._cause is not None
                raise self._cause
        self._coming_up = False

    def close(self) -> None:
        if self.state_label in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of rclpy: calls `configure`."""
        self._before_configure = self._entities()
        self.parameters.fixed = _IN_USE
        result = self._attempt("configure", self.configure)
        if result == TransitionCallbackReturn.FAILURE:
            self._take_down()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of rclpy: calls `activate`."""
        self._before_activate = self._entities()
        result = self._attempt("activate", self.activate)
        if result == TransitionCallbackReturn.FAILURE:
            self._destroy_all_but(self._before_activate)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of rclpy: calls `deactivate`."""
        return self._attempt("deactivate", self._stop_work, refusals=False)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of rclpy: calls `cleanup`."""
        return self._attempt("clean up", self._take_down, refusals=False)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of rclpy: from any state down, in order."""
        if state.state_id == State.PRIMARY_STATE_ACTIVE:
            result = self._attempt("deactivate", self._stop_work, refusals=False)
            if result != TransitionCallbackReturn.SUCCESS:
                return result
        if state.state_id == State.PRIMARY_STATE_UNCONFIGURED:
            return TransitionCallbackReturn.SUCCESS
        return self._attempt("shut down", self._take_down, refusals=False)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an exception: unconfigured, or finalized where that fails too. The first reason is kept."""
        first = self.fault, self._cause
        steps = [self._stop_work] if state.state_id == State.PRIMARY_STATE_ACTIVE else []
        results = [self._attempt("recover", step, refusals=False) for step in (*steps, self._take_down)]
        self.fault, self._cause = first
        failed = any(r != TransitionCallbackReturn.SUCCESS for r in results)
        return TransitionCallbackReturn.FAILURE if failed else TransitionCallbackReturn.SUCCESS

    def _attempt(
        self, what: str, work: Callable[[], None], refusals: bool = True
    ) -> TransitionCallbackReturn:
        """Do it, and make an outcome of what is raised: rclpy would swallow it in silence."""
        try:
            work()
        except InputError as error:
            self._note(what, error, str(error))
            return TransitionCallbackReturn.FAILURE if refusals else TransitionCallbackReturn.ERROR
        except Exception as error:
            self._note(what, error, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        self.fault, self._cause = "", None
        return TransitionCallbackReturn.SUCCESS

    def _note(self, what: str, error: Exception, line: str) -> None:
        self.fault, self._cause = f"cannot {what}: {line.splitlines()[0]}", error
        if not self._coming_up:  # then it is raised, and told by whoever runs us
            self.get_logger().error(f"cannot {what}: {line}")

    def _stop_work(self) -> None:
        try:
            self.deactivate()
        finally:
            self._destroy_all_but(self._before_activate)

    def _take_down(self) -> None:
        try:
            self.cleanup()
        finally:
            self._destroy_all_but(self._before_configure)
            self.parameters.fixed = ""

    def _entities(self) -> set[Any]:
        mine = (self.publishers, self.subscriptions, self.clients, self.services, self.timers, self.waitables)
        return {entity for kind in mine for entity in kind}

    def _destroy_all_but(self, kept: set[Any]) -> None:
        """But not the timers of coroutines that sleep: they must wake up to see what has changed."""
        kept = kept | self._naps
        for kind, destroy in (
            (self.waitables, lambda waitable: waitable.destroy()),  # action servers and clients
            (self.timers, self.destroy_timer),
            (self.subscriptions, self.destroy_subscription),
            (self.services, self.destroy_service),
            (self.clients, self.destroy_client),
            (self.publishers, self.destroy_publisher),
        ):
            for entity in [e for e in kind if e not in kept]:
                destroy(entity)

    def condition(self) -> tuple[bool, str, Mapping[str, Any]]:
        """The state of life, why a transition failed, and `status` where there is something to tell."""
        label = self.state_label
        if self.fault:
            return False, self.fault, {"lifecycle": label}
        if label not in ("inactive", "active"):
            return True, label, {"lifecycle": label}
        well, line, figures = self.status()
        return well, line if label == "active" else label, {**figures, "lifecycle": label}
