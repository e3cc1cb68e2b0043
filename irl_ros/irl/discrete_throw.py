"""The throw as a finite MDP: choose a swing from a grid, then hold the ball or let it go, step by step.

From one of C targets the agent chooses one of K swings (strength × shape × turn, `SwingGrid`). In every
control step after that its state is (target, swing) and it holds or releases. A release is an option
(Sutton, Precup & Singh 1999): the flight and the rest on the floor are physics, so their rewards are summed
into it. Nothing is modelled: swings are rolled in BatchWorld, flights follow the world's own flight rule, and
the features are those that rewards/features.py computes of these states, rounded. States with the same
rounded features are one *cell*; a trajectory's return is a sum of g over the cells it visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from irl_ros.irl.finite_mdp import FiniteMDP, Step
from irl_ros.irl.swing_grid import SwingGrid, SwingGridSettings, release_steps
from irl_ros.irl.throw_bundle import Bundle, Rounding, throw_all
from irl_ros.rl.task import Trajectories
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.settings import at_least
from irl_ros.sim.reference import Flight

HOLD, RELEASE = 0, 1
LANDED = -1
"""Where features say whether the ball is down."""


@dataclass(frozen=True)
class ThrowGridSettings:
    targets: int = 8
    """Most demonstrated targets that throws start from; of more, those evenly over their distance."""
    resolution: float = 0.02
    """Features are rounded to multiples of this: less than a centimetre near the target."""
    never: float = 0.5
    """How often someone who wants nothing keeps the ball; otherwise they let go at any time alike."""
    swings: SwingGridSettings = field(default_factory=SwingGridSettings)

    def __post_init__(self) -> None:
        at_least(self, 1, "targets")
        if not 0 < self.never < 1:
            raise ValueError(f"never: must be between 0 and 1, found {self.never}")
        if not 1e-3 <= self.resolution <= 1:
            raise ValueError(f"resolution: must be between 0.001 and 1, found {self.resolution}")


class DiscreteThrow:
    """A `Problem` of MaxEnt IRL made of a throw task and its demonstrations.

    Args:
        task: world, features, observation.
        demonstrations: of the task.
        settings: see ThrowGridSettings.

    Attributes:
        mdp: step 0 chooses a swing, steps 1 … T hold or release.
        features: rounded φ of every cell, [cells, F].
        demonstrated: mean visits of a demonstration to every cell, [cells].
        mapped: target c, swing k and release step u that stand for each demonstration, int64 [M, 3].
        miss: distance of landing and target, m, [C K, T + 1]; inf where it is not down in time.
        figures: how far demonstrations are from what stands for them.
    """

    def __init__(
        self, task: ThrowTask, demonstrations: Trajectories, settings: ThrowGridSettings | None = None
    ) -> None:
        self.task, self.settings = task, settings or ThrowGridSettings()
        demonstrations = demonstrations.to("cpu")
        self.rounding = Rounding(self.settings.resolution, task.features.size)
        start, targets, landing = self._read(demonstrations.observations)
        chosen, self.context = choose_targets(targets, self.settings.targets)
        self.targets = targets[chosen]
        world = task.simulator.world
        self.swings = SwingGrid(world, demonstrations.actions, start, self.settings.swings)
        self._idle = idle_hands(task.horizon, self.settings.never).to(task.device)
        self._fill(demonstrations)
        self.mdp = self._mdp()
        miss = (landing - targets)[:, :2].norm(dim=-1)
        self.figures = self._discretisation(miss, demonstrations)

    def bundle(self, target: Tensor) -> Bundle:
        """Every throw of the grid at a target [3], m."""
        azimuth = float(torch.atan2(target[1], target[0]))
        position, velocity = self.swings.roll(azimuth)
        flight = Flight(self.task.simulator.world)
        return throw_all(position, velocity, target, flight, self.task.features, self.rounding)

    def rewards(self, g: Tensor) -> Sequence[Tensor]:
        """r_t(s, a) from g [cells]: of choosing, [C, K], then of holding or releasing, T times [C K + 1, 2].

        The last include log q of idle hands: what is believed is q exp(Σ r), up to its scale.
        """
        held = g[self._held]
        flights = torch.zeros_like(held).flatten()
        flights.index_add_(0, self._rows, g[self._cells] * self._spent)
        both = g.new_zeros(len(held), held.shape[1] + 1, 2)
        both[:, :-1, HOLD] = held + self._idle[:, None, HOLD]
        both[:, :-1, RELEASE] = held + flights.reshape(held.shape) + self._idle[:, None, RELEASE]
        return [g.new_zeros(self.mdp.steps[0].available.shape), *both]

    def visits(self, marginals: Sequence[Tensor]) -> Tensor:
        """Expected visits of every cell, [cells]: the transpose of `rewards`."""
        both = torch.stack(list(marginals[1:]))[:, :-1]
        expected = both.new_zeros(len(self.features))
        expected.index_add_(0, self._held.flatten(), both.sum(-1).flatten())
        return expected.index_add_(0, self._cells, both[..., RELEASE].flatten()[self._rows] * self._spent)

    def hit_rate(self, marginals: Sequence[Tensor], within: float = 0.10) -> float:
        """Probability of a landing within a distance (m) of the target."""
        let_go = torch.stack([mu[:-1, RELEASE] for mu in marginals[1:]], 1)
        return float((let_go * (self.miss[:, :-1] <= within)).sum())

    def _mdp(self) -> FiniteMDP:
        shares = torch.bincount(self.context, minlength=len(self.targets)).float()
        targets, swings, device = len(shares), len(self.swings), self.task.device
        states = torch.arange(targets * swings + 1, device=device)
        chosen = states[:-1].reshape(targets, swings, 1)
        first = Step(chosen, torch.ones(chosen.shape, device=device), len(states))
        go_on = torch.stack((states, torch.full_like(states, len(states) - 1)), 1)[..., None]
        certain = torch.ones(go_on.shape, device=device)
        certain[-1, RELEASE] = 0.0  # a ball that is gone leaves nothing to choose
        then = Step(go_on, certain, len(states))
        return FiniteMDP((first, *[then] * self.task.horizon), (shares / shares.sum()).to(device))

    def _fill(self, demonstrations: Trajectories) -> None:
        """Throw everything; number the cells; map the demonstrations."""
        steps, swings, device = self.task.horizon, len(self.swings), self.task.device
        total = len(self.targets) * swings
        self.mapped = torch.zeros(len(demonstrations), 3, dtype=torch.long)
        visited = torch.zeros(len(demonstrations), steps, dtype=torch.long)
        held, rows, codes, spent, misses = [], [], [], [], []
        for c, target in enumerate(self.targets):
            bundle = self.bundle(target)
            held.append(bundle.held)
            misses.append(bundle.miss)
            u, k, code, time = bundle.flights()
            rows.append((u * total + c * swings + k).int())
            codes.append(code)
            spent.append(time.to(torch.float32))
            for m in (self.context == c).nonzero()[:, 0].tolist():
                k_m, u_m = bundle.nearest(demonstrations.features[m, :-1], self.rounding)
                self.mapped[m] = torch.tensor([c, k_m, u_m])
                visited[m] = bundle.code[:, k_m, u_m]
        seen = torch.cat([x.unique() for x in (*held, *codes)]).unique()
        self._held = torch.searchsorted(seen, torch.cat(held, 1)).to(device)
        self._cells = torch.cat([torch.searchsorted(seen, code).int() for code in codes]).to(device)
        self._rows, self._spent = torch.cat(rows).to(device), torch.cat(spent).to(device)
        self.features = self.rounding.features(seen).to(device)
        counts = torch.searchsorted(seen, visited).flatten().bincount(minlength=len(seen))
        self.demonstrated = (counts.float() / len(demonstrations)).to(device)
        self.miss = torch.cat(misses).to(device)
        self.task.env_steps += total * steps  # though no rollout of the task's made them

    def _read(self, observations: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Median start (q and q̇, each [n]), targets [M, 3] and last ball positions [M, 3]."""
        seen = self.task.observation
        raw = observations * seen.scale.cpu() + seen.mean.cpu()
        n = self.task.simulator.world.robot.n
        q, qd, targets = raw[:, 0, : 2 * n + 3].split((n, n, 3), -1)
        start = (q.median(0).values, (qd * seen.velocity.cpu()).median(0).values)
        return start, targets, raw[:, -1, 2 * n + 3 : 2 * n + 6]

    def _discretisation(self, miss: Tensor, demonstrations: Trajectories) -> dict[str, float]:
        c, k, u = self.mapped.unbind(-1)
        release = release_steps(demonstrations.actions)
        late = (u - release).abs().float().mean() * self.task.simulator.world.dt
        apart = (self.miss.cpu()[c * len(self.swings) + k, u] - miss).abs()
        down = apart.isfinite() & (demonstrations.features[:, -1, LANDED] > 0.5)
        figures = {"discretisation_release_s": float(late)}
        return figures | ({"discretisation_miss_m": float(apart[down].mean())} if down.any() else {})


def idle_hands(steps: int, never: float) -> Tensor:
    """log q_t(hold, release), [T, 2], of someone who wants nothing: never lets go, or at any time alike.

    Args:
        steps: T.
        never: chance of the former.
    """
    at_any_time = (1 - never) / steps
    still_holding = never + at_any_time * torch.arange(steps, 0, -1)
    release = at_any_time / still_holding
    return torch.stack((1 - release, release), -1).log()


def choose_targets(targets: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most `most` of the targets [M, 3] and, for every one, the nearest of those: int64 [C] and [M]."""
    order = targets[:, :2].norm(dim=-1).argsort()
    chosen = order[torch.linspace(0, len(order) - 1, min(most, len(order))).round().long()]
    return chosen, torch.cdist(targets, targets[chosen]).argmin(-1)
