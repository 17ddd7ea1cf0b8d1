"""The ten sources of joins that the note names, and the mechanism behind each.

Weights and confirmation probabilities are the note's counts of join requests of
gateway-group members to target groups, its table 1; rows whose source the note's picture
does not show are left out. ``groups_discover_tab`` and ``permalink`` stand in table 2 alone,
which counts another, unknown population: of it only the share confirmed is taken. Their
weights are a choice, of the size of two rows that table 1 does not name (132,268 and 106,177).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from gateway.arrays import Float64, UInt8
from gateway.log.join_log import SOURCES


class Mechanism(IntEnum):
    """How a group comes before a user."""

    RECOMMENDATION = 0
    FRIENDS = 1
    INVITATION = 2
    INTENT = 3


class SourceRow(NamedTuple):
    """One source: its mechanism, its weight in requests and the share that is confirmed."""

    name: str
    mechanism: Mechanism
    requests: float
    confirmed: float


SOURCE_TABLE: tuple[SourceRow, ...] = (
    SourceRow("gysj", Mechanism.RECOMMENDATION, 1_326_540, 1_234_089 / 1_326_540),
    SourceRow("groups_discover_tab", Mechanism.RECOMMENDATION, 120_919, 38_031 / 45_399),
    SourceRow("newsfeed_story_header", Mechanism.FRIENDS, 208_814, 185_000 / 208_814),
    SourceRow("newsfeed_reshared_story", Mechanism.FRIENDS, 202_309, 182_748 / 202_309),
    SourceRow("mobile_add_members", Mechanism.INVITATION, 653_997, 408_187 / 653_997),
    SourceRow("messenger_group_attachment", Mechanism.INVITATION, 38_879, 35_208 / 38_879),
    SourceRow("mobile_group_join", Mechanism.INTENT, 800_422, 737_317 / 800_422),
    SourceRow("search", Mechanism.INTENT, 247_682, 225_847 / 247_682),
    SourceRow("group_mall", Mechanism.INTENT, 239_872, 207_585 / 239_872),
    SourceRow("permalink", Mechanism.INTENT, 107_311, 35_186 / 40_290),
)


def cumulative_weights(
    shares: dict[Mechanism, float], weights: Mapping[str, float | None]
) -> Float64:
    """Return where each row of ``SOURCE_TABLE`` ends on the unit interval, shape (10,).

    A mechanism's share is divided among its sources in proportion to their weights; a
    weight of None is the source's number of requests.
    """
    given = [weights.get(row.name) for row in SOURCE_TABLE]
    own = [r.requests if w is None else w for r, w in zip(SOURCE_TABLE, given, strict=True)]
    pairs = list(zip(SOURCE_TABLE, own, strict=True))
    total = {m: sum(w for r, w in pairs if r.mechanism == m) for m in Mechanism}
    weight = [shares[r.mechanism] * w / total[r.mechanism] for r, w in pairs]
    ends = np.cumsum(weight)
    return np.asarray(ends / ends[-1])


def confirmation() -> Float64:
    """Return the probability that a request is confirmed, by row, shape (10,)."""
    return np.array([row.confirmed for row in SOURCE_TABLE])


def source_codes() -> UInt8:
    """Return the code in ``joins.SOURCES`` of each row, shape (10,)."""
    return np.array([SOURCES.index(row.name) for row in SOURCE_TABLE], np.uint8)
