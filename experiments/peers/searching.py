"""Users who search for groups, the users of a day as arrays: what Mesa and Starsim step through.

Input: `interest` (users x topics), `pull` (groups x topics: mix times appeal), `created` of
groups, `user` and `day` of every occasion in order of the days, `days`, `attempts`. At an
occasion a user draws up to `attempts` times a topic by interest, then a group by its pull,
and joins the first that exists and is new.
"""

from __future__ import annotations

import numpy as np
from protocol import Arrays

__all__ = ["Searches"]


class Searches:
    """What users of some days have joined; those with two occasions on a day take turns."""

    def __init__(self, given: Arrays) -> None:
        self.user, self.created = given["user"], given["created"]
        self.attempts, self.days = int(given["attempts"]), int(given["days"])
        self.interest = np.cumsum(given["interest"], axis=1)
        self.pull = np.cumsum(given["pull"], axis=0)
        self.joined = np.zeros((len(given["interest"]), len(given["created"])), bool)
        self.first = np.searchsorted(given["day"], np.arange(self.days + 1))

    def live(self, today: int, rng: np.random.Generator) -> None:
        due = np.sort(self.user[self.first[today] : self.first[today + 1]])
        while len(due):
            now = np.diff(due, prepend=-1) != 0
            self._search(due[now], today, rng)
            due = due[~now]

    def _search(self, users: np.ndarray, today: int, rng: np.random.Generator) -> None:
        for _ in range(self.attempts):
            mine = self.interest[users]
            topic = (mine < rng.random((len(users), 1)) * mine[:, -1:]).sum(axis=1)
            draw, group = rng.random(len(users)), np.full(len(users), -1)
            for k in np.unique(topic):
                at, pull = topic == k, self.pull[:, k]
                if pull[-1] > 0:
                    group[at] = np.searchsorted(pull, draw[at] * pull[-1], side="right")
            new = (group >= 0) & (self.created[group] <= today)
            new &= ~self.joined[users, group]
            self.joined[users[new], group[new]] = True
            users = users[~new]
            if len(users) == 0:
                return

    def answer(self) -> dict[str, np.ndarray]:
        sizes = self.joined.sum(axis=0)
        return {"sizes": sizes, "joins": sizes.sum()}
