"""The detectors against the truth, and the scorer against the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, label
from gateway.report.numbers import MISSING, count, decimal, interval, percent
from gateway.report.stored import SCORER, Result

__all__ = ["comparisons", "evaluation", "metric", "scorer"]

Form = Callable[[float | None], str]

_METRICS: Mapping[str, tuple[str, Form]] = {
    "average_precision": ("average precision", decimal),
    "ndcg": ("normalised discounted cumulative gain", decimal),
    "spearman_strength": ("rank correlation with the planted strength (Spearman)", decimal),
    "spearman": ("rank correlation with the effect (Spearman)", decimal),
    "spearman_clear": ("the same among groups with a clear effect", decimal),
    "n_flagged": ("groups flagged", count),
    "precision_flagged": ("gateways, share of the groups flagged", percent),
    "auc": ("AUC", decimal),
    "auc_without_groups": (
        "AUC without any knowledge of the groups: joins so far, calendar",
        decimal,
    ),
    "auc_joins_so_far": ("AUC of the number of joins so far alone", decimal),
    "auc_last_group": ("AUC of the rate of the last group alone", decimal),
    "auc_any_time": ("AUC against a target join at any later time", decimal),
    "auc_any_time_joins_so_far": ("the same of the number of joins so far alone", decimal),
    "auc_any_time_last_group": ("the same of the rate of the last group alone", decimal),
    "log_loss": ("log-loss, nats", lambda x: decimal(x, digits=4)),
    "brier": ("Brier score", lambda x: decimal(x, digits=4)),
    "base_rate": ("base rate", percent),
    "n_rows": ("predictions evaluated", count),
}
_AT_K: Mapping[str, str] = {
    "ndcg": "normalised discounted cumulative gain of the top {k}",
    "precision": "gateways, share of the top {k}",
    "recall": "gateways found in the top {k}",
    "share_homophily": "homophily look-alikes, share of the top {k}",
    "share_hub": "hubs, share of the top {k}",
    "share_fellow_traveller": "fellow travellers, share of the top {k}",
    "share_ordinary": "ordinary groups, share of the top {k}",
    "share_target": "harmful groups outside the target set, share of the top {k}",
}
_AT_Q: Mapping[str, tuple[str, Form]] = {
    "n_called": ("groups called at a nominal false-discovery rate of {q} %", count),
    "false_share": ("of these, share that are no gateways", percent),
}
_COMPARED = (
    "average_precision",
    "precision_at_50",
    "recall_at_100",
    "share_homophily_at_50",
    "share_homophily_at_100",
    "share_fellow_traveller_at_50",
)
_SCORER_SAYS = "Predictions for users whom the scorer was not trained on."


def evaluation(result: Result) -> Section | None:
    """Return each detector against each truth; None for a real log."""
    rows = [row for row in result.evaluations() if not row["detector"].startswith(SCORER)]
    if not rows:
        return None
    return Section(
        "evaluation",
        "Evaluation",
        [*comparisons(rows, key="compared", where="in this world"), _long(rows)],
    )


def scorer(result: Result) -> Section:
    """Return metric, value and interval of the scorer."""
    rows = [row for row in result.evaluations() if row["detector"].startswith(SCORER)]
    columns = [Column("metric", is_number=False), Column("value"), Column("95 % interval")]
    body = Body([Row([label(metric(row["metric"])[0]), *_numbers(row)]) for row in rows])
    said: str | Table = "The result holds no evaluation of the scorer."
    if rows:
        said = Table("scorer-metrics", _SCORER_SAYS, columns, [body])
    return Section("scorer", "Scorer", [said])


def metric(key: str) -> tuple[str, Form]:
    """Return what a metric is called, and how its values are written."""
    stem, _, k = key.rpartition("_at_")
    if stem in _AT_K:
        return _AT_K[stem].format(k=k), decimal if stem == "ndcg" else percent
    stem, _, q = key.rpartition("_q")
    if stem in _AT_Q:
        words, form = _AT_Q[stem]
        return words.format(q=q.lstrip("0")), form
    return _METRICS.get(key, (key.replace("_", " "), decimal))


def comparisons(rows: Sequence[Mapping[str, Any]], *, key: str, where: str) -> list[Table]:
    """Return detectors side by side, a table for each truth that tells several apart.

    Parameters
    ----------
    rows
        Of an evaluation or a benchmark.
    key
        Begins the tables' keys.
    where
        Ends their captions.
    """
    found = []
    for truth in _distinct(rows, "truth"):
        said = f"Detectors against the {truth} truth {where}, 95 % intervals in brackets."
        found.append(_comparison(rows, truth, key=f"{key}-{truth}", caption=said))
    return [table for table in found if table is not None]


def _comparison(
    rows: Iterable[Mapping[str, Any]], truth: str, *, key: str, caption: str
) -> Table | None:
    """Detectors side by side against one truth; None where there is only one."""
    found = {(r["detector"], r["metric"]): r for r in rows if r["truth"] == truth}
    names = list(dict.fromkeys(detector for detector, _ in found))
    shown = [name for name in _COMPARED if any((one, name) in found for one in names)]
    if len(names) < 2 or not shown:
        return None
    lines = [Row([_words(name), *(_estimate(found.get((name, k))) for k in shown)])
             for name in names]  # fmt: skip
    columns = [Column("detector", is_number=False), *(Column(metric(k)[0]) for k in shown)]
    return Table(key, caption, columns, [Body(lines)], is_sortable=True)


def _long(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every metric of every detector and truth, by filter."""
    keys = [key for key in ("detector", "truth") if len(_distinct(rows, key)) > 1]
    columns = [Column("metric", is_number=False), *(Column(key, is_number=False) for key in keys),
               Column("value"), Column("95 % interval")]  # fmt: skip
    filters = [_filter(key, _distinct(rows, key)) for key in keys]
    lines = [
        Row(
            [label(metric(row["metric"])[0]), *(_text(row[key]) for key in keys), *_numbers(row)],
            {key: row[key] for key in keys},
        )
        for row in rows
    ]
    caption = "The ranking against the gateways that the simulator planted."
    if keys:
        caption = "Every metric against the truth that the simulator knows."
    return Table("metrics", caption, columns, [Body(lines)], filters)


def _filter(key: str, values: list[str]) -> Filter:
    return Filter(
        key, key.capitalize(), [(value, value.replace("_", " ")) for value in values], values[0]
    )


def _distinct(rows: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _numbers(row: Mapping[str, Any]) -> list[Cell]:
    _, form = metric(row["metric"])
    bounds = interval(form(row["ci_low"]), form(row["ci_high"]))
    return [Cell(form(row["value"]), row["value"]), Cell(bounds, row["ci_low"])]


def _estimate(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell(MISSING)
    value, bounds = _numbers(row)
    text = value.text if row["ci_low"] is None else f"{value.text} {bounds.text}"
    return Cell(text, row["value"])


def _words(key: str) -> Cell:
    return label(key.replace("_", " "))


def _text(key: str) -> Cell:
    return Cell(key.replace("_", " "), key, "text")
