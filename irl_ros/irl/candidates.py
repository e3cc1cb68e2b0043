"""Several untrained policies, of which the one goes on that a frozen reward comes to value most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from irl_ros.irl.reoptimise import Reoptimisation
from irl_ros.rl.agent import Agent


class Candidates:
    """Tries searches one after the other for a few rounds each; the best of them is where the first goes on.

    Into which swing a policy falls is decided by its first weights, within the first rounds, and a search
    hardly ever leaves it again. The return by the reward that is being optimised tells the swings apart:
    nothing but that reward is asked.

    Args:
        searches: of different policies for one task and reward; the first of them is the one that goes on.
        rounds: of each.
    """

    def __init__(self, searches: Sequence[Reoptimisation], rounds: int) -> None:
        self.searches, self.rounds = list(searches), rounds
        self.values: list[float] = []
        """Mean reward of each search's policy in the last of its rounds, as far as they are known."""

    @property
    def _turn(self) -> int:
        return min(len(self.values), len(self.searches) - 1)

    @property
    def policy(self) -> Agent:
        return self.searches[self._turn].policy

    @property
    def round(self) -> int:
        """Rounds done, of all searches."""
        under_way = 0 if self.finished else self.searches[self._turn].round
        return len(self.values) * self.rounds + under_way

    @property
    def finished(self) -> bool:
        return len(self.values) == len(self.searches)

    def iterate(self) -> dict[str, float]:
        """One round of the search whose turn it is; returns figures for the log."""
        search = self.searches[self._turn]
        figures = search.iterate()
        if search.round == self.rounds:
            self.values.append(figures["reward_mean"])
        if self.finished:
            best = max(range(len(self.values)), key=self.values.__getitem__)
            self.searches[0].load_state_dict(self.searches[best].state_dict())
        return figures

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {"searches": [search.state_dict() for search in self.searches], "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for search, saved in zip(self.searches, state["searches"], strict=True):
            search.load_state_dict(saved)
        self.values = list(state["values"])
