"""The legible numbers of the note: which of them enter the inference, how, and how heavily.

Counted from both tables, the text and the heat map. Every number that can be read is in one
of four kinds:

``fitted``
    compared with the simulated worlds. Its weight is one over the squared standard deviation of
    the *model discrepancy* (Kennedy, O'Hagan 2001, J. R. Stat. Soc. B 63, 425), which is half
    the tolerance that ``gateway.analyses`` judges the number with, and twice as much for a
    cell of the heat map that is read less surely.
``input``
    a confirmed share of a named source: the probability of confirmation is given to the
    simulator, so that every hypothesis has the same value there and the number says nothing.
``follows``
    a share of a source within its mechanism, which is given to the simulator as a weight, so
    that table 1 has four shares of its own (recommendation, friends, invitation, intent); or a
    mean of others, such as the share confirmed of all.
``scale``
    a count that depends on how large the platform is, and the requests of table 2, whose
    population is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.analyses.published import (
    CORRELATIONS,
    EXPOSED_RISK,
    GATEWAY_INVITATION_SHARE,
    LABELLED_AFTER,
    LABELLED_TOP,
    SECOND_SOURCES,
    SOURCES_EVER,
    SUPER_INVITER_SHARE,
    UNEXPOSED_RISK,
)

__all__ = ["CLAIMS", "FITTED", "NUMBERS", "Number", "legible", "observed", "transform"]

Float64 = npt.NDArray[np.float64]
TOP = "top gateway groups"


class Number(NamedTuple):
    """One published number.

    Parameters
    ----------
    id
        ``R1`` to ``R10``.
    quantity
        Its row of ``comparison``.
    label
        A short name for tables and figures.
    published
        The note's value; counts of the top groups as shares of them.
    discrepancy
        Standard deviation of the model's discrepancy, in the number's own unit.
    kind
        ``fitted``, ``input`` or ``follows``.
    scale
        ``share`` is compared on the logit scale, ``correlation`` on Fisher's z, ``plain`` as
        it is.
    """

    id: str
    quantity: str
    label: str
    published: float
    discrepancy: float
    kind: str = "fitted"
    scale: str = "share"

    @property
    def name(self) -> str:
        """Its key in a table."""
        return f"{self.id} {self.quantity}"


# "Less sure" and "unsure" in our reading of the heat map.
_UNSURE = {
    ("ci_ri_strikes", "ci_ri_severe_strikes"),
    ("ci_ri_strikes", "non_amp"),
    ("num_nr_members", "group_demote"),
    ("num_nr_members", "non_rec"),
    ("ci_ri_severe_strikes", "group_demote"),
    ("ci_ri_severe_strikes", "non_rec"),
}
SHARE, CONFIRMED, RISK, INVITED, LABELLED, CORRELATION, ARM = (
    0.01, 0.015, 0.005, 0.025, 0.05, 0.05, 0.005,
)  # fmt: skip


# Table 1's named sources by mechanism; the two sources that it does not name are not in it.
TOGETHER: dict[str, tuple[str, ...]] = {
    "friends": ("newsfeed_story_header", "newsfeed_reshared_story"),
    "invitation": ("mobile_add_members", "messenger_group_attachment"),
    "intent": ("mobile_group_join", "search", "group_mall"),
}


def _sources() -> list[Number]:
    total = sum(row.requests for row in SOURCES_EVER)
    share = {row.source: row.requests / total for row in SOURCES_EVER if row.source}
    confirmed = sum(row.confirmed or 0 for row in SOURCES_EVER)
    rest = [row for row in SOURCES_EVER if not row.source]
    unnamed = sum(row.requests for row in rest)
    return [
        Number("R1", "gysj: share of requests", "share of gysj", share["gysj"], SHARE),
        *(
            Number("R1", f"{mechanism}: share of requests", f"share of {mechanism}",
                   sum(share[source] for source in sources), SHARE)
            for mechanism, sources in TOGETHER.items()
        ),
        *(
            Number("R1", f"{source}: share of requests", f"share of {source}", value, SHARE,
                   "follows")
            for source, value in share.items() if source != "gysj"
        ),
        Number("R1", "all others: share of requests", "share of unnamed sources",
               unnamed / total, SHARE, "follows"),
        Number("R1", "confirmed", "confirmed, all", confirmed / total, CONFIRMED, "follows"),
        Number("R1", "all others: confirmed", "confirmed, unnamed sources",
               sum(row.confirmed or 0 for row in rest) / unnamed, CONFIRMED, "follows"),
        *(
            Number(claim, f"{row.source}: confirmed", f"confirmed {row.source}",
                   (row.confirmed or 0) / row.requests, CONFIRMED, "input")
            for claim, table in (("R1", SOURCES_EVER), ("R2", SECOND_SOURCES))
            for row in table if row.source and row.confirmed
        ),
    ]  # fmt: skip


def _others() -> list[Number]:
    cells = [
        Number("R9", f"{a} and {b}: pearson", f"{a} and {b}", r,
               CORRELATION * (1 + ((a, b) in _UNSURE)), scale="correlation")
        for (a, b), r in CORRELATIONS.items()
    ]  # fmt: skip
    return [
        Number("R3", "observational: risk with GYSJ", "risk with GYSJ", EXPOSED_RISK, RISK),
        Number("R3", "observational: risk without", "risk without GYSJ", UNEXPOSED_RISK, RISK),
        Number("R4", "share of invitations to targets that went to gateway members",
               "invitations to gateway members", GATEWAY_INVITATION_SHARE, INVITED),
        Number("R5", "share of those that super-inviters sent", "sent by super-inviters",
               SUPER_INVITER_SHARE, INVITED),
        Number("R6", "PYMI: difference", "PYMI, test minus control", 0.0, ARM, scale="plain"),
        Number("R8", "of them labelled non-rec", "top groups labelled non-rec",
               LABELLED_TOP / 100, LABELLED),
        Number("R8", "of these labelled after the workflow ran", "labelled after the workflow",
               LABELLED_AFTER / 100, LABELLED),
        *cells,
    ]  # fmt: skip


NUMBERS: tuple[Number, ...] = (*_sources(), *_others())
"""Every legible number that a simulated world has too."""
FITTED: tuple[Number, ...] = tuple(n for n in NUMBERS if n.kind == "fitted")
CLAIMS: tuple[str, ...] = tuple(dict.fromkeys(n.id for n in FITTED))

# What is stored beside them: events of claims without a number, and the truth by lot.
EXTRA: tuple[str, ...] = (
    "R1 requests",
    "R3 randomised: risk difference",
    "R3 corrected: risk difference by day 180",
    "R6 PYMI: p-value of no difference",
    "R7 PYMK shown: p-value of no difference",
    "R7 PYMK featured: p-value of no difference",
    "R8 share labelled: top minus matched controls",
)


def legible() -> dict[str, int]:
    """Return how many numbers of the note can be read, by what becomes of them.

    Rows' counts enter as shares: the 30 of table 1 through eight shares of requests, one of
    the seven unnamed rows, and as many confirmed ones. The fourth row of table 2 is misread and
    not counted.
    """
    counts = {kind: sum(n.kind == kind for n in NUMBERS) for kind in ("fitted", "input", "follows")}
    # Fifteen rows' requests in table 2; 730 K invitations; 100 top groups.
    return counts | {"scale": 15 + 2}


def transform(values: Float64, numbers: tuple[Number, ...] = FITTED) -> Float64:
    """Return numbers, the last axis of ``values``, on the scales on which they are compared.

    A share is kept .02 away from 0 and 1, so that none of few is not minus infinity, and a
    correlation .002 from -1 and 1.
    """
    kept = np.array(values, np.float64)
    for place, number in enumerate(numbers):
        column = kept[..., place]
        if number.scale == "share":
            column = np.clip(column, 0.02, 0.98)
            kept[..., place] = np.log(column / (1 - column))
        elif number.scale == "correlation":
            kept[..., place] = np.arctanh(np.clip(column, -0.998, 0.998))
    return kept


def back(values: Float64, numbers: tuple[Number, ...] = FITTED) -> Float64:
    """Undo ``transform``."""
    kept = np.array(values, np.float64)
    for place, number in enumerate(numbers):
        if number.scale == "share":
            kept[..., place] = 1 / (1 + np.exp(-kept[..., place]))
        elif number.scale == "correlation":
            kept[..., place] = np.tanh(kept[..., place])
    return kept


def observed() -> tuple[Float64, Float64]:
    """Return the fitted numbers and their discrepancies' deviations, transformed (delta method)."""
    value = np.array([number.published for number in FITTED])
    slope = {"share": lambda v: 1 / (v * (1 - v)), "correlation": lambda v: 1 / (1 - v * v),
             "plain": lambda _: 1.0}  # fmt: skip
    scale = np.array([slope[n.scale](n.published) for n in FITTED])
    return transform(value), scale * np.array([n.discrepancy for n in FITTED])


def values_of(rows: Mapping[str, float | None]) -> dict[str, float]:
    """Return the numbers of a world from its ``comparison``, by name; NaN where it has none."""
    found = {}
    rows = dict(rows)
    for mechanism, sources in TOGETHER.items():
        parts = [rows.get(f"R1 {source}: share of requests") for source in sources]
        known = [part for part in parts if part is not None]
        rows[f"R1 {mechanism}: share of requests"] = sum(known) if known else None
    for name in (*(n.name for n in NUMBERS), *EXTRA):
        value = rows.get(name.replace(" PYMI:", " PYMI featured:"))
        value = rows.get(name) if value is None else value
        found[name] = math.nan if value is None else float(value)
        if name.startswith("R8 of "):
            found[name] /= rows.get(f"R8 {TOP}") or math.nan
    return found
