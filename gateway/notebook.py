"""What a notebook shows of findings and scores: words and pictures, drawn when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gateway.errors import GatewayError, Problem
from gateway.tabular import Text
from gateway.wording import count, counted, interval_of, name, tested, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gateway.detect import Detection
    from gateway.score import Scores


_CLAIMS = {
    "association": "Association: members of a flagged group go to targets more often than "
    "others. Whether the group sends them there or attracts who goes anyway, it cannot tell.",
    "change": "Change: the same users go to targets more often after they joined a flagged group.",
    "trace": "Traces: joins that came through a flagged group are of targets more often than "
    "the same users' other joins.",
}
# Names on the axis of one user's joins; more of them cannot be read.
_MOST_NAMED = 30


def summary_of(found: Detection, *, top: int) -> Text:
    """Return what was found in words, with the first groups."""
    table = found.to_arrow()
    ranked = table.filter(table["rank"].is_valid())
    measure, n_flagged = found.measure, int(np.count_nonzero(found.flagged))
    head = (
        f"{found.detector}: {counted(ranked.num_rows, 'group')} ranked by "
        f"{measure.score.name}, {count(n_flagged)} flagged"
    )
    lines = [head, _CLAIMS[measure.claims] if measure.test else "", ""]
    rows = [["", "group", measure.estimate.name, "95 % interval", "q", measure.joiners, ""]]
    rows += [
        [
            str(row["rank"]), name(row["group"], limit=40),
            written(measure.estimate, row["estimate"]),
            interval_of(measure.estimate, row["ci_low"], row["ci_high"]),
            tested(row["q_value"], level_held=row["level_held"]), count(row["n_joiners"]),
            "flagged" if row["flagged"] else "",
        ]
        for row in ranked.slice(0, top).to_pylist()
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if i in (1, 6) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines += [f"Failed check: {text}" for text in found.warnings]
    lines += [f"Note: {text}" for text in found.notes if text not in found.warnings]
    return Text("\n".join(line for i, line in enumerate(lines) if line or i == 2))


def plot_detection(found: Detection, ax: Axes | None, *, top: int) -> Axes:
    """Draw the first groups of a detection as a forest plot."""
    from gateway.figures.style import COLUMN, new_axes  # noqa: PLC0415  (matplotlib takes a second)
    from gateway.figures.top_gateways import draw_forest, plotted_top_gateways  # noqa: PLC0415

    gateways = found.to_arrow()
    roles = pa.table({"group": found.groups, "role": pa.nulls(len(found.groups), pa.string())})
    data = plotted_top_gateways({"gateways": gateways, "groups": roles}, top=top)
    if data is None:
        raise GatewayError(f"{found.detector} ranks no group: there is nothing to draw")
    height = 0.148 * data.num_rows + 1.15
    return draw_forest(ax or new_axes(COLUMN, height), data, found.measure)


def plot_user(scores: Scores, user: str, ax: Axes | None) -> Axes:
    """Draw P(target) of one user, join by join."""
    from gateway.figures.labels import label  # noqa: PLC0415  (matplotlib takes a second)
    from gateway.figures.probability_curves import draw_curve  # noqa: PLC0415
    from gateway.figures.style import COLUMN, new_axes  # noqa: PLC0415

    rows = scores.user(user).to_arrow()
    after = rows["after"].to_numpy(zero_copy_only=False)
    if not len(after) or np.isnan(after[0]):
        rule = "must have joined something before a target"
        raise GatewayError(str(Problem("user", rule, repr(user))))
    n = rows.num_rows
    no = pa.array([False] * n)
    panel = pa.table({
        "user": [user] * n, "position": rows["position"], "group": rows["group"],
        "role": [""] * n, "before": rows["before"], "after": rows["after"], "spike": no,
        "is_target": rows["after"].is_null(), "is_gateway": no,
    })  # fmt: skip
    ax = ax or new_axes(COLUMN, 2.6)
    draw_curve(ax, panel, top=1.42 * 100.0 * float(np.nanmax(after)))
    if n <= _MOST_NAMED:
        names = [label(group, limit=16) for group in rows["group"].to_pylist()]
        ax.set_xticks(range(1, n + 1), names, rotation=90, parse_math=False)
    else:
        ax.set_xlabel("number of groups joined")
    ax.set_ylabel("P(join a target) (%)")
    return ax
