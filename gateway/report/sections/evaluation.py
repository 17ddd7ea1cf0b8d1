"""Detectors and scorer against the truth, over worlds too; what interventions changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.report.blocks import Body, Cell, Column, Filter, Row, Section, Table, label
from gateway.report.summary import SCORER, Result
from gateway.wording import MISSING, count, decimal, interval, name, percent, significant

__all__ = ["benchmark", "comparisons", "evaluation", "interventions", "metric", "scorer"]

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
    "log_loss": ("log-loss, nats", lambda x: decimal(x, digits=4)),
    "brier": ("Brier score", lambda x: decimal(x, digits=4)),
    "base_rate": ("base rate: share of joins that a target join follows", percent),
    "n_rows": ("predictions evaluated, one after each join", count),
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


def scorer(result: Result) -> Section | None:
    """Return metric, value and interval of the scorer; None for a check, which has none."""
    if "check" in result.tables:
        return None
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
    filters = [_filter(key, rows) for key in keys]
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


def _filter(key: str, rows: Iterable[Mapping[str, Any]], *, is_free: bool = False) -> Filter:
    """Choice of a column's values: one of them at first, or all."""
    values = _distinct(rows, key)
    words = [metric(value)[0] if key == "metric" else value.replace("_", " ") for value in values]
    initial = "" if is_free else values[0]
    return Filter(key, key.capitalize(), list(zip(values, words, strict=True)), initial)


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


def benchmark(result: Result) -> Section | None:
    """Return every detector, truth and metric of a stored benchmark; None without one."""
    rows = result.benchmark()
    if not rows:
        return None
    filters = [_filter("metric", rows), _filter("truth", rows, is_free=True)]
    columns = (
        Column("detector", is_number=False),
        Column("metric", is_number=False),
        Column("truth", is_number=False),
        Column("mean"),
        Column("95 % interval", "over simulated worlds"),
        Column("worlds"),
    )
    table = Table(
        "benchmark-table",
        "Detectors against the truth, means over simulated worlds.",
        columns,
        [Body([_benchmark_row(row) for row in rows])],
        filters,
        is_sortable=True,
    )
    return Section(
        "benchmark",
        "Benchmark",
        [*comparisons(rows, key="benchmark", where="over several worlds"), table],
    )


def _benchmark_row(row: Mapping[str, Any]) -> Row:
    words, n = metric(row["metric"])[0], row.get("n_worlds")
    cells = [_words(row["detector"]), Cell(words, words, "text"), _text(row["truth"])]
    marks = {"metric": row["metric"], "truth": row["truth"]}
    return Row([*cells, *_numbers(row), Cell(count(n), n)], marks)


_SAID = (
    "Each arm is a simulation of the same platform in which some interventions act and every "
    "other random draw is the factual one's. A set of groups that a detector of this run or the "
    "truth chose has seen what came after the start: nobody could have known it then."
)
_ARMS = (
    Column("arm", "interventions that act together", is_number=False),
    Column("what acts", "kinds, groups (how many), first day", is_number=False),
    Column("groups", "groups acted on"),
    Column("averted", "target joins of the factual platform minus those of the arm"),
    Column("95 % interval", "from the users' paired differences; sorted by its lower end"),
    Column("share", "of all target joins"),
    Column("benign lost", "joins lost of groups that are not harmful, those acted on among them"),
    Column("95 % interval", "of the benign joins lost"),
    Column("cost", "benign joins lost for each target join averted, with Fieller's 95 % limits; "
           "without limits where the number averted is not clearly above zero"),
    Column("harmful averted", "joins averted of harmful groups outside the target set"),
    Column("users", "of whom anything differs"),
)  # fmt: skip
_DOSES = (
    Column("intervention", is_number=False),
    Column("groups chosen by", is_number=False),
    Column("groups", "number of groups acted on"),
    Column("quantity", is_number=False),
    Column("value"),
    Column("95 % interval"),
)


def interventions(result: Result) -> Section | None:
    """Return what acting on groups averted, arm by arm; None where nothing was tried."""
    tables = [make(result) for make in (_arms, _displacement, _doses)]
    blocks = [table for table in tables if table is not None]
    return Section("interventions", "Interventions", [_SAID, *blocks]) if blocks else None


def _arms(result: Result) -> Table | None:
    """A row for each arm, most target joins averted first."""
    rows = sorted(result.rows("interventions"), key=lambda row: (-row["averted"], row["arm"]))
    body = Body([Row(_arm_cells(row)) for row in rows])
    said = "Arms of interventions, against the factual platform."
    return Table("arms", said, _ARMS, [body], is_sortable=True) if rows else None


def _arm_cells(row: Mapping[str, Any]) -> list[Cell]:
    arm, acts = name(row["arm"]), name(row["acts"], limit=400)
    cost = decimal(row["cost"], digits=1)
    limits = interval(decimal(row["cost_low"], digits=1), decimal(row["cost_high"], digits=1))
    return [
        Cell(arm, arm, "name"),
        Cell(acts, acts, "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(count(row["averted"]), row["averted"]),
        Cell(_limits(row, "averted"), row["averted_low"]),
        Cell(percent(row["share_averted"]), row["share_averted"]),
        Cell(count(row["benign_lost"]), row["benign_lost"]),
        Cell(_limits(row, "benign_lost"), row["benign_lost_low"]),
        Cell(f"{cost} {limits}" if row["cost_low"] is not None else cost, row["cost"]),
        Cell(count(row["harmful_averted"]), row["harmful_averted"]),
        Cell(percent(row["share_diverged"]), row["share_diverged"]),
    ]


def _limits(row: Mapping[str, Any], key: str) -> str:
    return interval(count(row[f"{key}_low"]), count(row[f"{key}_high"]))


def _displacement(result: Result) -> Table | None:
    """Target joins of each source: the factual number, and each arm's change."""
    rows = [row for row in result.rows("intervention_sources") if row["kind"] == "target"]
    arms = sorted({row["arm"] for row in rows})
    change = {(row["source"], row["arm"]): row["otherwise"] - row["factual"] for row in rows}
    columns = [Column("source", "how members came to join", is_number=False),
               Column("factual", "target joins of the factual platform")]  # fmt: skip
    columns += [Column(name(arm), "change in this arm") for arm in arms]
    lines = [
        Row([Cell(source.replace("_", " "), source, "name"), Cell(count(joins), joins),
             *(Cell(_signed(change[source, arm]), change[source, arm]) for arm in arms)])
        for source, joins in {row["source"]: row["factual"] for row in rows}.items()
    ]  # fmt: skip
    said = "Target joins by source: the factual number, and what each arm changes. A plus is a \
target join that moved there."
    return Table("displacement", said, columns, [Body(lines)], is_sortable=True) if rows else None


def _signed(value: float) -> str:
    return f"+{count(value)}" if value > 0 else count(value)


def _doses(result: Result) -> Table | None:
    rows = result.rows("dose_response")
    if not rows:
        return None
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    options = [(quantity, quantity.replace("_", " ")) for quantity in quantities]
    return Table(
        "dose-response",
        "What acting on more groups does.",
        _DOSES,
        [Body([_dose_row(row) for row in rows])],
        [Filter("quantity", "Quantity", options, quantities[0])],
        is_sortable=True,
    )


def _dose_row(row: Mapping[str, Any]) -> Row:
    bounds = interval(significant(row["ci_low"]), significant(row["ci_high"]))
    what, by = name(row["intervention"].replace("_", " ")), name(row["chosen_by"].replace("_", " "))
    cells = [
        Cell(what, what, "name"),
        Cell(by, by, "text"),
        Cell(count(row["n_groups"]), row["n_groups"]),
        Cell(row["quantity"].replace("_", " "), row["quantity"], "text"),
        Cell(significant(row["value"]), row["value"]),
        Cell(bounds, row["ci_low"]),
    ]
    return Row(cells, {"quantity": row["quantity"]})
