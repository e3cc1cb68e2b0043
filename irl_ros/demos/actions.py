"""Actions on the control grid: as commanded, or inferred from the motion where no command was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from irl_ros.demos.interpolation import hold
from irl_ros.demos.recording import Commands
from irl_ros.sim.reference import Reference
from irl_ros.sim.world import World

_DELAYS = np.arange(-2, 17) / 4  # control steps
_BETTER = 0.8  # a delay is believed when it explains the motion this much better than none


@dataclass(frozen=True)
class JointActions:
    """Joint part of the actions of one demonstration.

    Attributes:
        values: velocity commands as a share of the world's limits, in [-1, 1], [T, n].
        inferred: no command was recorded; these are what the motion shows.
        delay: s from a command's arrival to its effect, as far as the motion tells; NaN when inferred.
        residual: root mean square of (velocity one step on as `Reference` answers the action − as recorded),
            rad/s.
        clipped: share of the joint commands beyond this world's limits.
    """

    values: np.ndarray
    inferred: bool
    delay: float
    residual: float
    clipped: float


class ActionReader:
    """Commands → actions consistent with the motion, as a world's `Reference` understands them.

    Args:
        world: limits, control period.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._reference = Reference(world, "cpu", torch.float64)

    def read(
        self, commands: Commands | None, times: np.ndarray, q: np.ndarray, qd: np.ndarray
    ) -> JointActions:
        """Actions of the steps that begin at times[:-1].

        An action is the command in force at the middle of its step, so that jitter of the command's time does
        not skip or repeat one. A command acts after a delay (transport, the arm's own cycle), which is chosen
        such that commands and motion agree best.

        Args:
            commands: rad/s; None or none within `times`: the actions are inferred.
            times: of the grid, s [K + 1].
            q, qd: there, rad and rad/s [K + 1, n].
        """
        given = commands is not None and bool(
            ((commands.times >= times[0] - self.world.dt) & (commands.times < times[-1])).any()
        )
        if commands is None or not given:
            return self._actions(self.infer(qd), q, qd, inferred=True, delay=float("nan"))
        candidates = [self._held(commands, times, delay * self.world.dt) for delay in _DELAYS]
        errors = [self.residual(self._share(c)[0], q, qd) for c in candidates]
        none = int(np.abs(_DELAYS).argmin())
        alike = np.flatnonzero(
            np.array(errors) <= 1.02 * min(errors) + 1e-9
        )  # commands come in steps, so do errors
        chosen = int(alike[len(alike) // 2]) if min(errors) < _BETTER * errors[none] else none
        return self._actions(candidates[chosen], q, qd, inferred=False, delay=_DELAYS[chosen] * self.world.dt)

    def infer(self, qd: np.ndarray) -> np.ndarray:
        """Commands, rad/s [K, n], with which `Reference` reproduces the velocities qd [K + 1, n].

        Reference ramps towards the command at the acceleration limit and stays there, so the command that
        leads to the next velocity is that velocity; it falls short only where the arm accelerated harder than
        the world allows.
        """
        return qd[1:]

    def residual(self, values: np.ndarray, q: np.ndarray, qd: np.ndarray) -> float:
        """Root mean square over steps and joints of the velocity error one step on, rad/s."""
        position, velocity, action = (torch.as_tensor(x) for x in (q[:-1], qd[:-1], values))
        _, reached = self._reference.advance(position, velocity, action)
        return float((reached - torch.as_tensor(qd[1:])).square().mean().sqrt())

    def _held(self, commands: Commands, times: np.ndarray, delay: float) -> np.ndarray:
        index = hold(commands.times, times[:-1] + 0.5 * self.world.dt - delay)
        return np.where(index[:, None] >= 0, commands.values[index], 0.0)

    def _share(self, command: np.ndarray) -> tuple[np.ndarray, float]:
        velocity = self.world.velocity
        share = np.where(velocity > 0, command / np.where(velocity > 0, velocity, 1.0), 0.0)
        return np.clip(share, -1.0, 1.0), float((np.abs(share) > 1.0 + 1e-6).mean())

    def _actions(
        self, command: np.ndarray, q: np.ndarray, qd: np.ndarray, inferred: bool, delay: float
    ) -> JointActions:
        values, clipped = self._share(command)
        return JointActions(values, inferred, float(delay), self.residual(values, q, qd), clipped)
