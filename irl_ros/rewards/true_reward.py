"""The task's own reward: the yardstick a learned one is measured against. Learning never sees it."""

from __future__ import annotations

from torch import Tensor

from irl_ros.sim.state import State


def true_reward(state: State, width: float = 0.1) -> Tensor:
    """How well a ball lies, [...]: 1 / (1 + d / width) once landed at distance d (m) from the target, else 0."""
    distance = (state.ball_position - state.target)[..., :2].norm(dim=-1)
    return state.landed / (1 + distance / width)
