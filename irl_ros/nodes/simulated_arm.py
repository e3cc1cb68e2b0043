"""SimulatedArm: a throw world that takes what controllers take. No ROS here; `sim_arm` puts it on topics."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
import torch

from irl_ros.errors import InputError
from irl_ros.sim.rollout import Simulator
from irl_ros.sim.state import State
from irl_ros.sim.world import World


class SimulatedArm:
    """One arm, one ball, one target, driven by velocity commands in rad/s.

    What the world delays or disturbs, it does here too: `state` is the truth, `seen` what sensors show of it.
    Every reset draws the world's ranges anew.

    Commands are those of a forward_command_controller: no names, the last one persists, and one of the wrong
    length is refused.

    Args:
        simulator: the world that moves, N = 1.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, self.world = simulator, simulator.world
        self._target = middle_of_targets(self.world)
        self.reset()

    def reset(self) -> State:
        """Arm at home and at rest, gripper closed around a new ball. The state as sensors show it."""
        self._velocity = np.zeros(self.world.robot.n)
        self._open = False
        self.state = self.simulator.reset(torch.as_tensor(self._target)[None])
        return self.seen

    @property
    def seen(self) -> State:
        """The state as sensors show it."""
        return self.simulator.observed()

    def command(self, velocity: Sequence[float]) -> None:
        """Joint velocities to hold from now on, rad/s, [n] in the robot's order.

        Raises:
            InputError: not n numbers, or one of them is not finite.
        """
        values, n = np.asarray(velocity, dtype=float), self.world.robot.n
        if values.shape != (n,):
            raise InputError(
                "arm command", f"has {values.size} values", f"robot {self.world.robot.name} has {n} joints"
            )
        if not np.isfinite(values).all():
            raise InputError("arm command", "holds a value that is not finite")
        self._velocity = values

    def gripper(self, values: Sequence[float]) -> None:
        """One number: above 0 opens, else closes. A ball once let go stays released.

        Raises:
            InputError: not one finite number.
        """
        if len(values) != 1 or not np.isfinite(values[0]):
            raise InputError("gripper command", f"is {list(values)}", "give one number, above 0 to open")
        self._open = values[0] > 0.0

    def aim(self, target: Sequence[float]) -> None:
        """Move the target, m, [3] in the world frame; its height is where the ball lands.

        Raises:
            InputError: not three finite numbers.
        """
        point = np.asarray(target, dtype=float)
        if point.shape != (3,) or not np.isfinite(point).all():
            raise InputError("target", f"is {list(target)}", "give three finite coordinates")
        self._target = point
        moved = torch.as_tensor(point, dtype=self.state.q.dtype, device=self.state.q.device)[None]
        self.simulator.state = self.state = dataclasses.replace(self.state, target=moved)

    def step(self) -> State:
        """One control period under the commands given. The state as sensors show it."""
        limit = self.world.velocity
        share = np.divide(self._velocity, limit, out=np.zeros_like(limit), where=limit > 0)
        action = torch.as_tensor(np.append(share, 1.0 if self._open else -1.0), dtype=self.state.q.dtype)
        self.state = self.simulator.step(action[None])
        return self.seen


def middle_of_targets(world: World) -> np.ndarray:
    """The centre of the region targets are drawn from, m, [3]."""
    t = world.settings.target
    radius, azimuth = sum(t.radius) / 2, sum(t.azimuth) / 2
    return np.array([radius * np.cos(azimuth), radius * np.sin(azimuth), t.height])


class Pace(enum.Enum):
    """Whether the world waits for commands."""

    FREE = "free"
    """It moves on by the wall clock."""
    WAITING = "waiting"
    """After a reset in lock-step: it stands still until the first command."""
    LOCKED = "locked"
    """In lock-step under command: every command is one step."""


class LockStep:
    """As fast as possible and still faithful: the world takes exactly one step for each command.

    One token circulates: a state goes out, its command comes in, the next state goes out. So a throw does not
    depend on how fast or how loaded the machine is. `reset` starts it; where commands stop, the world is free
    again and moves by the wall clock until the next reset. Then the last command persists.

    Args:
        period: control period, s (wall) while free.
        patience: how long to wait for a command, s (wall), under command and after a reset. Long beside a
            control period: a machine busy with other things answers late, and a throw must not differ.
    """

    def __init__(self, period: float, patience: tuple[float, float] = (2.0, 10.0)) -> None:
        self.period, self.patience = period, patience
        self.pace, self._since = Pace.FREE, 0.0

    def reset(self, now: float) -> None:
        """The world has been reset at `now`, s (wall)."""
        self.pace, self._since = Pace.WAITING, now

    def on_command(self, now: float) -> bool:
        """A command came in; whether it makes a step."""
        if self.pace is Pace.FREE:
            return False
        self.pace, self._since = Pace.LOCKED, now
        return True

    def on_time(self, now: float) -> bool:
        """Called regularly; whether time alone makes a step."""
        waits = {Pace.FREE: self.period, Pace.LOCKED: self.patience[0], Pace.WAITING: self.patience[1]}
        if now - self._since < waits[self.pace]:
            return False
        # keep the beat rather than drift, unless the beat was lost
        behind = now - self._since - self.period
        self._since = now - behind if self.pace is Pace.FREE and behind < self.period else now
        self.pace = Pace.FREE
        return True
