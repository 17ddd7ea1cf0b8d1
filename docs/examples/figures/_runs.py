"""The runs whose figures the gallery shows, each made once."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

import gateway

WORLD: dict[str, Any] = {
    "users": 6_000, "groups": 400, "days": 360, "harm_interest": 0.02,
    "roles": {"targets": 24, "influence": 8, "influence_strength": 1.6, "homophily": 8,
              "hub": 4, "role_size": 6},
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "experiment": {"name": "gallery", "seed": 3},
    "world": WORLD,
    "targets": {"country": "US", "kind": "nudity", "month": "2020-10", "min_strikes": 1},
    "score": {"horizon": "120d"},
    "detect": {"detectors": ["spike", "self_controlled", "coefficient"]},
}
FOLDER = Path(tempfile.mkdtemp(prefix="gateway-gallery-"))


def _arms() -> list[dict[str, Any]]:
    arm = {"kind": "demotion", "start": 120, "share": 0.8}
    tops = [arm | {"arm": f"demotion: {d} top {n}", "from_detector": d, "top": n}
            for d in ("spike", "self_controlled") for n in (5, 10, 20)]  # fmt: skip
    return [*tops, arm | {"arm": "demotion: planted gateways", "roles": ["planted"]}]


@cache
def tables(of: str) -> dict[str, pa.Table]:
    """Return the stored tables of a run: "run", "arms" or "note"."""
    more: dict[str, dict[str, Any]] = {
        "run": {},
        "arms": {"interventions": _arms()},
        "note": {"note": {"workflow_day": 310, "top": 20, "follow_days": 40}},
    }
    return gateway.run(gateway.load_config(CONFIG | more[of]), folder=FOLDER / of).tables()
