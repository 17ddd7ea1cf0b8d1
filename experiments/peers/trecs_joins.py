"""Users who join one new group a step, with T-RECS.

Input: as for `mesa_joins.py`. T-RECS has steps instead of days and scores instead of draws:
at every step a user is shown the ten most popular groups that are new to it and takes the one
nearest to its interests; as many steps as make about as many joins. So only the number of
joins and what a user knows of a group are the same, not the law. Answer: `joins`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from protocol import Arrays, serve
from trecs.models import PopularityRecommender


def popular(given: Arrays) -> Callable[[], Mapping[str, Any]]:
    users, groups = len(given["interest"]), len(given["created"])
    steps = round(len(given["user"]) / users)

    def work() -> dict[str, Any]:
        model = PopularityRecommender(
            num_users=users, num_items=groups, seed=1, verbose=False,
            actual_user_representation=np.asarray(given["interest"], float),
            actual_item_representation=np.asarray(given["pull"].T, float),
        )  # fmt: skip
        model.run(timesteps=steps, repeated_items=False, disable_tqdm=True)
        return {"joins": users * steps}

    return work


if __name__ == "__main__":
    serve({"popular": popular})
