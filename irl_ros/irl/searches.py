"""Several searches for one frozen reward, of which the best is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from irl_ros.irl.reoptimise import Reoptimisation
from irl_ros.rl.agent import Agent

LAST_ROUNDS = 10
"""Of a search that has ended: their mean reward is what it came to."""


class Searches:
    """Searches that start from different untrained policies, one after the other, each to its end.

    Into which swing a policy falls is decided early and by luck, and a search hardly ever leaves it again.
    The reward that is optimised tells the swings apart when the searches have ended, and not before
    (docs/learning.md). Nothing but that reward is asked.

    Args:
        searches: of policies that have the same architecture, for one task and reward. When all have ended
            the policy of the first is what the best of them found.
    """

    def __init__(self, searches: Sequence[Reoptimisation]) -> None:
        self.searches = list(searches)
        self.rewards: list[list[float]] = [[] for _ in self.searches]
        """Mean reward of the last rounds of every search, as far as they are known."""
        self._turn = 0

    @property
    def policy(self) -> Agent:
        """Of the search whose round was last; once all have ended, the best."""
        return self.searches[self._turn].policy

    @property
    def round(self) -> int:
        """Rounds done, of all searches."""
        return sum(search.round for search in self.searches)

    @property
    def finished(self) -> bool:
        return all(search.finished for search in self.searches)

    def iterate(self) -> dict[str, float]:
        """One round of the search whose turn it is; returns figures for the log."""
        if self.searches[self._turn].finished:
            self._turn += 1
        search = self.searches[self._turn]
        figures = search.iterate()
        last = self.rewards[self._turn]
        last.append(figures["reward_mean"])
        del last[:-LAST_ROUNDS]
        if len(self.searches) > 1:
            figures = figures | {"search": float(self._turn + 1)}
        if self.finished:
            self._keep_the_best()
        return figures

    def _keep_the_best(self) -> None:
        means = [sum(last) / len(last) for last in self.rewards]
        best = max(range(len(means)), key=means.__getitem__)
        self.searches[0].policy.load_state_dict(self.searches[best].policy.state_dict())
        self._turn = 0

    def state_dict(self) -> dict[str, Any]:
        """Everything a later `load_state_dict` needs to go on as if never stopped."""
        return {
            "searches": [search.state_dict() for search in self.searches],
            "rewards": [list(last) for last in self.rewards],
            "turn": self._turn,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for search, saved in zip(self.searches, state["searches"], strict=True):
            search.load_state_dict(saved)
        self.rewards = [list(last) for last in state["rewards"]]
        self._turn = state["turn"]
