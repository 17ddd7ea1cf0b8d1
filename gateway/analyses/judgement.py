"""What all kinds of evidence say of each group together: change, traces and association."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses.information import speaker_for

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
