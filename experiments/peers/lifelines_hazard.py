"""Observed and expected target joins of every group's joiners, with lifelines.

Input: `user`, `group`, `joined` of every join at risk, `entry`, `leave`, `event` by user.
A user is at risk at ticks t with entry < t <= leave, a member at those with joined < t.
The expected number is the rise of lifelines' Nelson-Aalen estimate over each membership. The
second work is lifelines' Cox regression with a time-varying covariate, of `some` groups only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from lifelines import CoxTimeVaryingFitter, NelsonAalenFitter
from protocol import Arrays, serve

Answer = Callable[[], Mapping[str, Any]]


def nelson_aalen(given: Arrays) -> Answer:
    user, group, size = given["user"], given["group"], int(given["n_groups"])

    def work() -> dict[str, Any]:
        # One rate d / R for all events of a tick, as in the log-rank test.
        fitter = NelsonAalenFitter(nelson_aalen_smoothing=False)
        fitter.fit(given["leave"], given["event"], entry=given["entry"])
        table = fitter.cumulative_hazard_.iloc[:, 0]
        steps = np.concatenate([[0.0], table.to_numpy()])

        def at(ticks: np.ndarray) -> np.ndarray:
            return steps[np.searchsorted(table.index.to_numpy(), ticks, side="right")]

        rise = at(given["leave"][user]) - at(given["joined"])
        expected = np.bincount(group, rise, size)
        observed = np.bincount(group, given["event"][user], size)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"estimate": observed / expected}

    return work


def cox(given: Arrays) -> Answer:
    users = pd.DataFrame({name: given[name] for name in ("entry", "leave", "event")})
    users.index.name = "user"
    joins = pd.DataFrame({name: given[name] for name in ("user", "group", "joined")})

    def ratio(group: int) -> float:
        joined = joins[joins["group"] == group].set_index("user")["joined"]
        whole = users.assign(joined=joined.reindex(users.index)).reset_index()
        ends = whole["joined"].fillna(np.inf)
        split = (ends > whole["entry"]) & (ends < whole["leave"])
        before = whole.assign(
            stop=np.where(split, ends, whole["leave"]), start=whole["entry"],
            member=(ends <= whole["entry"]).astype(int), event=whole["event"] & ~split,
        )  # fmt: skip
        after = whole[split].assign(start=whole["joined"], stop=whole["leave"], member=1)
        rows = pd.concat([before, after])[["user", "start", "stop", "event", "member"]]
        fitter = CoxTimeVaryingFitter()
        fitter.fit(rows, id_col="user", event_col="event", start_col="start", stop_col="stop")
        return float(np.exp(fitter.params_["member"]))

    return lambda: {"group": given["some"], "hazard_ratio": [ratio(g) for g in given["some"]]}


if __name__ == "__main__":
    serve({"nelson-aalen": nelson_aalen, "cox": cox})
