"""One throw of a policy on a real controller: streamed at the control rate, or planned and sent whole."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rclpy.task import Future

from irl_ros.nodes.arm_link import ArmLink
from irl_ros.nodes.arm_outputs import TrajectoryOutput
from irl_ros.nodes.throw_plan import ThrowPlan, plan_stop, plan_throw
from irl_ros.nodes.trajectory_message import to_message
from irl_ros.rl.agent import Actor
from irl_ros.rl.policy import Policy
from irl_ros.rl.step_policy import StepPolicy
from irl_ros.safety import Decision, StopReason
from irl_ros.sim.state import State

_EARLY = 0.25  # of a control period; a state that comes this much early still makes its control step
_PATIENCE = 1.0  # s for the first state after thinking
_ON_ITS_WAY = 0.25  # of a control period; a trajectory takes that long to the controller
LEAD = 0.2
"""s from sending a trajectory to its start: it must be there by then."""


@dataclass
class ThrowContext:
    """What all throws of a node share.

    Attributes:
        link: the arm.
        policy: who throws.
        delay: from the command to open to the ball's leaving, s.
        plan_rate: points a second of a planned throw; 0: the control rate.
        report: told of each control step: number, state, action wanted, decision, fault.
        answered: told of each command that answers a state, with the ns between sending of both.
        decide: the action [n + 1] for one state.
        observe: what the policy is shown of it, before normalising, float32 [D].
    """

    link: ArmLink
    policy: Actor
    delay: float
    plan_rate: float
    report: Callable[[int, State, np.ndarray, Decision, str], None]
    answered: Callable[[int], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        policy = self.policy
        self.decide: Callable[[State], np.ndarray] = lambda state: policy.act(state)[0].numpy()
        self.observe: Callable[[State], np.ndarray] = lambda state: policy.observation.raw(state)[0].numpy()
        if isinstance(policy, Policy):
            fast = StepPolicy(policy)
            self.decide, self.observe = fast, fast.raw


class Throw(ABC):
    """The horizon's control steps, then to rest; also to rest at the first fault.

    Where several threads run the callbacks, one at a time is in here.

    Attributes:
        over: done when the arm rests; its result is the fault, "" where there was none.
        fault: why it is being stopped; "" while all is well.
        step: control steps made.
        released_at: the step of the command to open; None: not yet.
    """

    def __init__(self, context: ThrowContext) -> None:
        self._c, self.link, self.world = context, context.link, context.link.world
        self.over: Future = Future()
        self.fault, self.step, self._silences = "", 0, 0
        self.released_at: int | None = None
        self._begun: float | None = None
        self._lock = threading.RLock()

    @property
    def summary(self) -> str:
        """One line: whether the ball was let go."""
        if self.released_at is None:
            return "not released"
        return f"released at step {self.released_at} of {self.world.horizon}"

    def begin(self) -> None:
        """Think, where that is needed, and start: at once, or, if thinking took long, with the next state."""
        with self._lock:
            self.link.watch()
            self._prepare()
            if not self.fault and not self.link.stale:
                self._start()

    def on_state(self, sent: int) -> None:
        """A new state is there, which was sent at `sent`, ns."""
        with self._lock:
            if self.over.done():
                return
            if self._begun is None:
                self._start()
                return
            self._between_steps()
            if self.link.time > self._begun + (self.step - _EARLY) * self.world.dt:
                self._control_step(sent)

    def stop(self, reason: StopReason, fault: str = "") -> None:
        """Bring the arm to rest; a throw that is over stays what it was."""
        with self._lock:
            if self.over.done():
                return
            self.fault = self.fault or fault or reason.value
            if self._begun is not None:
                self._brake(reason)
            else:
                self.over.set_result(self.fault)

    def on_silence(self) -> None:
        """No state came for too long; called every control period. While thinking, none could."""
        with self._lock:
            self._silences += 1
            thinking = self._begun is None and self._silences * self.world.dt < _PATIENCE
            if not thinking:
                self.stop(StopReason.STALE)

    def _control_step(self, sent: int | None = None) -> None:
        """Answer the state of now, which was sent at `sent`, ns."""
        if self.fault or self.step >= self.world.horizon:
            self._brake(StopReason.FINISHED)
            return
        state, _ = self.link.live.at(self.link.time)
        wanted = self._wanted(state)
        decision = self._send(wanted)
        if sent is not None:
            self._c.answered(time.time_ns() - sent)
        if decision.release and self.released_at is None:
            self.released_at = self.step
        if decision.stop is not None:
            self.fault = decision.stop.value
        self._c.report(self.step, state, wanted, decision, self.fault)
        self.step += 1

    def _report_stop(self, decision: Decision) -> None:
        state, _ = self.link.live.at(self.link.time)
        if self.fault and state is not None:
            self._c.report(self.step, state, np.zeros(self.world.action_dim), decision, self.fault)

    def _end_at_rest(self) -> None:
        if self.link.filter.at_rest and not self.over.done():
            self.over.set_result(self.fault)

    def _plan(self) -> ThrowPlan:
        """The throw in mind, from where the arm is measured."""
        state, _ = self.link.live.at(self.link.time)
        target = state.target[0].double().numpy()
        settings = self.link.filter.settings
        act, reading = self._c.policy.act, self.link.reading
        return plan_throw(act, self.world, settings, reading, target, self._c.plan_rate)

    @abstractmethod
    def _prepare(self) -> None:
        """Before the motion."""

    @abstractmethod
    def _between_steps(self) -> None:
        """At every state, of which there may be more than control steps."""

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _wanted(self, state: State) -> np.ndarray:
        """The action of this control step, [n + 1]."""

    @abstractmethod
    def _send(self, wanted: np.ndarray) -> Decision: ...

    @abstractmethod
    def _brake(self, reason: StopReason) -> None:
        """The next step on the way to rest."""


class StreamedThrow(Throw):
    """A command for each control step, to a forward_command_controller.

    The policy answers states as they come. Where the gripper takes its time, the moment to let go is
    foreseen: by the throw in mind, begun from where the arm is.
    """

    _due: float | None = None

    def _prepare(self) -> None:
        if self._c.delay:
            plan = self._plan()
            self._due = math.inf if plan.release is None else plan.release - self._c.delay

    def _start(self) -> None:
        self.link.begin()
        self._begun = self.link.time
        self._control_step()

    def _wanted(self, state: State) -> np.ndarray:
        wanted = self._c.decide(state).astype(float)
        if self._due is not None:
            wanted[-1] = 1.0 if self._is_due() else -1.0
        return wanted

    def _is_due(self) -> bool:
        return self.link.time > self._begun + self._due - 0.5 * self.link.period

    def _between_steps(self) -> None:
        waits = self._due is not None and self.released_at is None
        if waits and self._is_due() and not self.fault and self.link.filter.reason is None:
            self.link.move_gripper(True)
            self.released_at = self.step

    def _send(self, wanted: np.ndarray) -> Decision:
        return self.link.act(wanted)

    def _brake(self, reason: StopReason) -> None:
        self._report_stop(self.link.hold(reason))
        self._end_at_rest()


class PlannedThrow(Throw):
    """One trajectory that ends at rest, to a joint_trajectory_controller: it goes on, whatever becomes of us.

    It is planned through a safety filter. While the controller follows it, the filter of the link goes along
    with what is measured: its first fault replaces the motion, from the next control step on, by the way to
    rest. The start is chosen so that the command to open falls on a state to come; what lies between is
    measured with the delay.

    Args:
        output: takes trajectories.
    """

    def __init__(self, context: ThrowContext, output: TrajectoryOutput) -> None:
        super().__init__(context)
        self._output, self._replaced = output, False
        self._ends = math.inf  # s; when the motion that was sent is over
        self._told = -math.inf

    def _prepare(self) -> None:
        self.plan = self._plan()
        excess = self.plan.excess(self.world) if self.plan.stop is None else ""
        if self.plan.stop is not None or excess:
            self.fault = self.plan.stop.value if self.plan.stop else f"the plan breaks a limit: {excess}"
            self.over.set_result(self.fault)

    def _start(self) -> None:
        lead, period, due = LEAD, self.link.period, 0.0
        if self.plan.release is not None:
            due = self.plan.release - self._c.delay
            lead = max(lead, period - due)
            lead = math.ceil((lead + due) / period - 1e-6) * period - due
        self._begun = self.link.time + lead
        self._due = math.inf if self.plan.release is None else self._begun + due
        self.link.begin(self._begun)
        # the filter takes the pose at rest now: the first control step may find the arm moving already
        decision = self.link.judge(np.append(np.zeros(self.world.robot.n), -1.0))
        if decision.stop is not None:  # something came up while it was planned, and nothing moves yet
            self.fault = decision.stop.value
            self.over.set_result(self.fault)
            return
        self._publish(self.plan, self._begun)
        self._ends = self._begun + self.plan.end

    def refused(self, why: str) -> None:
        """The controller will not follow."""
        self.stop(StopReason.DISABLED, why)

    def _between_steps(self) -> None:
        now, reason = self.link.time, self.link.filter.reason
        if reason not in (None, StopReason.FINISHED) and not self.fault:
            self.stop(reason)
        if not self.fault and self.released_at is None and now > self._due - 0.5 * self.link.period:
            self.released_at = min(max(self.step, 0), self.world.horizon)
            self.link.move_gripper(True)
            self._told = now
        elif now > self._told + (1 - _EARLY) * self.world.dt:
            # said again, since a simulation in lock-step takes it for the answer that makes the next step
            self.link.move_gripper()
            self._told = now

    def _wanted(self, state: State) -> np.ndarray:
        return self.plan.actions[self.step]

    def _send(self, wanted: np.ndarray) -> Decision:
        decision = self.link.judge(wanted)
        if decision.stop is not None:
            self._replace()
        return decision

    def _brake(self, reason: StopReason) -> None:
        self.link.filter.stop(reason)
        decision = self.link.judge(None)
        if self.fault:
            self._replace()
        self._report_stop(decision)
        if self.link.now > self._ends:
            self._end_at_rest()

    def _replace(self) -> None:
        """By the way to rest, from the next control step on: so far the controller goes on as planned, and
        what starts in the past it would leap onto. Once."""
        if self._replaced:
            return
        self._replaced = True
        passed = (self.link.now - self._begun) / self.world.dt
        since = max(math.ceil(passed + _ON_ITS_WAY), 0) * self.world.dt
        if since >= self.plan.end:
            return  # it rests by then
        stop = plan_stop(self.world, self.link.filter.settings, self.plan, since, self._c.plan_rate)
        self._publish(stop, self._begun + since)
        self._ends = self._begun + since + stop.end

    def _publish(self, plan: ThrowPlan, start: float) -> None:
        trajectory = plan.trajectory(self.world.robot.joints, start)
        self._output.publish(to_message(trajectory, self.link.stamp_at(start)))
