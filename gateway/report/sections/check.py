"""How far each detector can be trusted on a log: the nulls, time reversed, planted gateways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.check import LOGS, limits_of, paragraph_of, verdict_of_check
from gateway.detect.measure import words_of
from gateway.report.content import Body, Cell, Column, Row, Section, Table, label
from gateway.report.summary import Result
from gateway.wording import MISSING, count, decimal, interval, percent

_Rows = Sequence[Mapping[str, Any]]
_Values = Mapping[str, Mapping[str, Any]]

_CLAIM = Column("claims", "association: members go to targets more often than others; change: the "
                "same users do so more often after the join; trace: the log's own traces lead "
                "from the group to targets", is_number=False)  # fmt: skip


_READ = (
    "How to read the tables: a detector is trusted as far as its claim reaches. One that claims "
    "association must call nobody where labels are permuted over all joins; one that claims change "
    "must call nobody where each user's groups are permuted, either. Planted gateways then say how "
    "strong an effect must be on this log for it to be found."
)


def check(result: Result) -> Section | None:
    """Return what a check shows, in words and by number; None for another result."""
    rows = result.rows("check")
    if not rows:
        return None
    summary = {row["key"]: row["value"] for row in result.rows("summary")}
    tables = (_nulls(rows), _reversed(rows), _planted(rows))
    said = " ".join(limits_of(rows))
    return Section(
        "check",
        "How far each detector can be trusted on this log",
        [
            f"For a paper: {paragraph_of(rows, summary)}",
            f"What may not be claimed: {said}",
            _READ,
            *_traces(summary),
            *(table for table in tables if table.n_rows),
        ],
    )


def _traces(summary: Mapping[str, str]) -> list[str]:
    traces = summary.get("traces")
    return [] if traces is None else [f"Traces of permuted joins: {traces}."]


def _nulls(rows: _Rows) -> Table:
    columns = (
        Column("detector", is_number=False),
        _CLAIM,
        Column("log", is_number=False),
        Column(
            "that is",
            "fails: it calls in more than 1 log in 20, by the exact interval; too few logs to "
            "tell: fewer than can show that it does not; "
            "background: such targets may have gateways of their own",
            is_number=False,
        ),
        Column("logs with a call"),
        Column("of"),
        Column("95 % interval", "Clopper and Pearson"),
        Column("calls a log", "mean"),
        Column("p < .05", "share of all p-values"),
        Column("coverage", "share of 95 % intervals that hold no effect, where there is none"),
    )
    lines = []
    for (detector, log), found in _by(rows, ("detector", "log")).items():
        calls = found.get("share_of_logs_with_calls")
        if calls is None:
            continue
        lines.append(Row([
            _name(detector), _text(calls["claims"]), _text(LOGS[log]),
            _text(verdict_of_check(rows, detector, log)),
            Cell(count(round(calls["value"] * calls["n"])), calls["value"]),
            Cell(count(calls["n"]), calls["n"]),
            _bounds(calls, percent),
            _number(found, "calls", lambda value: decimal(value, digits=2)),
            _number(found, "share_of_small_p", decimal), _number(found, "coverage", decimal),
        ]))  # fmt: skip
    caption = (
        "False calls. With labels permuted over all joins nothing is true. With each user's groups "
        "permuted among that user's joins association stays, so that a detector of association "
        "may call. Placebo targets are other groups of like size."
    )
    return Table("check-nulls", caption, columns, [Body(lines)], is_sortable=True)


def _reversed(rows: _Rows) -> Table:
    columns = (
        Column("detector", is_number=False),
        _CLAIM,
        Column("calls forwards"),
        Column("calls backwards"),
        Column("both ways"),
        Column("rank correlation", "of the scores forwards and backwards"),
    )
    found = _by((row for row in rows if row["log"] == "time_reversed"), ("detector",))
    lines = [
        Row([_name(detector), _text(next(iter(values.values()))["claims"]),
             *(_number(values, f"calls_{way}", count)
               for way in ("forwards", "backwards", "both_ways")),
             _number(values, "rank_correlation", lambda value: decimal(value, digits=2))])
        for (detector,), values in found.items()
    ]  # fmt: skip
    caption = (
        "Time reversed. A detector of association that calls the same groups either way does not "
        "tell what leads to targets from what goes with them; one of change turns its sign by "
        "construction, which shows nothing."
    )
    return Table("check-reversed", caption, columns, [Body(lines)])


def _planted(rows: _Rows) -> Table:
    columns = (
        Column("detector", is_number=False),
        Column("gateways", "where they are planted", is_number=False),
        Column("least ratio", "found with power .8"),
        Column("ratio", "what a member's rate of target joins is multiplied by"),
        Column("joins added", "further target joins because of all planted groups, mean over logs"),
        Column("power", "share of planted groups that are flagged"),
        Column("95 % interval", "Clopper and Pearson, planted groups taken as independent"),
        Column("planted"),
        Column("average precision", "planted groups against all others, mean over logs"),
        Column("by chance", "average precision if the same groups stood in a random order"),
        Column(
            "planted of called",
            "share of the flagged groups that are planted; some others may be gateways, too",
        ),
        Column("calls elsewhere", "mean over logs; some of them may be true"),
        Column("coverage", "share of 95 % intervals that hold the planted ratio"),
    )
    planted = [row for row in rows if row["log"] == "planted"]
    least = {(row["detector"], row["where"]): row["value"] for row in planted
             if row["metric"] == "least_ratio"}  # fmt: skip
    lines = []
    for (detector, where, ratio), found in _by(planted, ("detector", "where", "ratio")).items():
        if ratio is None:
            continue
        power = found.get("power")
        lines.append(Row([
            _name(detector), _text(where), _least(least.get((detector, where)), power),
            Cell(f"{ratio:g}", ratio),
            _number(found, "joins_added", count),
            _number(found, "power", percent),
            Cell(MISSING) if power is None else _bounds(power, percent),
            Cell(MISSING) if power is None else Cell(count(power["n"]), power["n"]),
            _number(found, "average_precision", decimal),
            _number(found, "precision_by_chance", decimal),
            _number(found, "share_planted", percent),
            _number(found, "calls_elsewhere", lambda value: decimal(value, digits=1)),
            _number(found, "coverage", decimal),
        ]))  # fmt: skip
    caption = (
        "Planted gateways: the joins that are there stay, and members of some groups get further "
        "target joins. aligned: among the groups whose members join targets most often."
    )
    return Table("check-planted", caption, columns, [Body(lines)], is_sortable=True)


def _least(value: float | None, power: Mapping[str, Any] | None) -> Cell:
    if power is None:
        return Cell(MISSING)
    return Cell("none" if value is None else f"{value:.2g}", value)


def _by(
    rows: Iterable[Mapping[str, Any]], keys: Sequence[str]
) -> dict[tuple[Any, ...], dict[str, Mapping[str, Any]]]:
    """Rows by keys, and among those by metric."""
    found: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), {})[row["metric"]] = row
    return found


def _name(detector: str) -> Cell:
    return label(words_of(detector))


def _text(text: str) -> Cell:
    return Cell(text, text, "text")


def _number(found: _Values, metric: str, form: Any) -> Cell:
    value = found[metric]["value"] if metric in found else None
    return Cell(form(value), value)


def _bounds(row: Mapping[str, Any], form: Any) -> Cell:
    return Cell(interval(form(row["ci_low"]), form(row["ci_high"])), row["ci_low"])
