"""Removal effects by ChannelAttribution, which finds them by simulating paths.

Input: `offsets`, `group` of the rows by user, `converts` by user; every user has a row.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from ChannelAttribution import markov_model
from protocol import Arrays, serve


def removal(given: Arrays) -> Callable[[], Mapping[str, Any]]:
    names = np.char.add("g", np.arange(int(given["n_groups"])).astype(str))
    pieces = np.split(names[given["group"]], given["offsets"][1:-1])
    frame = pd.DataFrame({
        "path": [" > ".join(piece) for piece in pieces],
        "conversions": given["converts"].astype(int), "null": (~given["converts"]).astype(int),
    })  # fmt: skip

    def work() -> dict[str, Any]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = markov_model(
                frame, "path", "conversions", var_null="null", order=1, out_more=True, seed=1,
                ncore=2, max_step=10_000, verbose=False, flg_pro=False,
            )  # fmt: skip
        effects = found["removal_effects"]
        group = effects["channel_name"].str[1:].astype(int)
        return {"group": group, "effect": effects["removal_effect"]}

    return work


if __name__ == "__main__":
    serve({"removal": removal})
