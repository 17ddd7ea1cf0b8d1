"""Users who search for groups day by day, with Mesa: an agent each, or arrays for all.

Input: as in `searching.py`. Answer: `sizes` of the groups, and `joins`.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import mesa
import numpy as np
from protocol import Arrays, serve
from searching import Searches

Answer = Callable[[], Mapping[str, Any]]


class Searcher(mesa.Agent):
    """A user with the days of the occasions, the next one last."""

    def __init__(self, model: Platform, interest: list[float], days: list[int]) -> None:
        super().__init__(model)
        self.interest, self.days = list(accumulate(interest)), days
        self.joined: set[int] = set()

    def step(self) -> None:
        today = self.model.today
        while self.days and self.days[-1] == today:
            self.days.pop()
            self.search(today)

    def search(self, today: int) -> None:
        model, draw = self.model, self.model.draw
        for _ in range(model.attempts):
            topic = bisect(self.interest, draw() * self.interest[-1])
            pull, groups = model.pulls[topic]
            if not groups:
                continue
            group = groups[bisect(pull, draw() * pull[-1])]
            if model.created[group] <= today and group not in self.joined:
                self.joined.add(group)
                return


class Platform(mesa.Model):
    def __init__(self, given: Arrays) -> None:
        super().__init__(seed=1)
        self.draw = self.random.random
        self.today, self.attempts = 0, int(given["attempts"])
        self.created = given["created"].tolist()
        self.pulls = []
        for pull in given["pull"].T:
            groups = np.flatnonzero(pull)
            self.pulls.append((np.cumsum(pull[groups]).tolist(), groups.tolist()))
        days: list[list[int]] = [[] for _ in given["interest"]]
        for user, day in zip(
            given["user"][::-1].tolist(), given["day"][::-1].tolist(), strict=True
        ):
            days[user].append(day)
        for interest, mine in zip(given["interest"].tolist(), days, strict=True):
            Searcher(self, interest, mine)

    def step(self) -> None:
        self.agents.shuffle_do("step")
        self.today += 1


def with_agents(given: Arrays) -> Answer:
    def work() -> dict[str, Any]:
        platform = Platform(given)
        for _ in range(int(given["days"])):
            platform.step()
        sizes = np.zeros(len(given["created"]), np.int64)
        for agent in platform.agents:
            np.add.at(sizes, list(agent.joined), 1)
        return {"sizes": sizes, "joins": sizes.sum()}

    return work


class Arrayed(mesa.Model):
    """The same with the users of a day as arrays."""

    def __init__(self, given: Arrays) -> None:
        super().__init__(seed=1)
        self.searches, self.today = Searches(given), 0

    def step(self) -> None:
        self.searches.live(self.today, self.rng)
        self.today += 1


def with_arrays(given: Arrays) -> Answer:
    def work() -> dict[str, Any]:
        platform = Arrayed(given)
        for _ in range(int(given["days"])):
            platform.step()
        return platform.searches.answer()

    return work


if __name__ == "__main__":
    serve({"agents": with_agents, "arrays": with_arrays})
