"""The numbers of the note, and the table that holds them beside simulated ones.

"Identifying pathways to harmful groups about nudity", an internal research note among
the Facebook Papers, published by Gizmodo. Read from a rough OCR: sums were checked
against the rows that can be read, nothing was filled in; None where its picture does not
show a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from gateway.tabular import schema_of, table_of


class SourceCount(NamedTuple):
    """One row of a table of sources: join requests, and how many of them were confirmed."""

    source: str | None
    requests: int
    confirmed: int


SOURCES_EVER: tuple[SourceCount, ...] = (
    SourceCount("gysj", 1_326_540, 1_234_089),
    SourceCount("mobile_group_join", 800_422, 737_317),
    SourceCount("mobile_add_members", 653_997, 408_187),
    SourceCount(None, 470_540, 423_893),
    SourceCount("search", 247_682, 225_847),
    SourceCount("group_mall", 239_872, 207_585),
    SourceCount("newsfeed_story_header", 208_814, 185_000),
    SourceCount("newsfeed_reshared_story", 202_309, 182_748),
    SourceCount(None, 182_315, 166_570),
    SourceCount(None, 132_268, 120_918),
    SourceCount(None, 106_177, 93_785),
    SourceCount(None, 88_839, 58_065),
    SourceCount(None, 61_462, 54_135),
    SourceCount(None, 45_458, 43_628),
    SourceCount("messenger_group_attachment", 38_879, 35_208),
)
"""Table 1 (R1)."""

SECOND_SOURCES: tuple[SourceCount, ...] = (
    SourceCount("newsfeed_story_header", 148_850, 134_951),
    SourceCount("newsfeed_reshared_story", 142_128, 127_599),
    SourceCount("mobile_add_members", 118_133, 63_896),
    SourceCount("messenger_group_attachment", 62_775, 55_977),
    SourceCount("groups_discover_tab", 45_399, 38_031),
    SourceCount("permalink", 40_290, 35_186),
    SourceCount("search", 35_605, 29_506),
)
"""The named rows of table 2 (R2); that the fourth is messenger_group_attachment is likely.

Whom the table counts is not known: no recent window of table 1, whose fourth row here is
larger over a part of the time. One of its rows shows more confirmed than requested and is
misread, so its sum and the shares of requests are uncertain; the shares confirmed are not.
"""

EXPOSED_RISK, UNEXPOSED_RISK = 0.1077, 0.0878
GATEWAY_INVITATION_SHARE = 0.35
SUPER_INVITER_SHARE = 0.20
LABELLED_TOP, LABELLED_AFTER = 47, 42

SIGNALS: tuple[str, ...] = (
    "gateway_score",
    "ci_ri_strikes",
    "num_nr_members",
    "ci_ri_severe_strikes",
    "group_demote",
    "non_amp",
    "non_rec",
)

CORRELATIONS: dict[tuple[str, str], float] = {
    ("gateway_score", "ci_ri_strikes"): 0.079,
    ("gateway_score", "num_nr_members"): 0.23,
    ("gateway_score", "ci_ri_severe_strikes"): -0.031,
    ("gateway_score", "group_demote"): 0.052,
    ("gateway_score", "non_amp"): 0.025,
    ("gateway_score", "non_rec"): 0.085,
    ("ci_ri_strikes", "ci_ri_severe_strikes"): 0.68,
    ("ci_ri_strikes", "non_amp"): 0.31,
    ("num_nr_members", "ci_ri_severe_strikes"): 0.11,
    ("num_nr_members", "group_demote"): 0.17,
    ("num_nr_members", "non_amp"): 0.12,
    ("num_nr_members", "non_rec"): 0.082,
    ("ci_ri_severe_strikes", "group_demote"): 0.35,
    ("ci_ri_severe_strikes", "non_amp"): 0.37,
    ("ci_ri_severe_strikes", "non_rec"): 0.25,
}
"""The cells of the heat map (R9) that can be read; several of them are not certain."""


COMPARISON_SCHEMA = schema_of(
    "id string, quantity string, published float64, simulated float64, ci_low float64, "
    "ci_high float64, tolerance float64, within bool"
)
# A tolerance is a round decimal; the difference of two decimals misses it by some 1e-16.
_ROUNDING = 1e-12


class Row(NamedTuple):
    """One quantity."""

    id: str  # ``R1`` to ``R10``
    quantity: str  # what it is, with its unit where it is no share
    simulated: float  # our value; NaN where it cannot be told
    # Its 95 % interval; NaN where it has none.
    interval: tuple[float, float] = (float("nan"), float("nan"))
    # The note's value; None where the note's picture does not show it or has no number.
    published: float | None = None
    # How far from the published value still counts as reached; None: not judged.
    tolerance: float | None = None

    def within(self) -> bool | None:
        """Whether the simulated value is within the tolerance; None where nothing is judged."""
        if self.published is None or self.tolerance is None:
            return None
        return abs(self.simulated - self.published) <= self.tolerance + _ROUNDING


def compare(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a table of ``COMPARISON_SCHEMA``, in their order; NaN becomes null.

    Agreement with fitted parameters is not evidence about the real platform.
    """
    lines = [
        (r.id, r.quantity, r.published, r.simulated, *r.interval, r.tolerance, r.within())
        for r in rows
    ]
    columns = zip(*lines, strict=True) if lines else [()] * len(COMPARISON_SCHEMA)
    return table_of(COMPARISON_SCHEMA, columns)
