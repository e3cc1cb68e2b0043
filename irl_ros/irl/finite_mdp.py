"""Finite Markov decision processes, whose every trajectory could be written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """P(s' | s, a) of one time step, as a list of successors: S states, A actions, at most B successors each.

    Attributes:
        successors: the s' that may follow, int64 [S, A, B], each below `next_size`.
        probabilities: P(s' | s, a) of each, [S, A, B]. They sum to 1, or are all 0 where s has no action a.
        next_size: S', the number of states one step later.
    """

    successors: Tensor
    probabilities: Tensor
    next_size: int

    def __post_init__(self) -> None:
        total = self.probabilities.sum(-1)
        if not bool(((total - 1).abs().lt(1e-4) | total.eq(0)).all()) or bool((self.probabilities < 0).any()):
            raise ValueError("probabilities: P(· | s, a) must sum to 1, or be all 0 where there is no a")
        if not bool(self.available.any(-1).all()):
            raise ValueError("probabilities: a state has no action; let it stay where it is")

    @classmethod
    def of_matrix(cls, transitions: Tensor) -> Step:
        """From the dense P[s, a, s'], [S, A, S']."""
        successors = torch.arange(transitions.shape[-1], device=transitions.device).expand(transitions.shape)
        return cls(successors, transitions, transitions.shape[-1])

    @cached_property
    def available(self) -> Tensor:
        """Whether s has an action a, bool [S, A]."""
        return self.probabilities.sum(-1) > 0

    @cached_property
    def _log_probabilities(self) -> Tensor:
        return self.probabilities.log()

    def expect(self, value: Tensor) -> Tensor:
        """Σ_s' P(s' | s, a) v(s'), [S, A], for finite v [S']; −∞ where there is no such action."""
        mean = (self.probabilities * value[self.successors]).sum(-1)
        return mean.masked_fill(~self.available, -torch.inf)

    def log_expect(self, log_value: Tensor) -> Tensor:
        """log Σ_s' P(s' | s, a) exp v(s'), [S, A], for v [S']; −∞ where there is no such action."""
        return torch.logsumexp(self._log_probabilities + log_value[self.successors], -1)

    def log_push(self, log_weight: Tensor) -> Tensor:
        """log Σ_{s, a} P(s' | s, a) exp w(s, a), [S'], for w [S, A]: weight carried one step on."""
        moved = (log_weight[..., None] + self._log_probabilities).flatten()
        where = self.successors.flatten()
        empty = moved.new_full((self.next_size,), -torch.inf)
        top = empty.scatter_reduce(0, where, moved, "amax")
        base = top.masked_fill(top == -torch.inf, 0.0)  # −∞ − −∞ is no number
        return base + torch.zeros_like(top).index_add(0, where, (moved - base[where]).exp()).log()


@dataclass(frozen=True)
class FiniteMDP:
    """An MDP without its reward.

    Attributes:
        steps: P of each time step t = 0 … T − 1; one that is used for ever if `endless`.
        initial: p(s_0), [S].
        discount: γ.
        endless: it never ends; then γ < 1 and there is one step.
    """

    steps: tuple[Step, ...]
    initial: Tensor
    discount: float = 1.0
    endless: bool = False

    def __post_init__(self) -> None:
        if abs(float(self.initial.sum()) - 1) > 1e-4 or bool((self.initial < 0).any()):
            raise ValueError(
                f"initial: p(s_0) must be ≥ 0 and sum to 1, sums to {float(self.initial.sum()):.4f}"
            )
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount: must be above 0 and at most 1, found {self.discount}")
        if self.endless and (len(self.steps) != 1 or self.discount == 1):
            raise ValueError("endless: needs a discount below 1 and one step that repeats")

    @classmethod
    def of_matrix(
        cls, transitions: Tensor, initial: Tensor, horizon: int | None = None, discount: float = 1.0
    ) -> FiniteMDP:
        """The same P[s, a, s'], [S, A, S'], in every step; `horizon` T counts actions, None: endless."""
        step = Step.of_matrix(transitions)
        return cls((step,) * (horizon or 1), initial, discount, endless=horizon is None)

    @property
    def horizon(self) -> int | None:
        """T, the number of actions of a trajectory; None: endless."""
        return None if self.endless else len(self.steps)


@dataclass(frozen=True)
class Tabular:
    """An MDP whose states have features, with demonstrations in it: what MaxEnt IRL fits a reward to.

    Attributes:
        mdp: without its reward; the same states in every step.
        features: φ(s), [S, F].
        demonstrated: E_demonstrations[Σ_t γ^t 1(s_t = s)], Ziebart's f̃ before features are taken of it, [S].
    """

    mdp: FiniteMDP
    features: Tensor
    demonstrated: Tensor

    @classmethod
    def of_trajectories(cls, mdp: FiniteMDP, features: Tensor, states: Tensor) -> Tabular:
        """From demonstrated states s_0 … s_{T−1}, int64 [M, T]."""
        weight = mdp.discount ** torch.arange(states.shape[1], dtype=features.dtype)
        counts = features.new_zeros(len(features))
        counts.index_add_(0, states.flatten(), weight.expand(states.shape).flatten())
        return cls(mdp, features, counts / len(states))

    def rewards(self, g: Tensor) -> Sequence[Tensor]:
        """r_t(s, a) = g(s) for every step, each [S, A], from g [S]."""
        return [g[:, None].expand(step.available.shape) for step in self.mdp.steps]

    def visits(self, marginals: Sequence[Tensor]) -> Tensor:
        """Σ_t Σ_a μ_t(s, a), [S]: how often a state is expected to be visited."""
        return torch.stack([mu.sum(-1) for mu in marginals]).sum(0)


def gridworld(size: int, slip: float = 0.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """P[s, a, s'] of a size × size grid, [S, 5, S]: state s is cell (s // size, s % size).

    Actions: up, down, left, right, stay. A move into the wall stays; with probability `slip` another of the
    five actions, drawn uniformly, is carried out instead.
    """
    row, column = torch.arange(size * size) // size, torch.arange(size * size) % size
    moves = torch.tensor([[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]])
    reached = (row[:, None] + moves[:, 0]).clamp(0, size - 1) * size
    reached = reached + (column[:, None] + moves[:, 1]).clamp(0, size - 1)
    sure = torch.nn.functional.one_hot(reached, size * size).to(dtype)
    return (1 - slip) * sure + slip * sure.mean(1, keepdim=True)
