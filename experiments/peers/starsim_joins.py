"""Users who search for groups day by day, with Starsim: a module of one simulation.

Input: as in `searching.py`. Answer: `sizes` of the groups, and `joins`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import starsim as ss
from protocol import Arrays, serve
from searching import Searches


class Searching(ss.Module):
    """What the people of a simulation join."""

    def __init__(self, given: Arrays) -> None:
        super().__init__(name="searching")
        self.searches, self.rng = Searches(given), np.random.default_rng(1)

    def step(self) -> None:
        self.searches.live(self.ti, self.rng)


def with_arrays(given: Arrays) -> Callable[[], Mapping[str, Any]]:
    users, days = len(given["interest"]), int(given["days"])

    def work() -> dict[str, Any]:
        searching = Searching(given)
        ss.Sim(
            n_agents=users, start=0, dur=days - 1, dt=1, modules=[searching], copy_inputs=False,
            verbose=0,
        ).run()  # fmt: skip
        return searching.searches.answer()

    return work


if __name__ == "__main__":
    serve({"arrays": with_arrays})
