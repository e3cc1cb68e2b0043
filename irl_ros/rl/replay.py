"""Replay: the episodes of all policies so far, for learners that may use them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from irl_ros.rl.task import Rollout, Trajectories
from irl_ros.sim.state import TensorBatch


class Replay:
    """Every episode so far, whole, as one Rollout. Rewards are not kept: a learned reward changes.

    Args:
        rollouts: in the order they were made.
    """

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        states = [r.states for r in rollouts]
        self.rollout = Rollout(
            Trajectories.cat([r.trajectories for r in rollouts]),
            torch.cat([r.log_prob for r in rollouts]),
            # in whatever form the task keeps them
            type(states[0]).cat(states) if isinstance(states[0], TensorBatch) else None,
        )

    def __len__(self) -> int:
        """Episodes."""
        return len(self.rollout.trajectories)

    def with_more(self, rollouts: Sequence[Rollout]) -> Replay:
        """These episodes and later ones."""
        return Replay([self.rollout, *rollouts])

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs."""
        states = self.rollout.states
        return {
            "trajectories": dict(vars(self.rollout.trajectories)),
            "log_prob": self.rollout.log_prob,
            "states": None if states is None else dict(vars(states)),
        }

    @classmethod
    def load(cls, state: dict[str, Any], like: Rollout) -> Replay:
        """From what `state_dict` gave; `like` is any rollout of the same task, on the device it acts on."""
        device, states = like.log_prob.device, state["states"]
        if states is not None:
            states = type(like.states)(**states).to(device)
        trajectories = Trajectories(**state["trajectories"]).to(device)
        return cls([Rollout(trajectories, state["log_prob"].to(device), states)])
