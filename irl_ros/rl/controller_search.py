"""The sampler of guided cost learning over many rounds: a Controller, its steps, and how long they may be."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from irl_ros.rl.controller import Controller
from irl_ros.rl.controller_step import ControllerSettings, step
from irl_ros.rl.task import Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class SearchSettings(ControllerSettings):
    grow: float = 1.3
    """Factor on ε after a step that helped."""
    shrink: float = 0.5
    """Factor on ε after one that did harm."""
    least: float = 1.0
    """ε never gets smaller."""
    most: float = 20.0
    """ε never gets larger."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "grow")
        if not 0 < self.least <= self.most:
            raise ValueError(f"least: must be above 0 and at most {self.most:g}, found {self.least:g}")


@dataclass(frozen=True)
class Place:
    """A controller, trajectories of its own, and what they are worth today.

    Attributes:
        cost: c of each step's state, effort left out, [N, T].
        value: c − log p₀ + log q of each trajectory, [N]; its mean is the objective.
    """

    controller: Controller
    trajectories: Trajectories
    cost: Tensor
    value: Tensor

    @property
    def objective(self) -> float:
        """E[c − log p₀] − H(q), smaller is better."""
        return float(self.value.mean())

    @property
    def error(self) -> float:
        """Standard error of the objective."""
        return float(self.value.std() / len(self.value) ** 0.5)


class ControllerSearch:
    """Steps of a controller towards exp(−c), each from the best place there is.

    The cost changes from round to round, and with it what earlier controllers are worth. So a step starts
    from the best of all so far by today's cost, and was too long if its own place is worse than where it came
    from.

    Args:
        controller: q_1.
        settings: see SearchSettings.
    """

    def __init__(self, controller: Controller, settings: SearchSettings) -> None:
        self.controller, self.settings = controller, settings
        self.epsilon = settings.epsilon
        self.best, self.origin = 0, -1  # places: the best, and the one the newest came from

    def update(self, places: list[Place]) -> dict[str, float]:
        """One step; returns figures for the log.

        Args:
            places: all so far; the last is the current controller's.
        """
        s, newest = self.settings, places[-1]
        harm = False
        if self.origin >= 0:
            origin = places[self.origin]
            harm = newest.objective > origin.objective + math.hypot(newest.error, origin.error)
            wanted = self.epsilon * (s.shrink if harm else s.grow)
            self.epsilon = min(max(wanted, s.least), s.most)
        values = torch.tensor([x.objective for x in places])
        self.best = self.origin = int(values.argmin())
        place = places[self.best]
        found = step(place.controller, place.trajectories, place.cost, s, self.epsilon)
        self.controller = place.controller.replaced(found.motion, found.release)
        return {
            "objective": newest.objective,
            "best_objective": place.objective,
            "best_place": float(self.best),
            "epsilon": self.epsilon,
            "eta": found.eta,
            "kl": found.divergence,
            "release_step": float(found.release.argmax()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        own = {"epsilon": self.epsilon, "best": self.best, "origin": self.origin}
        return own | {"controller": dict(self.controller.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller = copy.deepcopy(self.controller)  # its tensors may be another's too
        self.controller.load_state_dict(state["controller"])
        self.epsilon, self.best, self.origin = state["epsilon"], state["best"], state["origin"]
