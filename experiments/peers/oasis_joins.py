"""Users who search for groups day by day on the platform of OASIS, without language models.

Input: as in `searching.py`. Every user signs up and every group is created; then each occasion
draws as an agent of `mesa_joins.py` and asks the platform to join, which keeps members in
SQLite, refuses a second join, and writes a trace of every action. Answer: `sizes`, `joins`.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from oasis.social_platform.platform import Platform
from protocol import Arrays, serve

logging.disable(logging.CRITICAL)


async def live(given: Arrays) -> np.ndarray:
    rng, attempts, created = np.random.default_rng(1), int(given["attempts"]), given["created"]
    platform = Platform(":memory:", recsys_type="twitter")
    users, topics = given["interest"].shape
    for u in range(users + 1):
        await platform.sign_up(u, (f"u{u}", f"u{u}", ""))
    # The last one creates all groups, and searches for none.
    made = [await platform.create_group(users, f"g{g}") for g in range(len(created))]
    number = [one["group_id"] for one in made]
    interest = np.cumsum(given["interest"], axis=1).tolist()
    pull = np.cumsum(given["pull"], axis=0)
    pulls = [pull[:, k].tolist() for k in range(topics)]
    sizes = np.zeros(len(created), np.int64)
    for u, day in zip(given["user"].tolist(), given["day"].tolist(), strict=True):
        platform.sandbox_clock.time_step = day
        for _ in range(attempts):
            mine, draws = interest[u], rng.random(2)
            pull_of = pulls[bisect(mine, draws[0] * mine[-1])]
            if pull_of[-1] == 0:
                continue
            g = bisect(pull_of, draws[1] * pull_of[-1])
            if created[g] <= day and (await platform.join_group(u, number[g]))["success"]:
                sizes[g] += 1
                break
    platform.db.close()
    return sizes


def on_platform(given: Arrays) -> Callable[[], Mapping[str, Any]]:
    def work() -> dict[str, Any]:
        sizes = asyncio.run(live(given))
        return {"sizes": sizes, "joins": sizes.sum()}

    return work


if __name__ == "__main__":
    serve({"platform": on_platform})
