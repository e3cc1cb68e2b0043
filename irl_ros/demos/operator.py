"""A synthetic person who throws with an arm through a joystick, for tests and the demo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from irl_ros.demos.faults import Faults, OperatorSettings, Person, waves_at
from irl_ros.demos.habit import find_habit, stick
from irl_ros.demos.swing import Swing, minimum_jerk
from irl_ros.demos.window import REST_SPEED, choose_window
from irl_ros.sim import BatchWorld, Simulator, State, Throws, World
from irl_ros.sim.batch_world import outcome_of
from irl_ros.sim.reference import Flight

DEAD_BAND = 0.01
"""Share of full stick that does not move the arm."""
GRID = 0.01
"""Time grid of the intended motion, s."""


@dataclass
class Plan:
    """What a person is about to do: a throw, or N throws at once (leading shape [...] below).

    A plan remembers the arm states it was shown, since a person reacts to them late; use it for one episode.

    Attributes:
        target: m, [..., 3].
        swing: the intended swing, faults of aim, strength and pace included.
        onset: when the hand begins to move, s from the episode's start, [...].
        release_time: when it opens, s, [...].
        duration: when the episode is over, s, [...].
    """

    world: World
    settings: OperatorSettings
    target: Tensor
    swing: Swing
    faults: Faults
    _seen: list[tuple[float, Tensor]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        s, dt = self.settings, self.world.dt
        self._limit = torch.as_tensor(self.world.velocity, dtype=torch.float32)
        self.onset = s.rest_before + self.faults.reaction + s.command_delay
        # the command goes out with the first tick after the hand opened, half a period later on average
        self.release_time = self.onset + (self.swing.release + self.faults.release - 0.5 * dt).clamp_min(0.05)
        self.duration = self.onset + self.swing.end + s.rest_after

    @cached_property
    def _places(self) -> Tensor:
        """Intended joint positions every GRID seconds from onset, [..., K, n]: a stick ends at full speed."""
        times = (torch.arange(int(float(self.swing.end.max()) / GRID) + 2) + 0.5) * GRID
        velocity = torch.minimum(torch.maximum(self.swing.velocities(times), -self._limit), self._limit)
        way = torch.cat((torch.zeros_like(velocity[..., :1, :]), velocity.cumsum(-2) * GRID), -2)
        return self.swing.home + way

    def intended_position(self, t: float) -> Tensor:
        """Where the person wants the joints at time t (s from the episode's start), rad, [..., n]."""
        x = ((t - self.onset) / GRID).clamp(0.0, self._places.shape[-2] - 1.001)
        index = x.floor().long()
        wide = index[..., None, None].expand(*index.shape, 1, self._places.shape[-1])
        here, there = (self._places.gather(-2, wide + i)[..., 0, :] for i in (0, 1))
        return here + (x - index)[..., None] * (there - here)

    def command(self, t: float, state: State) -> Tensor:
        """What the joystick says at a time.

        Args:
            t: s from the episode's start; calls come in order, at 50 Hz or more.
            state: what the person sees now; only the joint positions count, [..., n].

        Returns:
            Action [..., n + 1] in [-1, 1]: joint velocities as a share of the world's limits, then release.
        """
        self._seen.append((t, state.q.to("cpu", torch.float32)))
        since = t - self.onset
        # a command holds for a control period: the velocity in its middle is the right one
        velocity = self.swing.velocity(since + 0.5 * self.world.dt)
        joints = stick(velocity, self._limit)
        slips = stick(self._correction(t), self._limit) + self._unsteadiness(t)
        joints = joints + self._activity(since)[..., None] * slips
        joints = torch.where(joints.abs() < DEAD_BAND, torch.zeros_like(joints), joints).clamp(-1.0, 1.0)
        release = torch.where(t >= self.release_time - 1e-6, 1.0, -1.0)
        return torch.cat((joints, release.expand(joints.shape[:-1])[..., None]), -1)

    def _activity(self, since: Tensor) -> Tensor:
        """1 while the hand works, fading in at onset and out after the swing: at rest it lets go."""
        return minimum_jerk(since / 0.1) * (1.0 - minimum_jerk((since - self.swing.end) / 0.15))

    def _correction(self, t: float) -> Tensor:
        """Joint velocities that reduce the error the person saw one reaction time ago, rad/s."""
        delay = self.settings.reaction + self.settings.command_delay
        while len(self._seen) > 1 and self._seen[1][0] <= t - delay:
            self._seen.pop(0)
        when, q = self._seen[0]
        if when > t - delay:
            return torch.zeros_like(q)
        return self.settings.correction * (self.intended_position(when) - q)

    def _unsteadiness(self, t: float) -> Tensor:
        now = torch.full_like(self.onset, t)
        return waves_at(self.faults.tremor, now) + waves_at(self.faults.wander, now)

    @classmethod
    def together(cls, plans: Sequence[Plan]) -> Plan:
        """Plans of one person as one with a new first leading dimension."""
        first = plans[0]
        return cls(
            first.world,
            first.settings,
            torch.stack([p.target for p in plans]),
            Swing.stack([p.swing for p in plans]),
            Faults.stack([p.faults for p in plans]),
        )


class SyntheticOperator:
    """One person, who plans one throw after another and gets tired over them.

    Args:
        world: where they throw.
        settings: who they are (`load_operator` reads presets).
        seed: of this person's habit and faults: the same seed throws the same throws.

    Raises:
        InputError: the arm cannot throw onto this world's targets.
    """

    def __init__(self, world: World, settings: OperatorSettings | None = None, seed: int = 0) -> None:
        self.world, self.settings = world, settings or OperatorSettings()
        styles = ("underhand", "overhand") if self.settings.style == "mixed" else (self.settings.style,)
        self.habits = [find_habit(world, style, self.settings.tempo, seed) for style in styles]
        self.person = Person(self.settings, world.robot.n, seed)
        self._choice = torch.Generator().manual_seed(seed + 1)

    def plan(self, target: Tensor) -> Plan:
        """The next throw.

        Args:
            target: m, [3]. Beyond the world's ring the person throws as near to it as practised.
        """
        target = torch.as_tensor(target, dtype=torch.float32)
        habit = self.habits[int(torch.randint(len(self.habits), (), generator=self._choice))]
        faults = self.person.next_throw()
        swing = habit.aimed(self._perceived(target, faults.aim))
        amplitude = swing.amplitude * torch.ones_like(faults.synergy)
        amplitude[:2] *= faults.strength * faults.synergy  # the turn goes where it is aimed
        swing = dataclasses.replace(swing, amplitude=amplitude).slower(faults.pace)
        # in a quick swing the hand is less sure when to open
        haste = amplitude[1].norm() / habit.swing(torch.tensor(0.5), torch.tensor(0.0)).amplitude[1].norm()
        faults = dataclasses.replace(faults, release=faults.release * haste)
        return Plan(self.world, self.settings, target, swing, faults)

    @staticmethod
    def _perceived(target: Tensor, aim: Tensor) -> Tensor:
        along = target[:2] / target[:2].norm().clamp_min(1e-6)
        across = torch.stack((-along[1], along[0]))
        return torch.cat((target[:2] + aim[0] * along + aim[1] * across, target[2:]))


def demonstrate(
    world: World,
    operator_settings: OperatorSettings | None = None,
    episodes: int = 20,
    seed: int = 0,
    simulator: Simulator | None = None,
) -> Throws:
    """Throws of one person at targets drawn from the world, cut to its horizon as recordings are.

    Args:
        world: where.
        operator_settings: who.
        episodes: how many throws, in the order a person tires over.
        seed: of targets and person.
        simulator: BulletWorld (takes them one by one), or another; default BatchWorld.

    Returns:
        Throws with actions as commanded, cut by `choose_window`: from a little before the motion.
    """
    operator = SyntheticOperator(world, operator_settings, seed)
    targets = world.sample_targets(episodes, torch.Generator().manual_seed(seed))
    plans = [operator.plan(target) for target in targets]
    with torch.no_grad():
        if simulator is None:
            return _watch(BatchWorld(world), Plan.together(plans))
        return Throws.cat([_watch(simulator, Plan.together([plan])) for plan in plans])


def _watch(simulator: Simulator, plan: Plan) -> Throws:
    """Whole episodes of N plans, each cut to the horizon around its throw."""
    world = simulator.world
    # enough to cut a whole horizon from the last onset on
    longest = max(float(plan.duration.max()), float(plan.onset.max()) + (world.horizon + 1) * world.dt)
    states, actions = [simulator.reset(plan.target)], []
    for k in range(int(longest / world.dt) + 1):
        actions.append(plan.command(k * world.dt, simulator.observed()).to(simulator.device))
        states.append(simulator.step(actions[-1]))
    whole, commanded, outcome = State.stack(states, 1), torch.stack(actions, 1), simulator.outcome()
    starts = torch.tensor([_window_start(world, whole[i]) for i in range(len(commanded))])
    window = (starts[:, None] + torch.arange(world.horizon + 1)).to(simulator.device)
    row = torch.arange(len(commanded), device=simulator.device)[:, None]
    shown = whole[row, window]
    phase = torch.arange(world.horizon + 1, device=simulator.device) / world.horizon
    shown = dataclasses.replace(shown, phase=phase.to(shown.phase).expand_as(shown.phase))
    flight = Flight(world, simulator.conditions, shown.q.device, shown.q.dtype)
    outcome = outcome_of(flight, shown[:, -1], outcome.limit_violations, outcome.torque_saturation)
    return Throws(shown, commanded[row, window[:, :-1]], outcome)


def _window_start(world: World, states: State) -> int:
    """First step of the window of an episode with states [K]."""
    limit = torch.as_tensor(world.robot.velocity, dtype=states.qd.dtype, device=states.qd.device)
    resting = (states.qd.abs() <= REST_SPEED * limit).all(-1).cpu().numpy()
    release = int((~states.held).float().argmax())
    landing = int(states.landed.float().argmax()) - release if states.landed.any() else None
    chosen = choose_window(resting, -release, 0, landing, world.horizon)
    return min(chosen.start + release, len(resting) - world.horizon - 1)
