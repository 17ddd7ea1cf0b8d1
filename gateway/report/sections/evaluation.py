"""Detectors and scorer against the truth, over worlds too; what interventions changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from gateway.report.content import (
    Body,
    Cell,
    Column,
    Filter,
    Row,
    Section,
    Stored,
    Table,
    bounds,
    label,
    names,
    numbers,
    rows_of,
    words,
)
from gateway.report.summary import SCORER, Result
from gateway.wording import MISSING, count, decimal, interval, name, percent, significant

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
    columns = [_METRIC, *_numbers("value")]
    said: str | Table = "The result holds no evaluation of the scorer."
    if rows:
        said = Table("scorer-metrics", _SCORER_SAYS, columns, [Body(rows_of(columns, rows))])
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


def comparisons(rows: Sequence[Stored], *, key: str, where: str) -> list[Table]:
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


def _comparison(rows: Iterable[Stored], truth: str, *, key: str, caption: str) -> Table | None:
    """Detectors side by side against one truth; None where there is only one."""
    found = {(r["detector"], r["metric"]): r for r in rows if r["truth"] == truth}
    names = list(dict.fromkeys(detector for detector, _ in found))
    shown = [name for name in _COMPARED if any((one, name) in found for one in names)]
    if len(names) < 2 or not shown:
        return None
    lines = [Row([label(_spaced(name)), *(_estimate(found.get((name, k))) for k in shown)])
             for name in names]  # fmt: skip
    columns = [Column("detector", is_number=False), *(Column(metric(k)[0]) for k in shown)]
    return Table(key, caption, columns, [Body(lines)], is_sortable=True)


def _long(rows: Sequence[Stored]) -> Table:
    """Every metric of every detector and truth, by filter."""
    keys = [key for key in ("detector", "truth") if len(_distinct(rows, key)) > 1]
    columns = [_METRIC, *(_key(key) for key in keys), *_numbers("value")]
    caption = "The ranking against the gateways that the simulator planted."
    if keys:
        caption = "Every metric against the truth that the simulator knows."
    bodies = [Body(rows_of(columns, rows, *keys))]
    return Table("metrics", caption, columns, bodies, [_filter(key, rows) for key in keys])


def _key(key: str) -> Column:
    return words(key, lambda row: _spaced(row[key]))


def _filter(key: str, rows: Iterable[Stored], *, is_free: bool = False) -> Filter:
    """Choice of a column's values: one of them at first, or all."""
    values = _distinct(rows, key)
    words = [metric(value)[0] if key == "metric" else _spaced(value) for value in values]
    initial = "" if is_free else values[0]
    return Filter(key, key.capitalize(), list(zip(values, words, strict=True)), initial)


def _distinct(rows: Iterable[Stored], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _numbers(heading: str, over: str = "") -> tuple[Column, Column]:
    """Columns of a metric's value and interval."""
    return Column(heading, cell=_value), Column("95 % interval", over, cell=_bounds)


def _value(row: Stored) -> Cell:
    return Cell(metric(row["metric"])[1](row["value"]), row["value"])


def _bounds(row: Stored) -> Cell:
    form = metric(row["metric"])[1]
    return Cell(interval(form(row["ci_low"]), form(row["ci_high"])), row["ci_low"])


_METRIC = Column("metric", is_number=False, cell=lambda row: label(metric(row["metric"])[0]))


def _estimate(row: Stored | None) -> Cell:
    if row is None:
        return Cell(MISSING)
    text = _value(row).text
    return Cell(text if row["ci_low"] is None else f"{text} {_bounds(row).text}", row["value"])


def benchmark(result: Result) -> Section | None:
    """Return every detector, truth and metric of a stored benchmark; None without one."""
    rows = result.benchmark()
    if not rows:
        return None
    filters = [_filter("metric", rows), _filter("truth", rows, is_free=True)]
    columns = [
        Column("detector", is_number=False, cell=lambda row: label(_spaced(row["detector"]))),
        words("metric", lambda row: metric(row["metric"])[0]),
        _key("truth"),
        *_numbers("mean", "over simulated worlds"),
        numbers("worlds", "n_worlds", count),
    ]
    said = "Detectors against the truth, means over simulated worlds."
    bodies = [Body(rows_of(columns, rows, "metric", "truth"))]
    table = Table("benchmark-table", said, columns, bodies, filters, is_sortable=True)
    compared = comparisons(rows, key="benchmark", where="over several worlds")
    return Section("benchmark", "Benchmark", [*compared, table])


_SAID = (
    "Each arm is a simulation of the same platform in which some interventions act and every "
    "other random draw is the factual one's. A set of groups that a detector of this run or the "
    "truth chose has seen what came after the start: nobody could have known it then."
)
_COST = (
    "benign joins lost for each target join averted, with Fieller's 95 % limits; without limits "
    "where the number averted is not clearly above zero"
)


def interventions(result: Result) -> Section | None:
    """Return what acting on groups averted, arm by arm; None where nothing was tried."""
    tables = [make(result) for make in (_arms, _displacement, _doses)]
    blocks = [table for table in tables if table is not None]
    return Section("interventions", "Interventions", [_SAID, *blocks]) if blocks else None


def _arms(result: Result) -> Table | None:
    """A row for each arm, most target joins averted first."""
    rows = sorted(result.rows("interventions"), key=lambda row: (-row["averted"], row["arm"]))
    columns = [
        names("arm", itemgetter("arm"), "interventions that act together"),
        words("what acts", lambda row: name(row["acts"], limit=400),
              "kinds, groups (how many), first day"),
        numbers("groups", "n_groups", count, "groups acted on"),
        numbers("averted", "averted", count,
                "target joins of the factual platform minus those of the arm"),
        bounds("95 % interval", ("averted_low", "averted_high"), count,
               "from the users' paired differences; sorted by its lower end"),
        numbers("share", "share_averted", percent, "of all target joins"),
        numbers("benign lost", "benign_lost", count,
                "joins lost of groups that are not harmful, those acted on among them"),
        bounds("95 % interval", ("benign_lost_low", "benign_lost_high"), count,
               "of the benign joins lost"),
        Column("cost", _COST, cell=_cost),
        numbers("harmful averted", "harmful_averted", count,
                "joins averted of harmful groups outside the target set"),
        numbers("users", "share_diverged", percent, "of whom anything differs"),
    ]  # fmt: skip
    said = "Arms of interventions, against the factual platform."
    body = Body(rows_of(columns, rows))
    return Table("arms", said, columns, [body], is_sortable=True) if rows else None


def _cost(row: Stored) -> Cell:
    cost, low, high = (decimal(row[f"cost{end}"], digits=1) for end in ("", "_low", "_high"))
    limits = "" if row["cost_low"] is None else f" {interval(low, high)}"
    return Cell(f"{cost}{limits}", row["cost"])


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
    columns = [
        names("intervention", lambda row: _spaced(row["intervention"])),
        words("groups chosen by", lambda row: name(_spaced(row["chosen_by"]))),
        numbers("groups", "n_groups", count, "number of groups acted on"),
        words("quantity", lambda row: _spaced(row["quantity"])),
        numbers("value", "value", significant),
        bounds("95 % interval", ("ci_low", "ci_high"), significant),
    ]
    said = "What acting on more groups does."
    bodies = [Body(rows_of(columns, rows, "quantity"))]
    choice = [_filter("quantity", rows)]
    return Table("dose-response", said, columns, bodies, choice, is_sortable=True)


def _spaced(key: str) -> str:
    return key.replace("_", " ")
