"""What kinds of evidence say together: of a log, and of each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.detect import DETECTORS, Claim, measure_of
from gateway.detect.measure import words_of

# Of a log: association, and the same users before -----------------------------------------------

MEANING = (
    "association: joiners go on to targets more often than others; comparison with themselves: "
    "the rate of target joins rises after joining, compared with the same users before; neither "
    "is proof"
)
"""What the words of a verdict mean."""


@dataclass(frozen=True)
class Verdict:
    """Which groups a detector of association and one of change flag."""

    association_by: str
    change_by: str
    # Groups flagged by the first: their joiners go on to targets more often than others.
    association: tuple[str, ...]
    # Groups flagged by the second: the rate of target joins rises after joining, compared with
    # the same users before.
    change: tuple[str, ...]
    untested: tuple[str, ...]  # those of ``association`` for which no change could be tested

    @property
    def both(self) -> tuple[str, ...]:
        """Groups of both, in the order of ``association``."""
        change = set(self.change)
        return tuple(group for group in self.association if group in change)

    @property
    def agreement(self) -> str:
        """What the two detectors agree and disagree on, in one line."""
        one, other = words_of(self.association_by), words_of(self.change_by)
        n, m, both = len(self.association), len(self.change), len(self.both)
        return (
            f"{one} flags {n:,}, {other} flags {m:,}: {both:,} by both, "
            f"{n - both:,} by {one} alone, {m - both:,} by {other} alone"
        )

    @property
    def text(self) -> str:
        """The verdict in plain words."""
        n, both = len(self.association), len(self.both)
        said = f"association: {_groups(n)}"
        if n and len(self.untested) == n:
            said += "; none of these could be compared with themselves"
        elif n:
            survive = "none survives" if not both else f"{both:,} survive{'s' if both == 1 else ''}"
            said += f"; of these {survive} comparison with themselves"
            if self.untested:
                said += f" ({len(self.untested):,} could not be compared)"
        if alone := len(self.change) - both:
            said += f"; a change without association: {_groups(alone)}"
        return said


def _groups(count: int) -> str:
    return f"{count:,} group{'' if count == 1 else 's'}" if count else "no group"


def verdict_of(gateways: pa.Table) -> Verdict | None:
    """Return the verdict over stored findings; None unless both kinds of evidence are there.

    Of several detectors that claim the same, the first of the registry that holds its level
    speaks; one that tests nothing never does.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, one below the other.
    """
    ran = set(gateways["detector"].unique().to_pylist())
    association_by, change_by = (speaker_for(ran, claim) for claim in ("association", "change"))
    if association_by is None or change_by is None:
        return None
    association, change = (
        gateways.filter(pc.equal(gateways["detector"], name))
        for name in (association_by, change_by)
    )
    flagged, changed = (
        tuple(table.filter(table["flagged"])["group"].to_pylist())
        for table in (association, change)
    )
    tested = set(change.filter(pc.is_valid(change["p_value"]))["group"].to_pylist())
    untested = tuple(group for group in flagged if group not in tested)
    return Verdict(association_by, change_by, flagged, changed, untested)


def speaker_for(ran: set[str], claims: Claim) -> str | None:
    """Return the detector that speaks for a claim: of those that ran, the first that may."""
    measures = [measure_of(name) for name in DETECTORS if name in ran]
    able = [measure for measure in measures if measure.test and measure.claims == claims]
    able.sort(key=lambda measure: not measure.holds_level)
    return able[0].detector if able else None


# Of each group: change, traces and association -----------------------------------------------

VERDICTS = {
    "changes": "changes people",
    "recommends": "leads by recommendation",
    "invites": "leads by invitation",
}
"""What a group can be called, by the column that says whether it is."""
ATTRACTS, UNTOLD = "attracts people", "cannot be told"
"""What is said of other groups whose joiners go on to targets more often than others."""
MARGIN = 2.0
"""A group attracts and no more where all effects that can be seen are below this ratio."""

_INVITING = ("member", "fellow")
_RATIOS = ("change", "seed", *_INVITING)
JUDGED = pa.schema({
    "group": "string", "verdict": "string", **dict.fromkeys((*VERDICTS, "associated"), "bool"),
    **{f"{of}_ratio{end}": "float64" for of in _RATIOS for end in ("", "_low", "_high")},
    "averted": "float64",
})  # fmt: skip
"""Columns of ``judge_groups``."""


def judge_groups(gateways: pa.Table) -> pa.Table | None:
    """Return what all kinds of evidence together say of each group; None without ``edges``.

    A group *changes people* where the detector of change flags it; it *leads people by
    recommendation* or *by invitation* where ``edges`` flags it and that form's own p-value,
    times the number of forms, is within what is flagged (Benjamini, Bogomolov 2014, J. R.
    Stat. Soc. B 76(1): within the groups that were selected, at the level of the selection).
    Else it *attracts people* where the detector of association flags it and every effect
    that could be seen has an upper limit of at most ``MARGIN``, and *cannot be told* where
    the limits are wider. Groups that no detector flags are left out.

    Parameters
    ----------
    gateways
        As ``Detection.to_arrow`` of each detector, one below the other.

    Returns
    -------
    pyarrow.Table
        ``group``, ``verdict``, the columns of ``VERDICTS`` (bool), ``associated``; the ratio
        of change and of each form with their limits; ``averted``, the target joins through
        the group that would not have been, in the forms that are called. Groups that lead or
        change most come first: by kind of verdict, then by the lower limit of what was called.
    """
    ran = set(gateways["detector"].unique().to_pylist())
    if "edges" not in ran:
        return None
    change_by, association_by = (speaker_for(ran, claim) for claim in ("change", "association"))
    edges = _by_group(gateways, "edges")
    change, association = (_by_group(gateways, by) for by in (change_by, association_by))
    called_at = max((row["p_value"] for row in edges.values() if row["flagged"]), default=-1.0)
    rows = []
    for group, row in edges.items():
        judged = _judge(
            group, row, change.get(group, {}), association.get(group, {}), called_at=called_at
        )
        if judged is not None:
            rows.append(judged)
    order = [*VERDICTS.values(), ATTRACTS, UNTOLD]
    rows.sort(
        key=lambda row: (
            min(i for i, said in enumerate(order) if said in row["verdict"]),
            -row["strength"],
            row["group"],
        )
    )
    return pa.Table.from_pylist(rows, schema=JUDGED)


def _by_group(gateways: pa.Table, detector: str | None) -> dict[str, dict[str, Any]]:
    rows = gateways.filter(pc.equal(gateways["detector"], detector or "")).to_pylist()
    return {row["group"]: row for row in rows}


def _judge(
    group: str,
    edges: Mapping[str, Any],
    change: Mapping[str, Any],
    association: Mapping[str, Any],
    *,
    called_at: float,
) -> dict[str, Any] | None:
    """Return the row of one group; None where nobody flags it."""
    p = {form: edges[f"{form}_p_value"] for form in ("seed", *_INVITING)}
    tested = sum(value is not None for value in p.values())
    led = [
        form for form, value in p.items()
        if edges["flagged"] and value is not None and value * tested <= called_at
    ]  # fmt: skip
    is_called = {
        "changes": bool(change.get("flagged")),
        "recommends": "seed" in led,
        "invites": bool(set(led) & set(_INVITING)),
    }
    associated = bool(association.get("flagged"))
    if not any(is_called.values()) and not associated:
        return None
    found: dict[str, Any] = {"group": group, **is_called, "associated": associated}
    for end, column in (("", "estimate"), ("_low", "ci_low"), ("_high", "ci_high")):
        found[f"change_ratio{end}"] = change.get(column)
        found |= {f"{form}_ratio{end}": edges[f"{form}_ratio{end}"] for form in p}
    # A fellow's invitation is also one to a member: the larger of the two is not added twice.
    averted = {form: edges[f"{form}_averted"] or 0.0 for form in led}
    by_invitation = max((averted.get(form, 0.0) for form in _INVITING), default=0.0)
    found["averted"] = averted.get("seed", 0.0) + by_invitation if led else None
    said = [VERDICTS[name] for name, called in is_called.items() if called]
    limits = [found[f"{of}_ratio_high"] for of in _RATIOS]
    seen = [limit for limit in limits if limit is not None]
    only_attracts = bool(seen) and change.get("p_value") is not None and max(seen) <= MARGIN
    found["verdict"] = " and ".join(said) or (ATTRACTS if only_attracts else UNTOLD)
    lows = [found["change_ratio_low"]] * is_called["changes"]
    lows += [found[f"{form}_ratio_low"] for form in led]
    found["strength"] = max((low for low in lows if low is not None), default=0.0)
    return found
